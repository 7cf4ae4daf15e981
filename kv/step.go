package kv

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/seed4d217819/ebb/plan"
)

// Step is one trip of new tokens through all layers. Every step is closed, with or without Commit;
// one goroutine uses it.
type Step struct {
	arrangement
	pool  *Pool
	kind  stepKind
	layer Layer

	copies  []*transfers   // by device; nil where nothing moves
	copied  bool           // the movers have been started
	copying sync.WaitGroup // the movers in the step's walks
	stall   time.Duration  // waiting for restored rows that need no copy

	begun     bool // the layers
	computed  int  // layers
	committed bool
	closed    bool
}

// stepKind says which layers visit their device in a step.
type stepKind int

// The kinds of steps.
const (
	hostStep   stepKind = iota // few tokens on many cells: attention may be computed on the host
	deviceStep                 // all streamed layers visit their device
	stepKinds
)

// visit is the unit of the schedule: one layer of one tree.
type visit struct {
	layer int
	tree  int // ordinal in the step
}

// Begin reserves cells for a batch and starts fetching the rows of the first layers. It waits for
// the step before to be closed. [ErrFull] and other errors come before anything has changed.
func (p *Pool) Begin(ctx context.Context, batch []Work) (*Step, error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	began := false
	defer func() {
		if !began { // also after a panic, so that the pool can be closed
			<-p.turn
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	defer p.tell()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("%w: the pool", ErrClosed)
	}
	if err := p.check(batch); err != nil {
		return nil, err
	}
	s := &Step{pool: p, arrangement: p.arrangement, copies: p.copies}
	p.arrangement, p.copies = arrangement{}, nil
	s.group(batch)
	for _, t := range s.trees {
		t.forgetRestore()
	}
	if p.config.policy.adapts() {
		if err := s.settle(ctx); err != nil {
			p.count()
			return nil, err
		}
	}
	for _, t := range s.trees {
		if err := p.seal(ctx, t.tree); err != nil {
			return nil, err
		}
	}
	if err := s.makeRoom(ctx); err != nil {
		p.count() // trees before the one that failed may have got memory
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		if unread, ok := errors.AsType[*unreadError](err); ok {
			err = p.loseSnapshot(unread)
		}
		p.count()
		return nil, err
	}
	p.count()
	p.open, began = true, true
	s.startCopies()
	return s, nil
}

// settle gives the trees of the step room together, where layers may leave for that.
func (s *Step) settle(ctx context.Context) error {
	if err := s.fits(); err != nil {
		return err
	}
	for _, t := range s.trees {
		if !s.pool.hasRoom(t.tree, min(t.high+t.need, t.capacity)) {
			return s.pool.settle(ctx, s.demands())
		}
	}
	return nil
}

// demands returns what the trees of the step need.
func (s *Step) demands() (demands []demand) {
	for _, t := range s.trees {
		cells := min(t.high+t.need, t.capacity)
		demands = append(demands, demand{tree: t.tree, cells: cells, soon: min(cells+t.more, t.capacity), past: t.room})
	}
	return demands
}

// fits reports a batch with more tokens than there are cells, or than a step takes.
func (s *Step) fits() error {
	if err := s.room(); err != nil {
		return err
	}
	if total, most := s.total(), s.pool.config.stepTokens; total > most {
		return fmt.Errorf("kv: %d tokens in one step: at most %d; split the prompt", total, most)
	}
	return nil
}

// makeRoom takes memory for the new cells of each tree.
func (s *Step) makeRoom(ctx context.Context) error {
	p := s.pool
	if err := s.fits(); err != nil {
		return err
	}
	for _, t := range s.trees {
		if err := p.ensureMemory(ctx, t.tree, min(t.high+t.need, t.capacity)); err != nil {
			return err
		}
	}
	return s.makeRoomForStates(ctx)
}

// begin takes the cells. After an error everything is as before; nothing can fail afterwards.
func (s *Step) begin(ctx context.Context) error {
	s.kind = s.pool.config.kind(s.total(), s.deepest())
	s.reserve()
	planned, taken := false, false
	defer func() {
		if taken {
			return
		}
		s.giveBack() // also after a panic
		s.giveStates()
		if planned {
			s.failRings()
		}
	}()
	s.cut(s.pool.config.chunkTokens)
	s.zeroPadding()
	if err := s.planRings(ctx); err != nil {
		return err
	}
	planned = true
	s.zeroPadding() // of regions that were made while rings grew
	if s.pool.states != nil && len(s.pool.config.windows) > 0 {
		if err := s.pool.fitStages(); err != nil { // of states that have left for larger rings
			return err
		}
	}
	if err := s.takeStates(ctx); err != nil {
		return err
	}
	if s.pool.states != nil {
		s.layRecurrences()
	}
	for i := range s.works {
		s.works[i].Seq.busy = true
	}
	taken = true
	return nil
}

// zeroPadding zeroes the blocks of new cells in all regions.
func (s *Step) zeroPadding() {
	s.pool.changing.Lock()
	defer s.pool.changing.Unlock()
	for _, t := range s.trees {
		for _, r := range t.regions {
			if r != nil {
				r.zero(t.high, min(plan.WholeBlocks(t.high), r.cells))
			}
		}
	}
}

// startCopies starts the movers of each device on its visits.
func (s *Step) startCopies() {
	p := s.pool
	for _, d := range p.devices {
		var t *transfers
		if d.moves() {
			t = s.newTransfers(d)
		}
		s.copies = append(s.copies, t)
		s.copied = s.copied || t != nil
	}
	if !s.copied {
		return
	}
	ctx := p.cancels.next()
	for _, t := range s.copies {
		if t != nil {
			t.start(ctx)
		}
	}
}

// Layers goes through the model's layers in order. When one is yielded, its rows are where it
// computes (those of the first tree, if the step has several: see [Layer.Acquire]) and the next
// ones are on their way. When the loop's body ends, the layer must have been computed. A step goes
// through its layers once.
func (s *Step) Layers(ctx context.Context) iter.Seq2[*Layer, error] {
	return func(yield func(*Layer, error) bool) {
		if s.begun || s.closed {
			yield(nil, errors.New("kv: the layers of a step that was closed or has gone through them: begin another"))
			return
		}
		s.begun = true
		for l := range s.pool.config.shapes {
			s.layer = s.newLayer(l)
			first := 0
			if s.layer.HostAttention() || s.pool.config.shapes[l].State > 0 {
				first = len(s.trees) - 1 // all trees are computed at once
			}
			if err := s.layer.Acquire(ctx, first); err != nil {
				yield(nil, err)
				return
			}
			if err := s.fetchStates(ctx, l); err != nil {
				yield(nil, err)
				return
			}
			if !yield(&s.layer, nil) {
				return
			}
			if err := s.layer.release(ctx); err != nil {
				yield(nil, err)
				return
			}
			s.storeStates(l)
			s.computed++
		}
	}
}

// Commit makes the sequences grow by the step's tokens. All layers must have been computed. It
// waits until their new rows are stored.
func (s *Step) Commit() error {
	if s.closed || s.committed {
		return errors.New("kv: commit of a step that was closed or committed before")
	}
	if all := len(s.pool.config.shapes); s.computed != all {
		return fmt.Errorf("kv: commit after %d of %d layers", s.computed, all)
	}
	for _, t := range s.copies {
		if t == nil {
			continue
		}
		if err := t.finish(context.Background()); err != nil {
			return fmt.Errorf("kv: commit: %w", err)
		}
	}
	p := s.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, w := range s.works {
		before := len(w.Seq.tokens)
		w.Seq.tokens = append(w.Seq.tokens, w.Tokens...)
		for _, r := range w.runs {
			w.Seq.runs = appendRun(w.Seq.runs, r)
		}
		p.stats.RecomputedTokens += w.again()
		w.Seq.pending = w.Seq.pending[w.again():]
		s.keepStates(&s.works[i])
		s.takeSnapshots(&s.works[i], before)
	}
	p.stats.Steps++
	s.committed = true
	return nil
}

// Close ends the step. Without Commit everything is as before Begin, but for the states that were kept for
// guesses ([Work]): Begin drops them. It may be called twice.
func (s *Step) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	p := s.pool
	defer func() { <-p.turn }()
	if s.copied && !s.committed {
		p.mu.Lock()
		p.cancels.all() // the fetches ahead of the step before keep the movers busy too
		p.mu.Unlock()
		s.copying.Wait()
	}
	stall := s.stall
	for _, t := range s.copies {
		if t != nil {
			stall += t.walk.stalled()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = false
	p.stats.Stall += stall
	var errs []error
	if !s.committed {
		s.giveBack()
		s.giveStates()
		s.failRings()
	}
	for _, w := range s.works {
		w.Seq.busy = false
		if w.Seq.closed {
			errs = append(errs, w.Seq.drop())
		}
	}
	retired := p.retired
	p.retired = nil
	for _, t := range retired {
		errs = append(errs, p.retire(t))
	}
	clear(s.copies)
	p.arrangement, p.copies = s.emptied(), s.copies[:0]
	s.arrangement, s.copies = arrangement{}, nil
	return errors.Join(errs...)
}
