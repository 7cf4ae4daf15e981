package kv

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/seed4d217819/ebb/tier"
)

// Work is what one sequence takes through a step: one token to decode, a few as
// a draft, many to prefill.
type Work struct {
	Seq    *Seq
	Tokens []int32
	Logits int // of how many last tokens the logits are wanted
}

// Step is one pass of new tokens through all layers. Every step is closed, with
// or without Commit; one goroutine uses it.
type Step struct {
	pool *Pool
	lists
	kind   int // small or large: which layers visit their device
	masker masker
	layer  Layer

	begun     bool // its layers
	computed  int  // layers
	cancel    context.CancelFunc
	copying   sync.WaitGroup // the movers at the walks
	committed bool
	closed    bool
}

// lists are what a step is made of. The pool lends them to the open step, so that
// a step like the one before allocates none.
type lists struct {
	works   []work // in step order: the works of a tree stand together
	trees   []stepTree
	need    []int // new cells, by tree
	tokens  []int32
	pos     []int32
	cells   []int64
	logits  []int32
	rows    [][]float32
	chunks  []Chunk
	parts   []Part       // of all chunks
	numbers []int        // of the works of all parts
	copies  []*transfers // by device; nil where nothing moves
}

// emptied returns the lists without what is in them.
func (l lists) emptied() lists {
	for i, w := range l.works {
		l.works[i] = work{runs: w.runs[:0]}
	}
	clear(l.trees)
	clear(l.rows)
	clear(l.copies)
	return lists{
		works: l.works[:0], trees: l.trees[:0], need: l.need[:0],
		tokens: l.tokens[:0], pos: l.pos[:0], cells: l.cells[:0], logits: l.logits[:0], rows: l.rows[:0],
		chunks: l.chunks[:0], parts: l.parts[:0], numbers: l.numbers[:0], copies: l.copies[:0],
	}
}

// The kinds of steps: those of few tokens on many cells, whose attention may be
// computed at the host, and the others.
const (
	small = iota
	large
)

// stepTree is a tree's part in a step.
type stepTree struct {
	*tree
	epoch  uint64 // the step's number among the tree's
	before int    // cells [0, before) held rows when the step began
	after  int    // the tree's high mark with the new cells
}

// work is a Work in its place in the step.
type work struct {
	Work
	order int // its place in the caller's batch
	tree  int // ordinal in the step
	first int // first token in the step
	past  int // the sequence's tokens before the step

	sealed int        // of the sequence's cells before the step, the sealed ones
	old    []tier.Run // and the others
	runs   []tier.Run // new cells
}

// visit is the unit of the schedule: one layer of one tree.
type visit struct {
	layer int
	tree  int // ordinal in the step
}

// Begin reserves cells for a batch and starts fetching the rows of the first
// layers. It waits for the step before to be closed. [ErrFull] and other errors
// come before anything has changed.
func (p *Pool) Begin(ctx context.Context, batch []Work) (*Step, error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s, err := p.begin(ctx, batch)
	if err != nil {
		<-p.turn
		return nil, err
	}
	return s, nil
}

func (p *Pool) begin(ctx context.Context, batch []Work) (*Step, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("%w: the pool", ErrClosed)
	}
	if err := p.check(batch); err != nil {
		return nil, err
	}
	s := &Step{pool: p, lists: p.lists}
	p.lists = lists{}
	s.order(batch)
	for _, t := range s.trees {
		if err := p.seal(t.tree); err != nil {
			return nil, err
		}
	}
	if err := s.makeRoom(); err != nil {
		p.count() // trees before the one that failed may have got memory
		return nil, err
	}
	s.reserve()
	s.cut()
	p.count()
	p.open = true
	s.schedule()
	return s, nil
}

// check reports a batch that makes no step.
func (p *Pool) check(batch []Work) error {
	if len(batch) == 0 {
		return errors.New("kv: an empty batch: want at least one sequence with tokens")
	}
	for i, w := range batch {
		switch {
		case w.Seq == nil || w.Seq.pool != p:
			return fmt.Errorf("kv: work %d: its sequence is not of this pool", i)
		case w.Seq.closed:
			return fmt.Errorf("kv: work %d: %w: the sequence", i, ErrClosed)
		case len(w.Tokens) == 0:
			return fmt.Errorf("kv: work %d: no tokens", i)
		case w.Logits < 0 || w.Logits > len(w.Tokens):
			return fmt.Errorf("kv: work %d: logits of %d tokens wanted of %d", i, w.Logits, len(w.Tokens))
		}
		for j := range i {
			if batch[j].Seq == w.Seq {
				return fmt.Errorf("kv: works %d and %d are of the same sequence: join their tokens", j, i)
			}
		}
	}
	return nil
}

// order groups the batch by tree and numbers its tokens.
func (s *Step) order(batch []Work) {
	for i, w := range batch {
		t := slices.IndexFunc(s.trees, func(t stepTree) bool { return t.tree == w.Seq.tree })
		if t < 0 {
			t = len(s.trees)
			s.trees = append(s.trees, stepTree{tree: w.Seq.tree})
		}
		s.works = append(s.works, work{Work: w, order: i, tree: t, past: len(w.Seq.tokens), runs: s.spareRuns()})
	}
	slices.SortStableFunc(s.works, func(a, b work) int { return a.tree - b.tree })
	first := 0
	for i := range s.works {
		s.works[i].first = first
		first += len(s.works[i].Tokens)
	}
}

// spareRuns returns the memory for runs of the work that is appended next.
func (l *lists) spareRuns() []tier.Run {
	n := len(l.works)
	if n == cap(l.works) {
		return nil
	}
	return l.works[:n+1][n].runs[:0]
}

