package generate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrRemoved is the error of a task that was removed from its batch before it had ended.
var ErrRemoved = errors.New("generate: the task was removed from its batch")

// Request says what a batch searches for.
type Request[S any] struct {
	// Context ends the search when it is cancelled. nil: nothing but [Batch.Remove] does.
	Context context.Context //nolint:containedctx // it is the request's, and outlives no call but the batch's

	// Seq holds the first tokens of the prompt, or none. The batch closes it, unless Keep says otherwise.
	Seq    S
	Prompt []int32
	// Logits are those of the token that follows the prompt, if Seq holds all of it; otherwise nil. They
	// are not kept.
	Logits []float32
	Config Config

	// PromptLogProbs has the batch report how probable the tokens of the prompt are that Seq does not
	// hold: [Task.PromptTokens]. Each pass of the prompt then computes logits of all its tokens, which
	// takes longer.
	PromptLogProbs bool

	// Keep leaves the sequence open. The caller leaves it alone until the search has ended. However that
	// ends, the sequence then holds as much of the prompt as was computed, and behind a whole prompt
	// all new tokens but the last one. If the search is for several texts, it holds the prompt alone.
	Keep bool
}

// Task is a search that a batch carries out.
type Task[S Sequence[S]] struct {
	search Search
	ctx    context.Context //nolint:containedctx // the request's
	clock  clock
	first  time.Time // when the first new tokens came; zero: there are none

	seqs []S // one for each branch; fewer while they are made again
	next []S // scratch of reorder
	own  S   // the caller's, or the one that has taken its place
	err  error

	kept    bool // the only sequence stays the caller's
	leaves  bool // the caller's has the prompt, and the sequences are forks of it
	several bool // texts are searched for
	growth  int  // new tokens that the search is for; 0: there is no limit
	texts   int  // that it is for at a time
	prompt  int  // tokens
	begun   bool // all of the prompt was computed: texts grow
	echo    *echo

	place   place
	restore func(context.Context) (S, error) // of a parked sequence; nil: it is not parked, or was emptied
	high    int                              // tokens of the first sequence that are not computed for the first time
	again   int                              // tokens that were computed again

	// While tokens are computed in passes: those of the prompt, or those that the sequences had before.
	pending func(S) int // how many of the last tokens of a sequence are to be computed again; nil: none are
	behind  bool        // sequences lack tokens that they have had
	origins []origin    // by branch, if texts grow: where the sequences begin that are made again
	made    []int       // the branches of the sequences that there are
	at      int         // the sequence of the next pass
	held    int         // tokens of it that are computed
	done    int         // tokens of it that passes have computed
	rest    int         // tokens of it that are left
	left    int         // tokens of all sequences that are left; 0: the next step is of the branches
	pass    int         // tokens that the next step takes
	waited  int         // steps that have taken none
}

func newTask[S Sequence[S]](r Request[S], pending func(S) int) *Task[S] {
	t := &Task[S]{
		ctx: r.Context, seqs: []S{r.Seq}, clock: clock{limit: r.Config.MaxTime},
		kept: r.Keep, texts: max(r.Config.Beams, r.Config.Texts, 1), growth: r.Config.MaxNewTokens, prompt: len(r.Prompt),
		place: queued, pending: pending,
	}
	t.several = t.texts > 1
	if r.Keep {
		t.own = r.Seq
	}
	held := r.Seq.Len()
	t.search, t.err = newSearch(r.Prompt, held, r.Logits, r.Config)
	switch {
	case t.err != nil:
	case r.Logits != nil:
		t.clock.start()
		t.take([][][]float32{{r.Logits}})
	case r.PromptLogProbs:
		t.echo = newEcho(r.Prompt, held, r.Config.Top)
	}
	if t.err != nil {
		t.release()
	}
	return t
}

// Err returns what ended the search, or nil if it goes on or ended by itself.
func (t *Task[S]) Err() error { return t.err }

// Done reports whether the search has ended, by itself or with an error.
func (t *Task[S]) Done() bool { return !t.running() }

// Results returns the texts found so far, those of [Search.Results].
func (t *Task[S]) Results() []Text { return t.search.Results() }

// AppendResults appends the texts found so far to texts, those of [Search.Results]. Outside of a beam search
// it makes no garbage where texts has room.
func (t *Task[S]) AppendResults(texts []Text) []Text {
	if s, ok := t.search.(*samples); ok {
		return s.appendResults(texts)
	}
	return append(texts, t.search.Results()...)
}

// PromptTokens returns the tokens of the prompt that were computed so far and whose log-probabilities
// [Request.PromptLogProbs] has asked for. Each has its LogProb, given the tokens before it, and as many
// candidates as Config.Top, by the model's own distribution. The first one has neither, as there are no
// logits that it follows.
func (t *Task[S]) PromptTokens() []Token {
	if t.echo == nil {
		return nil
	}
	return t.echo.tokens
}

// PromptLeft returns how many tokens are to be computed before the texts grow: those of the prompt, and
// those that are computed again.
func (t *Task[S]) PromptLeft() int { return t.left }

// FirstToken returns when the first new tokens came, and the zero time before.
func (t *Task[S]) FirstToken() time.Time { return t.first }

