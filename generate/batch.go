package generate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Batch carries out searches, of one prompt or of several, with one forward pass a step for all of them. It is used by
// one goroutine.
type Batch struct {
	forward Forward
	tasks   []*Task
	running []*Task // in the step under way
	works   []Work  // of it
}

// Task is a search being carried out.
type Task struct {
	search Search
	limit  time.Duration
	begun  time.Time

	seqs []Sequence // by branch
	next []Sequence // while they are reordered
	rows [][][]float32
	err  error
}

// NewBatch returns an empty batch. The caller closes it.
func NewBatch(forward Forward) *Batch { return &Batch{forward: forward} }

// Add adds a search that continues a prompt. seq holds the first tokens of the prompt, or none; the batch closes it. If
// it holds all of them, logits are those of the token that follows; they are not kept. An error is one that the task
// has, too.
func (b *Batch) Add(seq Sequence, prompt []int32, logits []float32, c Config) (*Task, error) {
	t := &Task{seqs: []Sequence{seq}, limit: c.MaxTime}
	b.tasks = append(b.tasks, t)
	t.search, t.err = New(prompt, seq.Len(), c)
	switch {
	case t.err != nil:
	case logits != nil && seq.Len() < len(prompt):
		t.err = fmt.Errorf("generate: logits for a prompt of %d tokens of which %d are computed: want all, or no logits", len(prompt), seq.Len())
	case logits != nil:
		t.begin()
		t.take([][][]float32{{logits}})
	case seq.Len() == len(prompt):
		t.err = errors.New("generate: all of the prompt is computed: want the logits of its last token, or a longer prompt")
	}
	return t, t.err
}

// Err returns what ended the search, or nil if it goes on or ended by itself.
func (t *Task) Err() error { return t.err }

// Done reports whether the search has ended, by itself or with an error.
func (t *Task) Done() bool { return !t.running() }

// Results returns the texts found so far, those of [Search.Results].
func (t *Task) Results() []Text {
	if t.search == nil {
		return nil
	}
	return t.search.Results()
}

// Close closes the sequences of all searches.
func (b *Batch) Close() error {
	var errs []error
	for _, t := range b.tasks {
		for _, seq := range t.seqs {
			errs = append(errs, seq.Close())
		}
		t.seqs = nil
	}
	b.tasks = nil
	return errors.Join(errs...)
}

// Run goes on until all searches have ended; each task's Err says how. The error is ctx's, and running again then goes on
// as if nothing had happened.
func (b *Batch) Run(ctx context.Context) error {
	for {
		if running, err := b.Step(ctx); err != nil || !running {
			return err
		}
	}
}

// Step takes all searches that go on one step further, and reports whether there were any. The error is ctx's, and
// everything is then as before.
func (b *Batch) Step(ctx context.Context) (running bool, err error) {
	b.running = b.running[:0]
	for _, t := range b.tasks {
		if t.running() {
			t.begin()
			b.running = append(b.running, t)
		}
	}
	if len(b.running) == 0 {
		return false, nil
	}
	err = b.step(ctx, b.running, true)
	if err == nil || ctx.Err() != nil {
		return true, err
	}
	if len(b.running) == 1 && !b.running[0].guesses() {
		b.running[0].fail(err)
		return true, nil
	}
	// What finds no room together may find it alone, and without guesses.
	for i, t := range b.running {
		if err := b.step(ctx, b.running[i:i+1], false); ctx.Err() != nil {
			return true, err
		} else if err != nil {
			t.fail(err)
		}
	}
	return true, nil
}

// step forwards what some searches want, with or without guesses, and gives them the logits. An error is that of the
// forward pass, and nothing has changed.
func (b *Batch) step(ctx context.Context, tasks []*Task, guesses bool) error {
	b.works = b.works[:0]
	for _, t := range tasks {
		for i, br := range t.search.Branches() {
			if len(br.Tokens) == 0 {
				continue
			}
			w := Work{Seq: t.seqs[i], Tokens: br.Tokens, Logits: br.Logits}
			if !guesses {
				w.Tokens, w.Logits = w.Tokens[:len(w.Tokens)-br.Draft], w.Logits-br.Draft
			}
			b.works = append(b.works, w)
		}
	}
	rows, err := b.forward(ctx, b.works)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		t.rows = t.rows[:0]
		for _, br := range t.search.Branches() {
			if len(br.Tokens) == 0 {
				t.rows = append(t.rows, nil)
				continue
			}
			t.rows, rows = append(t.rows, rows[0]), rows[1:]
		}
		t.take(t.rows)
	}
	return nil
}

// running reports whether the search has something to forward.
func (t *Task) running() bool {
	return t.err == nil && slices.ContainsFunc(t.search.Branches(), func(b Branch) bool { return len(b.Tokens) > 0 })
}

// guesses reports whether the search tries something.
func (t *Task) guesses() bool {
	return slices.ContainsFunc(t.search.Branches(), func(b Branch) bool { return b.Draft > 0 })
}

// begin starts the clock.
func (t *Task) begin() {
	if t.begun.IsZero() {
		t.begun = time.Now()
	}
}

// fail ends the search with an error of a forward pass.
func (t *Task) fail(err error) {
	tokens := 0
	for _, text := range t.search.Results() {
		tokens = max(tokens, len(text.Tokens))
	}
	if tokens == 0 {
		t.err = fmt.Errorf("generate: prompt: %w", err)
		return
	}
	t.err = fmt.Errorf("generate: token %d: %w", tokens+1, err)
}

// take gives the search its logits, and does with the sequences what it says.
func (t *Task) take(rows [][][]float32) {
	if t.err = t.search.Take(rows); t.err != nil {
		return
	}
	if t.limit > 0 && time.Since(t.begun) >= t.limit && t.running() {
		t.search.Stop(TimeLimit)
	}
	if err := t.reorder(); err != nil {
		t.err = fmt.Errorf("generate: %w", err)
	}
}

// reorder makes the sequences those of the search's branches. The first branch that continues a sequence has it, others
// get forks. Sequences that none continues are closed.
func (t *Task) reorder() error {
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

// dropForks closes those of the new sequences that are forks.
func (t *Task) dropForks(branches []Branch, first func(int) bool) error {
	var errs []error
	for i := range branches {
		if !first(i) {
			errs = append(errs, t.next[i].Close())
		}
	}
	return errors.Join(errs...)
}