// makeRoom sees to memory for the new cells of each tree.
func (s *Step) makeRoom() error {
	total := 0
	for range s.trees {
		s.need = append(s.need, 0)
	}
	for _, w := range s.works {
		s.need[w.tree] += len(w.Tokens)
		total += len(w.Tokens)
	}
	if total > s.pool.opts.HostTokens || s.deepest() < s.pool.opts.HostDepth {
		s.kind = large
	}
	for i, t := range s.trees {
		if free := t.free(); s.need[i] > free {
			return fmt.Errorf("%w: %d new tokens, room for %d of %d", ErrFull, s.need[i], free, t.capacity)
		}
	}
	if most := s.pool.StepTokens(); total > most {
		return fmt.Errorf("kv: %d tokens in one step: at most %d; split the prompt", total, most)
	}
	for i, t := range s.trees {
		if err := s.pool.settle(t.tree, min(t.high+s.need[i], t.capacity)); err != nil {
			return err
		}
	}
	return nil
}

// deepest returns how many cells the largest of the step's trees holds.
func (s *Step) deepest() (cells int) {
	for _, t := range s.trees {
		cells = max(cells, t.high)
	}
	return cells
}

// reserve takes the cells; nothing can fail from here on.
func (s *Step) reserve() {
	for i := range s.trees {
		t := &s.trees[i]
		t.tree.epoch++
		t.epoch, t.before = t.tree.epoch, t.high
	}
	for i := range s.works {
		w := &s.works[i]
		w.Seq.busy = true
		w.sealed, w.old = s.trees[w.tree].sealed, w.Seq.runs
		w.runs = s.trees[w.tree].take(len(w.Tokens), w.runs)
		s.tokens = append(s.tokens, w.Tokens...)
		for j := range w.Tokens {
			s.pos = append(s.pos, int32(w.past+j))
			if j >= len(w.Tokens)-w.Logits {
				s.logits = append(s.logits, int32(w.first+j))
			}
		}
		for _, r := range w.runs {
			for c := r.Start; c < r.End(); c++ {
				s.cells = append(s.cells, int64(c))
			}
		}
	}
	for i := range s.trees {
		t := &s.trees[i]
		t.after = t.high
		for _, r := range t.regions {
			if r != nil {
				r.zero(min(pad(t.high), r.cells))
			}
		}
	}
}

// schedule starts the movers on the visits of each device.
func (s *Step) schedule() {
	p := s.pool
	moves := false
	for _, d := range p.devices {
		var t *transfers
		if d.moves() {
			t = s.newTransfers(d)
		}
		s.copies = append(s.copies, t)
		moves = moves || t != nil
	}
	if !moves {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	if before := p.ahead; before != nil {
		// what the last step fetches ahead holds the movers up: it ends with this one
		s.cancel = func() { cancel(); before() }
	}
	p.stop, p.ahead = s.cancel, cancel
	for _, t := range s.copies {
		if t != nil {
			t.start(ctx)
		}
	}
}

// Tokens returns the step's tokens. Like the slices of the other methods they
// are the step's own until Close, in step order: the works of a tree stand
// together.
func (s *Step) Tokens() []int32 { return s.tokens }

// Positions returns each token's position in its sequence.
func (s *Step) Positions() []int32 { return s.pos }

// Cells returns the cell of each token's rows in its tree.
func (s *Step) Cells() []int64 { return s.cells }

// LogitRows returns the tokens, by number, of which logits are wanted.
func (s *Step) LogitRows() []int32 { return s.logits }

// Gather puts the rows of the batch's works, in the order that Begin was given
// and as many as each wants logits, in the order of LogitRows.
func (s *Step) Gather(rows [][][]float32) [][]float32 {
	s.rows = s.rows[:0]
	for _, w := range s.works {
		s.rows = append(s.rows, rows[w.order][:w.Logits]...)
	}
	return s.rows
}

// Chunks returns the parts of the step that one graph computes each.
func (s *Step) Chunks() []Chunk { return s.chunks }

// Layers goes through the model's layers in order. When one is yielded, its
// rows are where it computes (those of the first tree, if the step has several:
// see [Layer.Acquire]) and the next ones are on their way. When the loop's body
// ends, the layer must have been computed. A step goes through its layers once.
func (s *Step) Layers(ctx context.Context) iter.Seq2[*Layer, error] {
	return func(yield func(*Layer, error) bool) {
		if s.begun || s.closed {
			yield(nil, errors.New("kv: the layers of a step that was closed or has gone through them: begin another"))
			return
		}
		s.begun = true
		for l := range s.pool.opts.Layers {
			s.layer = s.newLayer(l)
			if err := s.layer.Acquire(ctx, 0); err != nil {
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
			s.computed++
		}
	}
}

// Commit makes the sequences grow by the step's tokens. All layers must have
// been computed. It waits until their new rows are kept.
func (s *Step) Commit() error {
	if s.closed || s.committed {
		return errors.New("kv: commit of a step that was closed or committed before")
	}
	if all := len(s.pool.opts.Layers); s.computed != all {
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
	for _, w := range s.works {
		w.Seq.tokens = append(w.Seq.tokens, w.Tokens...)
		for _, r := range w.runs {
			w.Seq.runs = appendRun(w.Seq.runs, r)
		}
	}
	p.stats.Steps++
	s.committed = true
	return nil
}

// Close ends the step. Without Commit everything is as before Begin. It may be
// called twice.
func (s *Step) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	p := s.pool
	defer func() { <-p.turn }()
	if s.cancel != nil && !s.committed {
		s.cancel()
		s.copying.Wait()
	}
	var stall time.Duration
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
	for _, w := range s.works {
		if !s.committed {
			s.trees[w.tree].give(w.runs)
		}
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
	p.lists, s.lists = s.emptied(), lists{}
	return errors.Join(errs...)
}
