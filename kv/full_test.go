package kv

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier"
)

// Every way in which K/V do not fit is ErrFull; ErrNoMemory tells memory from cells.
func TestEveryLackOfRoomIsErrFull(t *testing.T) {
	const layer = 256 * rowBytes
	tests := []struct {
		name   string
		limit  int64 // of the backend
		change func(o *Options)
		steps  func(p *Pool) error
		memory bool
	}{
		{"cells", 0, func(o *Options) { o.Cells = 3 }, func(p *Pool) error { return tokens(p, p.NewSeq(), 4) }, false},
		{"memory below the least", 0, func(o *Options) { o.Memory = []int64{1} }, nil, true},
		{"memory of one device below the least", 0, func(o *Options) { o.On, o.Memory = []int{0, 0, 0}, []int64{1} }, nil, true},
		{"a tree more than memory is for", 0, func(o *Options) { o.Policy, o.Memory = Static, []int64{3 * layer} }, twoTrees, true},
		{"a region on the device", 4 * layer, func(o *Options) { o.Policy = Static }, twoTrees, true},
		{"a slot", layer, func(o *Options) {}, nil, true},
		{"a region in host memory", 0, func(o *Options) { o.HostAttention = []bool{true, true, true} }, failingAlloc(1), true},
		{"a tier in host memory", 0, func(o *Options) {}, failingAlloc(1), true},
		{"a tier in host memory, at once", 0, func(o *Options) { o.Policy = OffloadedStatic }, failingAlloc(3), true},
		{"a tier that is full", 0, func(o *Options) { o.Tier = fullTier }, func(p *Pool) error { return tokens(p, p.NewSeq(), 1) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := uniform(Offloaded, 3, 256)
			o.ForcedCopies = true
			tt.change(&o)
			p, err := NewPool(o, ownCPU(t, tt.limit))
			if tt.steps != nil {
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				err = tt.steps(p)
			}
			if !errors.Is(err, ErrFull) || errors.Is(err, ErrNoMemory) != tt.memory {
				t.Errorf("%v: ErrFull %v, ErrNoMemory %v; want true, %v", err, errors.Is(err, ErrFull), errors.Is(err, ErrNoMemory), tt.memory)
			}
		})
	}
}

// A tier that fails for another reason is broken, not full.
func TestATierThatIsDownIsNotFull(t *testing.T) {
	o := uniform(Offloaded, 3, 256)
	o.ForcedCopies, o.Tier = true, func([]tier.Layout, tier.Allocator) tier.Tier { return refusing{err: errDown} }
	p, err := NewPool(o, ownCPU(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := tokens(p, p.NewSeq(), 1); !errors.Is(err, errDown) || errors.Is(err, ErrFull) {
		t.Errorf("%v; want %v, which is not %v", err, errDown, ErrFull)
	}
}

// Rows are put in order through host memory. Without it the step does not fit, and no row is lost.
func TestNoMemoryToMoveRowsLosesNone(t *testing.T) {
	o := uniform(Offloaded, 4, 700)
	o.ForcedCopies = true
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := newSearch(l, 0, 2)
	for s.beams[0].Len() < Block {
		l.grow(s.works(50)...)
		s.reorder(s.all(1))
	}
	l.pool.hooks.alloc = func() error { return fmt.Errorf("%w: none", ggml.ErrNoMemory) }
	if err := l.step(t.Context(), 5, s.works(1)...); !errors.Is(err, ErrNoMemory) || l.pool.Stats().MovedBytes != 0 {
		t.Fatalf("%v after %d bytes had moved; want %v after none", err, l.pool.Stats().MovedBytes, ErrNoMemory)
	}
	l.pool.hooks.alloc = nil
	l.check()
	l.grow(s.works(1)...)
	l.check()
	if l.pool.Stats().MovedBytes == 0 {
		t.Error("no row has moved: the test shows nothing")
	}
}

// tokens takes n tokens of a sequence through a step that computes nothing.
func tokens(p *Pool, s *Seq, n int) error {
	ctx := context.Background()
	step, err := p.Begin(ctx, []Work{{Seq: s, Tokens: make([]int32, n)}})
	if err != nil {
		return err
	}
	defer step.Close()
	for layer, err := range step.Layers(ctx) {
		for c := range step.Chunks() {
			if err == nil {
				err = layer.Prepare(ctx, c)
			}
		}
		if err != nil {
			return err
		}
	}
	return step.Commit()
}

// twoTrees takes two trees through a step each.
func twoTrees(p *Pool) error {
	if err := tokens(p, p.NewSeq(), 1); err != nil {
		return fmt.Errorf("the first tree: %s", err.Error()) // unwrapped: only the second tree may be full
	}
	return tokens(p, p.NewSeq(), 1)
}

// failingAlloc takes a token through a step in which the nth allocation fails; the sequence then
// goes on.
func failingAlloc(n int) func(p *Pool) error {
	return func(p *Pool) error {
		s := p.NewSeq()
		p.hooks.alloc = func() error {
			if n--; n == 0 {
				return fmt.Errorf("%w: injected", ggml.ErrNoMemory)
			}
			return nil
		}
		err := tokens(p, s, 1)
		p.hooks.alloc = nil
		if again := tokens(p, s, 1); again != nil {
			return fmt.Errorf("with memory again: %s", again.Error())
		}
		return err
	}
}

// refusing is a tier that cannot reserve cells.
type refusing struct {
	tier.Tier
	err error
}

func (r refusing) Reserve(_ context.Context, cells int) error {
	return fmt.Errorf("reserve %d cells: %w", cells, r.err)
}
func (r refusing) Usage() tier.Usage { return tier.Usage{} }
func (r refusing) Close() error      { return nil }

func fullTier([]tier.Layout, tier.Allocator) tier.Tier { return refusing{err: tier.ErrFull} }
