package kv

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
)

func copyOf(t rapid.TB, s *Seq, n int) *Seq {
	t.Helper()
	c, err := s.pool.Copy(context.Background(), s, n)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// copy copies a sequence, and keeps account of the copy.
func (l *ledger) copy(s *Seq, n int) *Seq {
	l.t.Helper()
	want := computedAfterTruncate(s, n)
	c := copyOf(l.t, s, n)
	l.tokens[c] = slices.Clone(l.tokens[s][:n])
	if got := len(c.tokens); got != want || c.tree == s.tree {
		l.t.Fatalf("a copy of %d tokens has %d with their state; want %d in a tree of its own", n, got, want)
	}
	return c
}

// A copy gives the bits that the sequence gives itself, whatever it was copied from and to.
func TestACopyEqualsTheSequence(t *testing.T) {
	changes := map[string]func(*Options){
		"static":   func(o *Options) { o.Policy = Static },
		"in place": func(*Options) {},
		"streamed": func(o *Options) { o.ForcedCopies, o.ResidentLayers = true, 1 },
		"from host": func(o *Options) {
			o.ForcedCopies, o.HostAttention, o.HostDepth = true, []bool{true, false, true}, 1<<20
		},
		"on disk": func(o *Options) {
			some, _ := stacked(t, 300*shareRow)
			o.Tier, o.ForcedCopies, o.SlotAlign = some.Tier, true, 4096
		},
		"demoted": func(o *Options) { o.Policy, o.ForcedCopies, o.Trees = Auto, true, 2 },
	}
	for _, d := range []struct {
		name  string
		open  func(rapid.TB) *ggml.Backend
		types []ggml.Type
		only  []string // of the changes; nil: all
	}{
		{"cpu", onCPU, []ggml.Type{ggml.F32, ggml.Q8_0}, nil},
		{"vulkan", onVulkan, []ggml.Type{ggml.F16}, []string{"static", "streamed"}}, // whose regions the host cannot address
	} {
		t.Run(d.name, func(t *testing.T) {
			if testing.Short() && d.name == "vulkan" {
				t.Skip("it takes seconds: make test runs it")
			}
			b := d.open(t)
			for _, typ := range d.types {
				want := newRig(t, b, rigOptions(Static, 3, typ))
				defer want.close()
				s := lived(want)
				first := len(want.steps)
				kept := save(t, want.pool, s)
				lives(want, s)
				for name, change := range changes {
					if d.only != nil && !slices.Contains(d.only, name) {
						continue
					}
					t.Run(typ.String()+"/"+name, func(t *testing.T) {
						o := rigOptions(Offloaded, 3, typ)
						change(&o)
						r := newRig(t, b, o)
						defer r.close()
						r.pool.turnBytes = 1
						s := lived(r)
						c := squeezed(t, r.pool, 3, 60, func() *Seq { return copyOf(t, s, s.Len()) })
						save(t, r.pool, c).equal(t, kept)
						if stats := r.pool.Stats(); stats.CopiedBytes == 0 || o.Policy == Auto && stats.Demotions == 0 {
							t.Errorf("%d bytes were copied, %d layers have left: the test shows nothing", stats.CopiedBytes, stats.Demotions)
						}
						lives(r, c)
						if i := differ(r.steps[first:], want.steps[first:]); i >= 0 {
							t.Errorf("step %d after copying differs", i)
						}
						save(t, r.pool, s).equal(t, kept)
					})
				}
			}
		})
	}
}

// So does a copy of a sequence some of whose layers have windows, or share the rows of others.
func TestACopyEqualsTheSequenceWithWindows(t *testing.T) {
	for name, options := range map[string]func(Policy, ggml.Type) Options{"windowed": windowedOptions, "shared": sharedOptions} {
		for _, copies := range []bool{false, true} {
			o := options(Offloaded, ggml.Q8_0)
			o.ForcedCopies = copies
			r := newRig(t, onCPU(t), o)
			a := r.pool.NewSeq()
			r.grow(growth{a, 350})
			r.grow(growth{a, 350})
			r.grow(growth{a, 1})
			c := copyOf(t, a, 701)
			for _, to := range []int{701, 690, 60} {
				mustTruncate(t, a, to)
				mustTruncate(t, c, to)
				for _, n := range []int{1, 40} {
					first := r.last
					want := r.grow(growth{a, n})
					if r.last = first; !bytes.Equal(r.grow(growth{c, n}), want) {
						t.Errorf("%s, copies %v, truncated to %d: the copy differs", name, copies, to)
					}
				}
			}
			r.close()
		}
	}
}

// squeezed copies a sequence while a device is squeezed before one of the blocks, as a step between two
// turns would do it.
func squeezed(t rapid.TB, p *Pool, at, percent int, copies func() *Seq) *Seq {
	if !p.config.policy.adapts() {
		return copies()
	}
	copied(p)
	p.drain()
	calls := 0
	p.hooks.beforeCopy = func() {
		if calls++; calls == at { // those of the demotion itself come later
			squeezeNow(t, p, percent)
		}
	}
	defer func() { p.hooks.beforeCopy = nil }()
	return copies()
}

// A copy has the rows, states and snapshots of the first tokens, and both go on with and without each
// other, for all kinds of layers.
func TestCopiesHaveTheirOwnCells(t *testing.T) {
	for name, o := range caches(t) {
		t.Run(name, func(t *testing.T) {
			c := newCrowd(t, o)
			defer c.close()
			all := c.s.Len()
			var copies []*Seq
			for _, n := range []int{all, all - 1, 310, 256, 1, 0} {
				one := squeezed(t, c.pool, 5, 80, func() *Seq { return c.copy(c.s, n) })
				c.check()
				copies = append(copies, one)
				c.grow(growth{one, 3}, growth{c.s, 1}, growth{c.after, 1})
				c.check()
			}
			c.truncate(copies[0], 305) // behind or at snapshots that both hold
			c.truncate(c.s, 290)
			c.grow(growth{copies[0], 2}, growth{c.s, 2})
			c.check()
			again := c.copy(copies[1], copies[1].Len())
			c.closeSeq(copies[1])
			c.grow(growth{again, 10}, growth{copies[2], 300}) // the capacity is its own
			c.check()
			if _, err := c.pool.Copy(t.Context(), c.s, c.s.Len()+1); err == nil {
				t.Error("more tokens were copied than there are")
			}
			c.check()
		})
	}
}

// Tokens that are pending are those of the copy, too.
func TestPendingTokensAreCopied(t *testing.T) {
	l := newLedger(t, ownCPU(t, 0), everyKind(Dynamic))
	defer l.close()
	s := l.seq()
	for range 5 {
		l.grow(growth{s, 50})
	}
	l.truncate(s, 230) // to the snapshot after 200
	for _, n := range []int{230, 215, 200, 100} {
		c := l.copy(s, n)
		l.check()
		l.grow(growth{c, 1})
		l.check()
	}
	l.grow(growth{s, 1})
	l.check()
}

// What few rows behind windows are kept are copied, and the rest is known to be missing.
func TestBoundedWindowsAreCopied(t *testing.T) {
	for _, windowRows := range []int{NoWindowRows, 300} {
		l := boundedLedger(t, windowRows)
		s := l.seq()
		for s.Len() < 2000 {
			l.grow(growth{s, 250})
		}
		l.truncate(s, 1990)
		for _, forks := range []int{0, 1} {
			if forks > 0 {
				l.fork(s)
			}
			c := l.copy(s, 1985)
			l.check()
			l.grow(growth{c, 70})
			l.check()
			l.truncate(c, 1000)
			gone, ok := errors.AsType[*GoneError](l.step(t.Context(), 4, growth{c, 1}))
			if !ok {
				t.Fatal("rows that are not kept were found")
			}
			l.again(gone)
			l.grow(growth{c, 1})
			l.check()
		}
	}
}

// Where tiers share blocks, a copy holds none of its own but the last ones.
func TestCopiesShareTheirRows(t *testing.T) {
	o, _ := stacked(t, -1)
	r := newRig(t, onCPU(t), o)
	defer r.close()
	s := r.pool.NewSeq()
	r.grow(growth{s, common})
	r.grow(growth{s, 1})
	c := copyOf(t, s, common)
	r.grow(growth{c, 1})
	r.grow(growth{c, 1})
	if got, want := r.pool.Stats().HostBytes, int64(2*1024-768)*shareRow; got != want {
		t.Errorf("%d bytes of a sequence and its copy; want %d", got, want)
	}
}

// Whatever fails while a sequence is copied, and wherever it is cancelled, nothing is left of the copy.
func TestACopyThatFailsLeavesNothing(t *testing.T) {
	for _, policy := range []Policy{Offloaded, Auto} {
		o := everyKind(policy)
		o.Tier = stack.New(host.NewExact, nil, -1).New
		down := &failing{make: o.Tier}
		o.Tier = down.open
		c := newCrowd(t, o)
		squeeze(t, c.pool, 0)
		copied(c.pool)
		c.pool.drain()
		before, used := c.pool.Stats(), c.pool.devices[0].backend.Usage().Total()
		// attempt copies, and reports whether that has failed, as it should.
		attempt := func(ctx context.Context, want error) bool {
			t.Helper()
			one, err := c.pool.Copy(ctx, c.s, 400)
			down.set(0)
			if err == nil {
				mustClose(t, one)
				return false
			}
			if !errors.Is(err, want) {
				t.Errorf("%v; want %v", err, want)
			}
			stats, total := c.pool.Stats(), c.pool.devices[0].backend.Usage().Total()
			if policy != Auto && (stats.HostBytes != before.HostBytes || stats.DeviceBytes != before.DeviceBytes || total != used) {
				t.Errorf("%+v, %d bytes in use; want the bytes of %+v, %d", stats, total, before, used)
			}
			c.check()
			return true
		}
		faults := map[string]int{
			"copies": onceEach(func(call int) bool {
				down.set(call)
				return attempt(t.Context(), errDown)
			}),
			"allocations": onceEach(func(call int) bool {
				c.pool.hooks.alloc = func() error {
					if call--; call <= 0 {
						return ggml.ErrNoMemory
					}
					return nil
				}
				defer func() { c.pool.hooks.alloc = nil }()
				return attempt(t.Context(), ErrNoMemory)
			}),
			"cancels": onceEach(func(call int) bool {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				c.pool.hooks.beforeCopy = func() {
					if call--; call == 0 {
						cancel()
					}
				}
				defer func() { c.pool.hooks.beforeCopy = nil }()
				return attempt(ctx, context.Canceled)
			}),
		}
		for what, n := range faults {
			if n < 2 {
				t.Errorf("%v: %d %s could fail: the test shows nothing", policy, n, what)
			}
		}
		c.grow(growth{c.s, 1}, growth{c.after, 1})
		c.check()
		c.close()
	}
}

// Under the race detector: one goroutine copies again and again while another takes steps.
func TestCopiesAndStepsAtTheSameTime(t *testing.T) {
	for _, policy := range []Policy{Dynamic, Offloaded, Auto} {
		c := newCrowd(t, everyKind(policy))
		want := save(t, c.pool, c.s)
		var copying sync.WaitGroup
		copying.Go(func() {
			for range 3 {
				one := copyOf(t, c.s, c.s.Len())
				save(t, c.pool, one).equal(t, want)
				mustClose(t, one)
			}
		})
		for range 12 {
			c.goOn()
		}
		copying.Wait()
		c.grow(growth{c.s, 1})
		c.check()
		c.close()
	}
}
