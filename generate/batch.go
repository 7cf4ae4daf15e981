package generate

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrRemoved is the error of a task that was removed from its batch before it had ended.
var ErrRemoved = errors.New("generate: the task was removed from its batch")

// Batch carries out searches, of one prompt or of several: one step through the model serves all of
// them. A search that has ended gives back its sequences at once, and the batch forgets it. One
// goroutine uses a batch.
type Batch[S Sequence[S], W Work[S]] struct {
	forward Forward[W]
	tasks   []*Task[S] // those that have not ended

	// Scratch of a step.
	running []*Task[S]
	works   []W
	rows    [][][]float32
}

// Task is a search that a batch carries out.
type Task[S Sequence[S]] struct {
	search Search
	clock  clock

	seqs []S // one for each branch
	next []S // scratch of reorder
	err  error
}

// NewBatch returns an empty batch. The caller closes it.
func NewBatch[S Sequence[S], W Work[S]](forward Forward[W]) *Batch[S, W] {
	return &Batch[S, W]{forward: forward}
}

// Add adds a search that continues a prompt. seq holds the first tokens of the prompt, or none; the
// batch closes it, also when Add returns an error. If it holds all of them, logits are those of the
// token that follows; they are not kept.
func (b *Batch[S, W]) Add(seq S, prompt []int32, logits []float32, c Config) (*Task[S], error) {
	t := &Task[S]{seqs: []S{seq}, clock: clock{limit: c.MaxTime}}
	if t.search, t.err = newSearch(prompt, seq.Len(), logits, c); t.err == nil && logits != nil {
		t.clock.start()
		t.take([][][]float32{{logits}})
	}
	if t.err != nil {
		t.release()
		return nil, t.err
	}
	if t.running() {
		b.tasks = append(b.tasks, t)
	}
	return t, nil
}

// Remove closes the sequences of a search that has not ended, and ends it with [ErrRemoved]. What
// it has found can be read afterwards. It does nothing to one that has ended.
func (b *Batch[S, W]) Remove(t *Task[S]) error {
	if t.Done() {
		return nil
	}
	t.err = ErrRemoved
	b.forgetEnded()
	return t.close()
}

// Close removes all searches.
func (b *Batch[S, W]) Close() error {
	var errs []error
	for _, t := range slices.Clone(b.tasks) {
		errs = append(errs, b.Remove(t))
	}
	return errors.Join(errs...)
}

// Err returns what ended the search, or nil if it goes on or ended by itself.
func (t *Task[S]) Err() error { return t.err }

// Done reports whether the search has ended, by itself or with an error.
func (t *Task[S]) Done() bool { return !t.running() }

// Results returns the texts found so far, those of [Search.Results].
func (t *Task[S]) Results() []Text { return t.search.Results() }

// Run takes steps until all searches have ended; each task's Err says how. It returns an error only
// if ctx is cancelled. Run may then be called again, and goes on as if nothing had happened.
func (b *Batch[S, W]) Run(ctx context.Context) error {
	for {
		if running, err := b.Step(ctx); err != nil || !running {
			return err
		}
	}
}

// Step takes all searches one step further, and reports whether there were any. It returns an error
// only if ctx is cancelled, and everything is then as before.
func (b *Batch[S, W]) Step(ctx context.Context) (running bool, err error) {
	if b.forgetEnded(); len(b.tasks) == 0 {
		return false, nil
	}
	b.running = append(b.running[:0], b.tasks...)
	defer func() {
		clear(b.running)
		b.forgetEnded()
	}()
	for _, t := range b.running {
		t.clock.start()
	}
	err = b.step(ctx, b.running, true)
	if err == nil || ctx.Err() != nil {
		return true, err
	}
	if len(b.running) == 1 && !b.running[0].guesses() {
		b.running[0].fail(err)
		return true, nil
	}
	// Searches that do not fit together may fit alone, and without guesses.
	for i, t := range b.running {
		if err := b.step(ctx, b.running[i:i+1], false); ctx.Err() != nil {
			return true, err
		} else if err != nil {
			t.fail(err)
		}
	}
	return true, nil
}

