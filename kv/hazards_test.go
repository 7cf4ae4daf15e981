package kv

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/ggml"
)

// These are the ways in which Hugging Face transformers' offloaded caches were wrong, each by name.
// Most cannot happen here by construction; the tests say what would notice if that changed.

// equalsStatic takes a rig under options, with slow or fast copies, and one under static through
// the same script.
func equalsStatic(t *testing.T, o Options, script func(*rig), prepare func(*rig)) Stats {
	t.Helper()
	b := onCPU(t)
	static := o
	static.Policy, static.ResidentLayers, static.Slots, static.ForcedCopies, static.Link = Static, 0, 0, false, 0
	want, _ := played(t, b, static, script)
	finite(t, want)
	got, stats := played(t, b, o, script, prepare)
	if i := differ(got, want); i >= 0 {
		t.Errorf("step %d differs from static", i)
	}
	return stats
}

// slowly delays every copy.
func slowly(d time.Duration) func(*rig) {
	return func(r *rig) { r.pool.hooks.beforeCopy = func() { time.Sleep(d) } }
}

// Prefetch did not wait for the store that filled the host's buffer: a prompt was right, the next
// call that used its cache was wrong (transformers #48947). Here one goroutine makes all copies in
// order. Stores that are slow and slots that are poisoned once stored would show a row fetched
// before it was there.
func TestHazard1SecondForwardAfterLongPrefillEqualsResident(t *testing.T) {
	for _, policy := range []Policy{Offloaded, OffloadedStatic} {
		o := rigOptions(policy, 4, ggml.F16)
		o.ForcedCopies = true
		equalsStatic(t, o, func(r *rig) {
			s := r.pool.NewSeq()
			r.grow(growth{s, 600})
			r.grow(growth{s, 40})
			r.grow(growth{s, 1})
		}, func(r *rig) {
			slowly(3 * time.Millisecond)(r)
			r.pool.hooks.freed = poison
		})
	}
}

// Prefetch of layer l+1 overwrote the buffer of l-1 without waiting for its attention. Here a slot
// is fetched into after its release only. Layers that compute slowly beside fast copies would show
// it.
func TestHazard2PrefetchDoesNotOverwriteALayerInUse(t *testing.T) {
	o := rigOptions(Offloaded, 5, ggml.F32)
	o.ForcedCopies = true
	equalsStatic(t, o, func(r *rig) {
		s := r.pool.NewSeq()
		r.grow(growth{s, 60})
		for range 3 {
			r.grow(growth{s, 1})
		}
	}, func(r *rig) {
		r.during = func(*Layer) { time.Sleep(2 * time.Millisecond) }
	})
}

// The prefetch of a single offloaded layer was not waited for. Here it has a slot of its own that
// it never leaves; poisoned slots force fetches all the same, slow ones.
func TestHazard3OneOffloadedLayer(t *testing.T) {
	for _, resident := range []int{0, 2} {
		for _, poisoned := range []bool{false, true} {
			o := rigOptions(Offloaded, resident+1, ggml.F32)
			o.ForcedCopies, o.ResidentLayers = true, resident
			stats := equalsStatic(t, o, conversation, func(r *rig) {
				slowly(time.Millisecond)(r)
				if poisoned {
					r.pool.hooks.freed = poison
				}
			})
			if stats.StreamedLayers != 1 || poisoned && stats.Fetches == 0 {
				t.Errorf("%d layers streamed with %d fetches; want 1 and some", stats.StreamedLayers, stats.Fetches)
			}
		}
	}
}

// A cache without any layer to offload was a ValueError.
func TestHazard4NoStreamedLayer(t *testing.T) {
	for _, policy := range []Policy{Offloaded, OffloadedStatic} {
		o := rigOptions(policy, 3, ggml.F32)
		o.ForcedCopies, o.ResidentLayers = true, 3
		o.Tier = nil // not needed either
		stats := equalsStatic(t, o, conversation, func(r *rig) {})
		if stats.StreamedLayers != 0 || stats.HostBytesPeak != 0 || stats.Fetches != 0 {
			t.Errorf("%v: %+v; want nothing streamed", policy, stats)
		}
	}
}

