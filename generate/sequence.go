package generate

import "context"

// Sequence is tokens that a model has computed, and that can be continued. It shares with its forks
// what was computed for them. One goroutine uses it at a time. S is the type itself, which its
// forks have too: *kv.Seq is a Sequence[*kv.Seq].
type Sequence[S any] interface {
	Len() int             // tokens computed
	Fork() (S, error)     // a sequence that continues from the same tokens
	Truncate(n int) error // drops the tokens from n on
	Close() error
}

// Work is what a step appends to one sequence: at least one token. Logits is for how many of the
// last of them the logits of the token that follows are wanted, and Drafts how many of the last are
// guesses. Where a prompt is computed in passes, one a step, Before is how many of its tokens the passes
// before have computed, and More how many follow. Again is how many of the sequence's own last tokens are
// computed again before Tokens, which may be none then; 0: all that have to be. The type is the engine's own (ebb's is kv.Work), so
// that its batches need not be copied.
type Work[S any] interface {
	~struct {
		Seq    S
		Tokens []int32
		Logits int
		Drafts int

		Before, More int
		Again        int
	}
}

// Forward takes a batch through a model and returns rows of logits: [work][row][vocab]. The
// sequences grow by their tokens; after an error, a cancelled ctx included, they are as they were.
// rows is what the call before returned, nil at first: its memory may be used again. The rows are
// read before the next call, and not changed.
type Forward[W any] func(ctx context.Context, batch []W, rows [][][]float32) ([][][]float32, error)

// newWork returns a work of the engine's type.
func newWork[S any, W Work[S]](seq S, tokens []int32, logits, drafts, before, more, again int) W {
	return W(struct {
		Seq    S
		Tokens []int32
		Logits int
		Drafts int

		Before, More int
		Again        int
	}{seq, tokens, logits, drafts, before, more, again})
}
