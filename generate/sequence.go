package generate

import "context"

// Sequence is tokens that can be continued, and shares what it has computed with its forks. It is used by one goroutine
// at a time.
type Sequence interface {
	// Len returns how many tokens were forwarded.
	Len() int
	// Fork returns a sequence that continues from the same tokens.
	Fork() (Sequence, error)
	// Truncate forgets the tokens from n on.
	Truncate(n int) error
	Close() error
}

// Work is what a forward pass appends to one sequence.
type Work struct {
	Seq    Sequence
	Tokens []int32 // at least one
	Logits int     // of how many of the last tokens the logits of the token after them are wanted
}

// Forward takes a batch through a model and returns rows of logits: [work][row][vocab]. The sequences grow by their
// tokens; after an error, a cancelled ctx included, they are as they were. The rows are read before the next call, and not
// changed.
type Forward func(ctx context.Context, batch []Work) ([][][]float32, error)