// The "next layer" was taken to be l+1, also where that one is never offloaded (transformers
// #46748). Here the schedule lists streamed layers alone; the fetches of a step and what its end
// leaves in the slots show which they were.
func TestHazard5NextStreamedLayerIsNotTheNextLayer(t *testing.T) {
	o := uniform(Offloaded, 9, 600)
	o.ForcedCopies, o.ResidentLayers = true, 4 // 1, 3, 5 and 7
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	if diff := cmp.Diff(l.pool.devices[0].placement.Resident, []bool{false, true, false, true, false, true, false, true, false}); diff != "" {
		t.Fatalf("resident layers (-got +want):\n%s", diff)
	}
	s := l.seq()
	l.grow(growth{s, 50})
	l.during = func(step *Step, layer *Layer) {
		if err := layer.Acquire(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := moved(l, growth{s, 1}).Fetches; got != 5 {
		t.Errorf("%d fetches; want 5, one a streamed layer", got)
	}
	for i, want := range []int{0, 2} {
		if got := l.pool.devices[0].slots[i].holds; got.layer != want || got.n != 51 {
			t.Errorf("slot %d holds %d cells of layer %d; want 51 of %d", i, got.n, got.layer, want)
		}
	}
	r := rigOptions(Offloaded, 9, ggml.F32)
	r.ForcedCopies, r.ResidentLayers = true, 4
	equalsStatic(t, r, conversation, slowly(200*time.Microsecond))
}

// A ring of two slots was wrong where the number of layers is no multiple of it (vLLM #54975): the
// last layer's slot is the first one's too.
func TestHazard6OddNumberOfLayersTwoSlots(t *testing.T) {
	for _, tt := range []struct{ layers, slots int }{{3, 2}, {5, 2}, {7, 2}, {5, 3}, {7, 3}, {4, 3}} {
		t.Run(fmt.Sprintf("%d layers %d slots", tt.layers, tt.slots), func(t *testing.T) {
			o := rigOptions(Offloaded, tt.layers, ggml.F32)
			o.ForcedCopies, o.Slots = true, tt.slots
			equalsStatic(t, o, conversation, slowly(200*time.Microsecond))
		})
	}
}

// Tensors were read on the host while their copy was in flight. Here copies are blocking and a
// layer is yielded after its own: what the loop's body sees first is all there, in memory that was
// NaN before.
func TestHazard7RowsAreThereWhenALayerIsYielded(t *testing.T) {
	o := uniform(Offloaded, 5, 600)
	o.ForcedCopies = true
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	l.pool.hooks.freed = poison
	l.pool.hooks.beforeCopy = func() { time.Sleep(2 * time.Millisecond) }
	s := l.seq()
	l.grow(growth{s, 40})
	l.during = func(step *Step, layer *Layer) {
		k := floats(layer.Rows(0).K)[:40]
		if diff := cmp.Diff(k, l.values(l.tokens[s][:40], layer.Index)); diff != "" {
			t.Errorf("layer %d as it is yielded (-got +want):\n%s", layer.Index, diff)
		}
	}
	for range 3 {
		l.grow(growth{s, 1})
	}
	l.check() // and what was stored from slots is all there too
}

// A long prompt's cache, forked and continued with different questions, equals fresh runs:
// transformers documents it with copies of the cache.
func TestForksOfAPromptEqualFreshRuns(t *testing.T) {
	b := onCPU(t)
	continued := func(policy Policy, fork bool) (out [][]byte) {
		o := rigOptions(policy, 3, ggml.F32)
		o.ForcedCopies = true
		r := newRig(t, b, o)
		defer r.close()
		if !fork {
			for i := range 2 {
				s := r.pool.NewSeq()
				r.last = 0
				r.grow(growth{s, 100})
				r.last = int32(1000 * (i + 1))
				out = append(out, r.grow(growth{s, 5}))
			}
			return out
		}
		prompt := r.pool.NewSeq()
		r.grow(growth{prompt, 100})
		for i := range 2 {
			s := forkOf(t, prompt)
			r.last = int32(1000 * (i + 1))
			out = append(out, r.grow(growth{s, 5}))
			if i == 0 { // its cells are used again by the second question
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
		return out
	}
	want := continued(Static, false)
	for _, policy := range []Policy{Static, Offloaded} {
		got := continued(policy, true)
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("%v: question %d differs from a fresh run", policy, i)
			}
		}
	}
}