// forgetEnded drops the searches that have ended from the batch.
func (b *Batch[S, W]) forgetEnded() {
	going := b.tasks[:0]
	for _, t := range b.tasks {
		if t.running() {
			going = append(going, t)
		}
	}
	clear(b.tasks[len(going):])
	b.tasks = going
}

// step computes what some searches want, with or without guesses, and gives them the logits. If the
// model returns an error, step returns it, and nothing has changed.
func (b *Batch[S, W]) step(ctx context.Context, tasks []*Task[S], guesses bool) error {
	b.works = b.works[:0]
	for _, t := range tasks {
		for i, br := range t.search.Branches() {
			tokens, logits, drafts := br.Tokens, br.Logits, br.Draft
			if !guesses {
				tokens, logits, drafts = tokens[:len(tokens)-drafts], logits-drafts, 0
			}
			b.works = append(b.works, newWork[S, W](t.seqs[i], tokens, logits, drafts))
		}
	}
	rows, err := b.forward(ctx, b.works, b.rows)
	if err != nil {
		return err
	}
	b.rows = rows
	for _, t := range tasks {
		n := len(t.search.Branches())
		t.take(rows[:n])
		rows = rows[n:]
	}
	return nil
}

// running reports whether the search has something to compute.
func (t *Task[S]) running() bool {
	return t.err == nil && len(t.search.Branches()) > 0
}

// guesses reports whether the next step of the search has guesses.
func (t *Task[S]) guesses() bool {
	return slices.ContainsFunc(t.search.Branches(), func(b Branch) bool { return b.Draft > 0 })
}

// fail ends the search with an error of the model.
func (t *Task[S]) fail(err error) {
	tokens := 0
	for _, text := range t.search.Results() {
		tokens = max(tokens, len(text.Tokens))
	}
	t.err = stepError(tokens, err)
	t.release()
}

// take gives the search its logits, and brings the sequences in line with its branches.
func (t *Task[S]) take(rows [][][]float32) {
	if t.err = t.search.Take(rows); t.err != nil {
		t.release()
		return
	}
	if t.clock.over() && t.running() {
		t.search.Stop(TimeLimit)
	}
	if err := t.reorder(); err != nil {
		t.err = fmt.Errorf("generate: %w", err)
		t.release()
	}
}

// release closes the sequences of a search that an error has ended.
func (t *Task[S]) release() {
	if err := t.close(); err != nil {
		t.err = errors.Join(t.err, err)
	}
}

// close closes the sequences.
func (t *Task[S]) close() error {
	var errs []error
	for _, seq := range t.seqs {
		errs = append(errs, seq.Close())
	}
	t.seqs, t.next = nil, nil
	return errors.Join(errs...)
}

// reorder gives each branch of the search its sequence. The first branch that continues a sequence
// gets the sequence itself, others get forks of it. Sequences that no branch continues are closed.
func (t *Task[S]) reorder() error {
	branches := t.search.Branches()
	first := func(i int) bool {
		return !slices.ContainsFunc(branches[:i], func(b Branch) bool { return b.From == branches[i].From })
	}
	t.next = t.next[:0]
	for i, b := range branches {
		seq := t.seqs[b.From]
		if !first(i) {
			var err error
			if seq, err = seq.Fork(); err != nil {
				return errors.Join(err, t.dropForks(branches[:i], first))
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
		if !slices.ContainsFunc(branches, func(b Branch) bool { return b.From == i }) {
			errs = append(errs, seq.Close())
		}
	}
	t.seqs, t.next = t.next, t.seqs
	return errors.Join(errs...)
}

// dropForks closes the forks among the new sequences.
func (t *Task[S]) dropForks(branches []Branch, first func(int) bool) error {
	var errs []error
	for i := range branches {
		if !first(i) {
			errs = append(errs, t.next[i].Close())
		}
	}
	return errors.Join(errs...)
}
