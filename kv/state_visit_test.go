package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
)

// tight returns options for a device whose memory does not suffice for the states beside a slot.
func tight(t *testing.T, b *ggml.Backend, policy Policy, trees int) Options {
	t.Helper()
	o := hybrid(policy, 8, 300)
	o.ForcedCopies, o.Trees = true, trees
	o.Memory = []int64{o.Plan(b).Least()[0]}
	if all, err := o.Plan(b).Place(); err != nil || policy != Auto && all[0].StatesOff == 0 {
		t.Fatalf("states stay, so that the test shows nothing: %+v, %v", all, err)
	}
	return o
}

// Where not even the states fit, they visit the device layer by layer, and are the same.
func TestStatesVisitTheDeviceWhereTheyDoNotFit(t *testing.T) {
	for _, policy := range []Policy{Auto, Offloaded, OffloadedStatic} {
		b := ownCPU(t, 0)
		o := tight(t, b, policy, 2)
		f := newFolder(t, b, o)
		a, c := f.seq(), f.seq()
		within := func(when string) {
			t.Helper()
			f.check(when)
			if got := f.pool.Stats().DeviceBytes; got > o.Memory[0] {
				t.Errorf("%v, %s: %d bytes on the device; %d are allowed", policy, when, got, o.Memory[0])
			}
		}
		f.grow(growth{a, 150}) // several chunks
		f.grow(growth{c, 3}, growth{a, 1})
		within("two sequences")
		for range 3 {
			f.grow(growth{c, 1}, growth{a, 1})
		}
		within("tokens")
		s := f.pool.Stats()
		if s.StatesBytes == 0 || s.StatesBytes >= statesOf(f.pool, 2) || s.HostBytes < statesOf(f.pool, 4) {
			t.Errorf("%v: %d bytes of states on the device, %d bytes in host memory; want a layer's there, and all here", policy, s.StatesBytes, s.HostBytes)
		}
		allocations := 0
		f.pool.hooks.alloc = func() error { allocations++; return nil }
		f.grow(growth{c, 1}, growth{a, 1})
		if allocations != 0 {
			t.Errorf("%v: %d allocations in a step like the one before", policy, allocations)
		}
		f.closeSeq(c)
		fork := f.fork(a)
		f.grow(growth{a, 1}, growth{fork, 2}) // both read the state that they share
		within("a fork")
		f.close()
	}
}

// A step that ends in any layer leaves the states as they were.
func TestAStepThatEndsEarlyLeavesStatesThatVisit(t *testing.T) {
	b := ownCPU(t, 0)
	f := newFolder(t, b, tight(t, b, Offloaded, 1))
	defer f.close()
	a := f.seq()
	f.grow(growth{a, 10})
	for ends := range 9 {
		ctx, cancel := context.WithCancel(context.Background())
		f.during = func(layer int) {
			if layer == ends {
				cancel()
			}
		}
		if err := f.stepIn(ctx, Work{Seq: a, Tokens: make([]int32, 2)}); ends < 7 && !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled in layer %d: %v", ends, err)
		}
		cancel()
		f.during = nil
		f.check(fmt.Sprintf("cancelled in layer %d", ends))
		f.grow(growth{a, 1})
		f.check("the step after it")
	}
}

// Whichever allocation is refused while states leave, none is lost.
func TestRefusedAllocationsLoseNoStateThatVisits(t *testing.T) {
	for _, policy := range []Policy{Auto, Offloaded, OffloadedStatic} {
		for fails := 0; ; fails++ {
			b := ownCPU(t, 0)
			f := newFolder(t, b, tight(t, b, policy, 2))
			n, refused := 0, false
			f.pool.hooks.alloc = func() error {
				if n++; n == fails+1 {
					refused = true
					return fmt.Errorf("%w: refused", ggml.ErrNoMemory)
				}
				return nil
			}
			grow := func(works ...growth) {
				t.Helper()
				err := f.try(works...)
				if errors.Is(err, ErrNoMemory) {
					f.check("after an error")
					err = f.try(works...)
				}
				if err != nil {
					t.Fatalf("%v, allocation %d: %v", policy, fails, err)
				}
				f.check("after a step")
			}
			a, c := f.seq(), f.seq()
			grow(growth{a, 10})
			grow(growth{a, 1})
			grow(growth{a, 1}, growth{c, 20})
			grow(growth{a, 250}, growth{c, 1})
			grow(growth{a, 1}, growth{c, 1})
			f.close()
			if !refused {
				break
			}
		}
	}
}

// Under auto states leave after all layers that may.
func TestStatesLeaveAfterLayers(t *testing.T) {
	b := ownCPU(t, 0)
	o := hybrid(Auto, 8, 300)
	o.ForcedCopies = true
	o.Memory = []int64{o.Plan(b).Least()[0] + statesOf(&Pool{config: config{shapes: o.Layers}}, 2)}
	var notices []string
	o.Notify = func(line string) { notices = append(notices, line) }
	f := newFolder(t, b, o)
	defer f.close()
	a := f.seq()
	f.grow(growth{a, 10})
	if got := f.pool.statesOff(); got != 0 {
		t.Errorf("%d bytes of states are off the device, which has room for them", got)
	}
	works := []growth{{a, 1}}
	for range 5 {
		works = append(works, growth{f.fork(a), 1})
	}
	f.grow(works...)
	f.check("six sequences")
	if got := f.pool.statesOff(); got == 0 || len(notices) == 0 {
		t.Errorf("%d bytes of states are off the device, and the user was told %q", got, notices)
	}
	if got := f.pool.Stats().DeviceBytes; got > o.Memory[0] {
		t.Errorf("%d bytes on the device; %d are allowed", got, o.Memory[0])
	}
}

// States that are restored while all leave their device are placed before they leave, or where they went.
func TestStatesLeaveBesideARestore(t *testing.T) {
	h := newStateful(t, uniform(Dynamic, 1, 700))
	s := h.pool.NewSeq()
	h.grow(growth{s, 3})
	p := h.pool
	p.finishSnapshots()
	p.changing.RLock() // as a restore does while it places a state
	done := make(chan error)
	go func() { done <- p.statesLeave(p.devices[0], &departure{}) }()
	for p.changing.TryRLock() { // until it waits for the restore
		p.changing.RUnlock()
		select {
		case err := <-done:
			p.changing.RUnlock()
			t.Fatalf("states left while one was placed: %v", err)
		default:
			runtime.Gosched()
		}
	}
	want := h.stateOf(0, ids(0, 9))
	p.states.write(0, s.state, want)
	p.changing.RUnlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if p.states.read(0, s.state, got); !p.states.memory[0].off || !bytes.Equal(got, want) {
		t.Error("the state that was placed meanwhile is lost")
	}
}