// Recomputed returns how many tokens were computed again, because their rows were given up for others.
func (t *Task[S]) Recomputed() int { return t.again }

// Seq returns the sequence of a request with Keep: its Seq, or the one that has come back in its place after
// it was parked. While it is parked there is none, and Seq returns the zero value, as without Keep.
func (t *Task[S]) Seq() S { return t.own }

// running reports whether the search has something to compute.
func (t *Task[S]) running() bool {
	return t.err == nil && len(t.search.Branches()) > 0
}

// cancelled reports whether the request's own context has ended.
func (t *Task[S]) cancelled() bool { return t.ctx != nil && t.ctx.Err() != nil }

// guesses reports whether the next step of the search has guesses.
func (t *Task[S]) guesses() bool {
	return slices.ContainsFunc(t.search.Branches(), func(b Branch) bool { return b.Draft > 0 })
}

// grown returns how many new tokens each text has that goes on.
func (t *Task[S]) grown() int { return len(t.search.IDs(0)) - t.prompt }

// urgency orders the requests whose prompts wait, the smallest first: by the tokens that are left, less what
// steps take that have left it out.
func (t *Task[S]) urgency(once int) int { return t.left - t.waited*once }

// tokens returns how many tokens the next step computes for a search whose prompt is computed.
func (t *Task[S]) tokens() (n int) {
	for _, b := range t.search.Branches() {
		n += len(b.Tokens)
	}
	return n
}

// chosen returns how many new tokens the longest text has.
func (t *Task[S]) chosen() (tokens int) {
	for _, text := range t.search.Results() {
		tokens = max(tokens, len(text.Tokens))
	}
	return tokens
}

// fail ends the search with an error of the model, or with that of the request's own context if it was
// cancelled.
func (t *Task[S]) fail(err error) {
	if t.cancelled() {
		t.end(fmt.Errorf("generate: the request was cancelled: %w", context.Cause(t.ctx)))
		return
	}
	t.end(stepError(t.chosen(), err))
}

// end ends the search with an error.
func (t *Task[S]) end(err error) {
	t.err = err
	t.release()
}

// take gives the search its logits, and brings the sequences in line with its branches.
func (t *Task[S]) take(rows [][][]float32) {
	t.begun = true
	if t.err = t.search.Take(rows); t.err != nil {
		t.release()
		return
	}
	if t.first.IsZero() {
		t.first = time.Now()
	}
	if t.clock.over() && t.running() {
		t.search.Stop(TimeLimit)
	}
	if len(t.search.Branches()) == 0 {
		t.release()
		return
	}
	if err := t.reorder(); err != nil {
		t.end(fmt.Errorf("generate: %w", err))
	}
}

// release closes the sequences of a search that has ended.
func (t *Task[S]) release() {
	if err := t.close(); err != nil {
		t.err = errors.Join(t.err, err)
	}
}

// close closes the sequences. One that is kept has the tokens that [Request] says.
func (t *Task[S]) close() error {
	var errs []error
	for i, seq := range t.seqs {
		if t.leaves && t.behind && i == 0 { // it is the caller's, who has no more of it than the prompt
			continue
		}
		if !t.kept {
			errs = append(errs, seq.Close())
			continue
		}
		// Results can be read only if there is a search. Without one nothing was computed.
		if t.search != nil {
			if held := t.prompt + max(t.chosen()-1, 0); seq.Len() > held {
				errs = append(errs, seq.Truncate(held))
			}
		}
	}
	t.seqs, t.next, t.restore = nil, nil, nil
	return errors.Join(errs...)
}

// reorder gives each branch of the search its sequence. The first branch that continues a sequence
// gets the sequence itself, others get forks of it. Sequences that no branch continues are closed. If
// the caller keeps the sequence of a prompt, and several texts continue it, all get forks.
func (t *Task[S]) reorder() error {
	branches := t.search.Branches()
	left := t.kept && t.several // the sequence is left to the caller
	itself := func(i int) bool {
		return !left && !slices.ContainsFunc(branches[:i], func(b Branch) bool { return b.From == branches[i].From })
	}
	t.next = t.next[:0]
	for i, b := range branches {
		seq := t.seqs[b.From]
		if !itself(i) {
			var err error
			if seq, err = seq.Fork(); err != nil {
				return errors.Join(err, t.dropForks(branches[:i], itself))
			}
		}
		t.next = append(t.next, seq)
	}
	var errs []error
	for i, b := range branches {
		if seq := t.next[i]; seq.Len() > b.Len {
			errs = append(errs, seq.Truncate(b.Len))
		}
	}
	for i, seq := range t.seqs {
		if !left && !slices.ContainsFunc(branches, func(b Branch) bool { return b.From == i }) {
			errs = append(errs, seq.Close())
		}
	}
	t.kept, t.leaves = t.kept && !left, t.leaves || left
	t.seqs, t.next = t.next, t.seqs
	return errors.Join(errs...)
}

// dropForks closes the forks among the new sequences.
func (t *Task[S]) dropForks(branches []Branch, itself func(int) bool) error {
	var errs []error
	for i := range branches {
		if !itself(i) {
			errs = append(errs, t.next[i].Close())
		}
	}
	return errors.Join(errs...)
}
