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
	// Pending returns how many of the last tokens of a sequence are to be computed again. They go in
	// passes, too. nil: none ever are.
	Pending func(seq S) int

	// Short says what the model was short of, if a step has failed because there was no room for it and
	// nothing has changed. The requests of the step then wait instead of ending. nil: no step is short of
	// anything, and a request whose step fails alone ends.
	Short func(error) *Shortage[S]
	// Fits reports whether there is room for all of some claims together. A request for which there is none
	// waits before it begins. nil: it is tried.
	Fits func([]Claim[S]) bool
	// Full asks the owner of the memory to make room for some claims, for example by giving up sequences of
	// which the batch has none, and reports whether there is more room now. It is called again if that
	// does not suffice. err is the step's, nil for a request that has not begun. The error of Full joins that
	// of a request which ends for want of room. nil: the batch has all of the memory.
	Full func(ctx context.Context, claims []Claim[S], err error) (made bool, failed error)
	// Park takes over the sequence of a request that waits and gives its rows away, for example to files. It
	// returns how the sequence comes back: with its tokens, or the first of them, as the others are computed
	// again. After an error the sequence is as it was. nil, or an error: the sequence is truncated to
	// nothing, and its tokens are computed again.
	Park func(ctx context.Context, seq S) (restore func(context.Context) (S, error), err error)
	// Coming returns a channel that is closed when there may be more room, because Full or Park have begun to
	// make some that is not there yet: others go on meanwhile, and nothing else is parked. nil, or a nil channel:
	// nothing is on its way.
	Coming func() <-chan struct{}
	// Lost takes over a sequence whose rows cannot be read, if that is what the error of a step says, and
	// returns another one in its place, with the first of its tokens or none. The others are computed again.
	// Without it, or if it reports false, the request ends. It is asked for requests whose texts grow.
	Lost func(ctx context.Context, seq S, err error) (instead S, lost bool, failed error)
}

// BatchStats count what a batch has done for want of room.
type BatchStats struct {
	SetAside int // requests that had to wait with their sequences
	Parked   int // requests whose rows were given away
	Lost     int // times that the rows of a request could not be read, and were computed again
	Ended    int // requests that have left the batch
	Again    int // tokens that those have computed again
}

// Batch carries out searches, of one prompt or of several: one step through the model serves all of
// them. Prompts that are too long for a step beside others go in passes, one a step (chunked prefill).
// A search that has ended gives back its sequences at once, and the batch forgets it. One goroutine
// uses a batch.
type Batch[S Sequence[S], W Work[S]] struct {
	forward Forward[W]
	options BatchOptions[S]
	pace    pace
	tasks   []*Task[S] // those that have not ended, in the order in which they came
	stats   BatchStats

	coming   <-chan struct{} // is closed when there may be room for those that were set aside
	came     bool            // since a request was set aside there is room that was on its way
	freed    bool            // since a request was set aside another one has ended
	asked    bool            // the owner has no more room since then
	tries    int             // steps since then
	patience int             // steps after which a request that waits is tried all the same
	once     int             // tokens of prompts that the last step had time for

	// Scratch of a step.
	running []*Task[S]
	prompts []*Task[S]
	works   []W
	rows    [][][]float32
	claims  []Claim[S]
}

// NewBatch returns an empty batch. The caller closes it.
func NewBatch[S Sequence[S], W Work[S]](forward Forward[W], o BatchOptions[S]) *Batch[S, W] {
	if o.StepTokens <= 0 {
		o.StepTokens = math.MaxInt
	}
	if o.PromptRows <= 0 {
		o.PromptRows = math.MaxInt
	}
	return &Batch[S, W]{forward: forward, options: o, pace: pace{target: max(o.StepTime, 0).Seconds()}, patience: retrySteps}
}

