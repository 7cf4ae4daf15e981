package generate

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"
)

// BatchOptions say how a batch divides its steps between prompts and texts that grow.
type BatchOptions[S any] struct {
	// StepTime is how long a step should take in which prompts are computed while texts grow. Of the
	// prompts it has as many tokens as that allows, by what steps have taken. 0: prompts are computed at
	// once, and texts wait for them.
	StepTime time.Duration
	// StepTokens is how many tokens a step takes at most. 0: there is no limit.
	StepTokens int
	// Pass returns how many of the next tokens of a prompt the model computes in one step: at least one,
	// and at most tokens. nil: all of them.
	Pass func(seq S, tokens int) int
	// PromptRows is of how many tokens of prompts a step computes logits at most, where
	// [Request.PromptLogProbs] asks for them. 0: there is no limit.
	PromptRows int
}

// Batch carries out searches, of one prompt or of several: one step through the model serves all of
// them. Prompts that are too long for a step beside others go in passes, one a step (chunked prefill).
// A search that has ended gives back its sequences at once, and the batch forgets it. One goroutine
// uses a batch.
type Batch[S Sequence[S], W Work[S]] struct {
	forward Forward[W]
	options BatchOptions[S]
	pace    pace
	tasks   []*Task[S] // those that have not ended

	// Scratch of a step.
	running []*Task[S]
	prompts []*Task[S]
	works   []W
	rows    [][][]float32
}

// NewBatch returns an empty batch. The caller closes it.
func NewBatch[S Sequence[S], W Work[S]](forward Forward[W], o BatchOptions[S]) *Batch[S, W] {
	if o.StepTokens <= 0 {
		o.StepTokens = math.MaxInt
	}
	if o.PromptRows <= 0 {
		o.PromptRows = math.MaxInt
	}
	return &Batch[S, W]{forward: forward, options: o, pace: pace{target: max(o.StepTime, 0).Seconds()}}
}

// Add adds a search that continues a prompt. If Add returns an error, the batch has closed the
// request's sequence, unless the request keeps it.
func (b *Batch[S, W]) Add(r Request[S]) (*Task[S], error) {
	t := newTask(r)
	if t.err != nil {
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

// Run takes steps until all searches have ended; each task's Err says how. It returns an error only
// if ctx is cancelled. Run may then be called again, and goes on as if nothing had happened.
func (b *Batch[S, W]) Run(ctx context.Context) error {
	for {
		if running, err := b.Step(ctx); err != nil || !running {
			return err
		}
	}
}

// Step takes the searches one step further: all texts that grow, and prompts as far as there is time.
// It reports whether there were any searches. It returns an error only if ctx is cancelled, and
// everything is then as before. A search whose own context was cancelled ends before the step.
func (b *Batch[S, W]) Step(ctx context.Context) (running bool, err error) {
	b.endCancelled()
	if b.forgetEnded(); len(b.tasks) == 0 {
		return false, nil
	}
	tokens := b.plan()
	defer func() {
		clear(b.running)
		b.forgetEnded()
	}()
	began := time.Now()
	for _, t := range b.running {
		t.clock.start()
	}
	texts := b.running[0].left == 0
	err = b.step(ctx, b.running, true)
	if err == nil && texts {
		b.pace.saw(tokens, time.Since(began))
	}
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

// endCancelled ends the searches whose own contexts were cancelled.
func (b *Batch[S, W]) endCancelled() {
	for _, t := range b.tasks {
		if t.cancelled() {
			t.fail(nil)
		}
	}
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
		b.works = b.append(b.works, t, guesses)
	}
	rows, err := b.compute(ctx, tasks)
	if err != nil {
		return err
	}
	b.rows = rows
	for _, t := range tasks {
		if t.left > 0 && t.echo != nil {
			b.rows = nil // so many rows are not kept
		}
	}
	for _, t := range tasks {
		n := len(t.search.Branches())
		t.goOn(rows[:n])
		rows = rows[n:]
	}
	return nil
}

// append appends what a search wants computed to works.
func (b *Batch[S, W]) append(works []W, t *Task[S], guesses bool) []W {
	for i, br := range t.search.Branches() {
		tokens, logits, drafts, before, more := br.Tokens, br.Logits, br.Draft, 0, 0
		switch {
		case t.left > 0:
			tokens, before, more = tokens[t.done:][:t.pass], t.done, t.left-t.pass
			switch {
			case t.echo != nil:
				logits = t.pass
			case more > 0:
				logits = 0
			}
		case !guesses:
			tokens, logits, drafts = tokens[:len(tokens)-drafts], logits-drafts, 0
		}
		works = append(works, newWork[S, W](t.seqs[i], tokens, logits, drafts, before, more))
	}
	return works
}

// compute takes the works through the model. A search that is alone in a step with a pass of its prompt,
// which may take long, is not waited for once its own context is cancelled: it ends then.
func (b *Batch[S, W]) compute(ctx context.Context, tasks []*Task[S]) ([][][]float32, error) {
	if t := tasks[0]; len(tasks) == 1 && t.left > 0 && t.ctx != nil {
		both, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(t.ctx, cancel)()
		ctx = both
	}
	return b.forward(ctx, b.works, b.rows)
}
