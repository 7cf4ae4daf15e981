package kv

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/plan"
)

// spareRig is a pool on a CPU under the policy auto, with a sequence that stays and one that has left.
type spareRig struct {
	*Pool
	t         *testing.T
	stays     *Seq
	allocated int // regions and slots
}

func newSpareRig(t *testing.T, left int, change func(o *Options)) *spareRig {
	t.Helper()
	o := uniform(Auto, 3, 4*Block)
	if change != nil {
		change(&o)
	}
	p, err := NewPool(o, ownCPU(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &spareRig{Pool: p, t: t}
	p.hooks.alloc = func() error { r.allocated++; return nil }
	r.stays = r.join(1)
	r.leave(r.join(left))
	return r
}

// join takes a new sequence through a step of some tokens, with rows of NaN.
func (r *spareRig) join(n int) *Seq {
	r.t.Helper()
	s := r.NewSeq()
	growNaN(r.t, r.Pool, s, n)
	return s
}

func (r *spareRig) leave(s *Seq) {
	r.t.Helper()
	if err := s.Close(); err != nil {
		r.t.Fatal(err)
	}
}

// kept reports whether there is a spare.
func (r *spareRig) kept() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spare != nil
}

// A request that joins others when one has left takes no memory from the system, and one that leaves gives
// none back, until the last one does.
func TestARequestThatJoinsTakesTheMemoryOfOneThatLeft(t *testing.T) {
	r := newSpareRig(t, 1, nil)
	allocated, taken, in := r.allocated, r.Stats().DeviceBytes, r.devices[0].backend.Usage().Current[ggml.Regions]
	if want := int64(2 * 3 * Block * rowBytes); taken != want {
		t.Errorf("%d bytes are counted, want the %d of the first blocks of two sequences", taken, want)
	}
	for range 5 {
		r.leave(r.join(1))
	}
	if r.allocated != allocated {
		t.Errorf("%d regions were allocated for five requests that joined and left, want none", r.allocated-allocated)
	}
	if now := r.devices[0].backend.Usage(); now.Current[ggml.Regions] != in || now.Peak[ggml.Regions] != in {
		t.Errorf("%d bytes of regions, at most %d, want %d all the time", now.Current[ggml.Regions], now.Peak[ggml.Regions], in)
	}
	if got := r.Stats().DeviceBytes; got != taken {
		t.Errorf("%d bytes are counted, want %d", got, taken)
	}
	r.leave(r.stays)
	if got := r.Stats().DeviceBytes; r.kept() || got != 0 {
		t.Errorf("%d bytes are counted when all have left, want none", got)
	}
}

// What the kernels of the next tree may read of an old one is zero, and it is no more than was in use.
func TestNaNRowsOfATreeThatLeftReachNoOther(t *testing.T) {
	r := newSpareRig(t, 200, nil)
	old := r.spare.regions[0]
	for _, n := range []int{1, 3, 100, 1, Block} {
		s := r.join(n)
		if s.tree.regions[0] != old {
			t.Fatalf("%d tokens have not the memory of those that left", n)
		}
		for l, region := range s.tree.regions {
			for _, x := range []*ggml.Tensor{region.k, region.v} {
				got := make([]byte, int64(plan.Block-n)*x.Nb(1))
				if len(got) == 0 {
					continue
				}
				x.Get(got, int64(n)*x.Nb(1))
				if len(bytes.Trim(got, "\x00")) > 0 {
					t.Errorf("layer %d: not all cells behind %d tokens are zero", l, n)
				}
			}
		}
		r.leave(s)
	}
}

// The memory of a tree that has grown beyond a block goes back at once.
func TestNoMoreThanABlockIsKeptOfATree(t *testing.T) {
	if r := newSpareRig(t, Block, nil); !r.kept() {
		t.Error("the memory of a block is not kept")
	}
	if r := newSpareRig(t, Block+1, nil); r.kept() {
		t.Error("the memory of two blocks is kept")
	}
}

// The kept memory is given up before anyone is refused: to trees that need more than it has, to buffers
// of the host, and to others who need memory where layers compute.
func TestKeptMemoryIsGivenUpFirst(t *testing.T) {
	const block, memory = 3 * Block * rowBytes, 8 * Block * rowBytes // two trees, and what one needs while its rows move
	r := newSpareRig(t, 1, func(o *Options) { o.Cells, o.Memory = 2*Block, []int64{memory} })
	if !r.kept() {
		t.Fatal("nothing is kept")
	}
	growNaN(t, r.Pool, r.stays, Block)
	if r.kept() {
		t.Error("memory is kept beside a tree that needs it")
	}
	if got := r.Stats().DeviceBytesPeak; got > memory || got < 2*block {
		t.Errorf("%d bytes are counted at most, want %d to %d", got, 2*block, memory)
	}

	r = newSpareRig(t, 1, nil)
	two := []Work{{Seq: r.NewSeq(), Tokens: []int32{1}}, {Seq: r.NewSeq(), Tokens: []int32{1}}}
	if err := begin(t, r.Pool, two...).Close(); err != nil || r.kept() {
		t.Errorf("two that join at once: %v, and memory is kept: %v", err, r.kept())
	}

	free := int64(1 << 30)
	r = newSpareRig(t, 1, func(o *Options) {
		o.Room = func(device int, _ int64) (int64, bool) { return free, device == HostMemory }
	})
	free = 0
	if err := r.SavePart(t.Context(), r.stays, SaveOptions{}, nil); !errors.Is(err, ErrNoMemory) || r.kept() {
		t.Errorf("a save without host memory: %v, and memory is kept: %v; want %v, and none", err, r.kept(), ErrNoMemory)
	}

	r = newSpareRig(t, 1, nil)
	if yielded, err := r.Yield(context.Background()); !yielded || err != nil || r.kept() {
		t.Errorf("%v, %v, and memory is kept: %v; want it to be given up", yielded, err, r.kept())
	}
}

// What fits is the same with the kept memory and without it, by bounds and by what is free.
func TestKeptMemoryChangesNothingThatFits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		layers, total := rapid.IntRange(1, 3).Draw(rt, "layers"), rapid.Int64Range(2, 14).Draw(rt, "memory")
		memory := total * int64(layers) * Block * rowBytes
		var p *Pool
		r := newSpareRig(t, 1, func(o *Options) {
			o.Layers, o.ForcedCopies = o.Layers[:layers], rapid.Bool().Draw(rt, "layers may leave")
			o.Room = func(device int, _ int64) (int64, bool) {
				if device == HostMemory || p == nil {
					return 0, false
				}
				return max(0, memory-p.held(p.devices[device])), true
			}
		})
		p = r.Pool
		if !r.kept() {
			rt.Fatal("nothing is kept")
		}
		more := rapid.SliceOfN(rapid.IntRange(0, 4*Block), 1, 4).Draw(rt, "more")
		claims := func(yield func(*Seq, int) bool) {
			for i, n := range more {
				s := r.stays
				if i > 0 {
					s = nil
				}
				if !yield(s, n) {
					return
				}
			}
		}
		with := r.Fits(claims)
		if yielded, err := r.Yield(t.Context()); !yielded || err != nil {
			rt.Fatal(yielded, err)
		}
		if without := r.Fits(claims); with != without {
			rt.Errorf("%v with the kept memory, %v without it", with, without)
		}
	})
}