// Add adds a search that continues a prompt. If Add returns an error, the batch has closed the
// request's sequence, unless the request keeps it.
func (b *Batch[S, W]) Add(r Request[S]) (*Task[S], error) {
	t := newTask(r, b.options.Pending)
	if t.err != nil {
		return nil, t.err
	}
	if t.running() {
		t.measure()
		b.tasks = append(b.tasks, t)
		b.asked = false
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

// Stats returns what the batch has counted.
func (b *Batch[S, W]) Stats() BatchStats { return b.stats }

// Step takes the searches one step further: all texts that grow, and prompts as far as there is time.
// It reports whether there were any searches. Searches whose own contexts were cancelled end in a call
// without a step.
//
// It returns an error only if ctx is cancelled. A search then has the tokens that it had. But where a step
// has failed and the searches take it one by one, those that came before the end of ctx are a step further
// than the others; and some may wait for room now that did not. Another call goes on from there, and no text
// is another one for it.
func (b *Batch[S, W]) Step(ctx context.Context) (running bool, err error) {
	b.endCancelled()
	some := b.someEnded()
	if b.forgetEnded(); len(b.tasks) == 0 || some { // the caller may have their sequences, and give them up
		return len(b.tasks) > 0, nil
	}
	defer func() {
		clear(b.running)
		b.forgetEnded()
	}()
	if b.tries++; b.tries >= b.patience {
		b.freed, b.asked, b.tries, b.patience = true, false, 0, min(2*b.patience, mostRetrySteps)
	}
	b.look()
	for asked := 0; ; asked++ {
		if err := b.admit(ctx); err != nil {
			return true, err
		}
		if b.someEnded() { // the caller may have their sequences, and give them up
			return true, nil
		}
		tokens := b.plan()
		err := b.try(ctx, tokens)
		if err == nil || ctx.Err() != nil {
			return true, err
		}
		short := b.short(err)
		if short == nil {
			return true, b.eachAlone(ctx, err)
		}
		if err := b.relieve(ctx, short, err, asked); err != nil || b.someEnded() {
			return true, err
		}
	}
}

// someEnded reports whether searches have ended since the step began.
func (b *Batch[S, W]) someEnded() bool {
	return slices.ContainsFunc(b.tasks, func(t *Task[S]) bool { return !t.running() })
}

// try takes the step that is planned, and if that fails, one without guesses.
func (b *Batch[S, W]) try(ctx context.Context, tokens int) error {
	began := time.Now()
	guesses := false
	for _, t := range b.running {
		t.clock.start()
		guesses = guesses || t.left == 0 && t.guesses()
	}
	texts := b.running[0].left == 0
	err := b.step(ctx, b.running, true)
	if err == nil && texts {
		b.pace.saw(tokens, time.Since(began))
	}
	if err != nil && ctx.Err() == nil && guesses {
		err = b.step(ctx, b.running, false)
	}
	return err
}

// eachAlone takes the step of each search alone, without guesses: what fails for one must not end the others.
func (b *Batch[S, W]) eachAlone(ctx context.Context, err error) error {
	if len(b.running) == 1 {
		return b.lose(ctx, b.running[0], err)
	}
	stuck := true
	for i, t := range b.running {
		alone := b.step(ctx, b.running[i:i+1], false)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case alone != nil && b.short(alone) != nil:
			continue // it waits in the next step
		case alone != nil:
			if err := b.lose(ctx, t, alone); err != nil {
				return err
			}
		}
		stuck = false
	}
	if stuck {
		b.running[0].fail(err)
	}
	return nil
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
			continue
		}
		b.stats.Ended++
		b.stats.Again += t.again
		b.freed, b.asked, b.tries, b.patience = true, false, 0, retrySteps
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
		n := 1
		if t.left == 0 {
			n = len(t.search.Branches())
		}
		t.goOn(rows[:n])
		rows = rows[n:]
	}
	return nil
}

// append appends what a search wants computed to works.
func (b *Batch[S, W]) append(works []W, t *Task[S], guesses bool) []W {
	if t.left > 0 {
		tokens, again, logits := t.nextPass()
		return append(works, newWork[S, W](t.seqs[t.at], tokens, logits, 0, t.done, t.rest-t.pass, again))
	}
	for i, br := range t.search.Branches() {
		tokens, logits, drafts := br.Tokens, br.Logits, br.Draft
		if !guesses {
			tokens, logits, drafts = tokens[:len(tokens)-drafts], logits-drafts, 0
		}
		works = append(works, newWork[S, W](t.seqs[i], tokens, logits, drafts, 0, 0, 0))
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
