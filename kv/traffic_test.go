package kv

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// rowBytes is a row of [uniform] layers.
const rowBytes = 8

// traffic is what was copied.
type traffic struct {
	Fetches         int
	Fetched, Stored int64 // bytes
}

// moved returns what a step copies, the fetches for the following one included.
func moved(l *ledger, works ...growth) traffic {
	l.t.Helper()
	l.pool.drain()
	before := l.pool.Stats()
	l.grow(works...)
	l.pool.drain()
	after := l.pool.Stats()
	return traffic{after.Fetches - before.Fetches, after.FetchedBytes - before.FetchedBytes, after.StoredBytes - before.StoredBytes}
}

func TestDecodeFetchesEachPrefixAtMostOnceAndStoresOneRowALayer(t *testing.T) {
	for _, policy := range []Policy{Offloaded, OffloadedStatic} {
		for _, tt := range []struct{ layers, resident, slots int }{
			{3, 0, 2}, {5, 0, 2}, {5, 2, 2}, {7, 2, 4}, {5, 0, 1}, {30, 7, 2},
		} {
			t.Run(fmt.Sprintf("%v, %d layers, %d resident, %d slots", policy, tt.layers, tt.resident, tt.slots), func(t *testing.T) {
				o := uniform(policy, tt.layers, 600)
				o.ForcedCopies, o.ResidentLayers, o.Slots = true, tt.resident, tt.slots
				l := newLedger(t, ownCPU(t, 0), o)
				defer l.close()
				s := l.seq()
				l.grow(growth{s, 100})
				streamed := int64(tt.layers - tt.resident)
				for n := int64(100); n < 110; n++ {
					got := moved(l, growth{s, 1})
					// Of the layers that visit first, those that are also the last in their slot
					// stay there. The others are fetched when a step ends for the one that follows,
					// with the new row.
					later := streamed - int64(tt.slots)
					ahead := min(int64(tt.slots), later)
					want := traffic{int(later + ahead), (later*n + ahead*(n+1)) * rowBytes, streamed * rowBytes}
					if int64(want.Fetches) > streamed {
						t.Fatalf("%d fetches wanted of %d layers", want.Fetches, streamed)
					}
					if diff := cmp.Diff(got, want); diff != "" {
						t.Fatalf("decode at %d tokens (-got +want):\n%s", n, diff)
					}
				}
			})
		}
	}
}

func TestLayersThatFitTheSlotsAreNeverFetched(t *testing.T) {
	for layers := 1; layers <= 3; layers++ {
		o := uniform(Offloaded, layers, 600)
		o.ForcedCopies, o.Slots = true, 3
		l := newLedger(t, ownCPU(t, 0), o)
		s := l.seq()
		for _, n := range []int{100, 1, 1, 300, 1} {
			want := traffic{Stored: int64(layers * n * rowBytes)}
			if diff := cmp.Diff(moved(l, growth{s, n}), want); diff != "" {
				t.Errorf("%d layers, %d tokens (-got +want):\n%s", layers, n, diff)
			}
		}
		l.close()
	}
}

// A prompt moves each layer's rows once, whatever the number of its chunks.
func TestPrefillOfAnEmptySequenceFetchesNothing(t *testing.T) {
	o := uniform(Offloaded, 5, 600)
	o.ForcedCopies, o.ChunkTokens = true, 64
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	l.during = func(_ *Step, layer *Layer) {
		// while the last layer computes, the slot of the one before is filled for the next step
		if n := l.pool.Stats().Fetches; n != 0 && layer.Index < 4 {
			t.Errorf("%d fetches before layer %d; want 0", n, layer.Index)
		}
	}
	got := moved(l, growth{l.seq(), 500})
	want := traffic{2, 2 * 500 * rowBytes, 5 * 500 * rowBytes} // the fetches: what the next step wants first
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("prefill (-got +want):\n%s", diff)
	}
}

func TestBytesToTheHostAreThoseOfTheNewTokens(t *testing.T) {
	o := uniform(Offloaded, 4, 3000)
	o.ForcedCopies = true
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := l.seq()
	for _, depth := range []int{10, 1000, 2900} {
		l.grow(growth{s, depth - s.Len()})
		for _, n := range []int{1, 3} {
			if got, want := moved(l, growth{s, n}).Stored, int64(4*n*rowBytes); got != want {
				t.Errorf("%d tokens at depth %d: %d bytes stored; want %d", n, depth, got, want)
			}
		}
	}
}

func TestBatchFetchesEachTreeOnceALayer(t *testing.T) {
	o := uniform(Offloaded, 3, 600)
	o.ForcedCopies = true
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	a, b := l.seq(), l.seq()
	fork := func() *Seq { l.grow(growth{a, 40}, growth{b, 60}); return l.fork(a) }()
	works := []growth{{a, 1}, {b, 1}, {fork, 1}}
	l.grow(works...)
	// cells: the tree of a and its fork holds 42, b's 61; both visit each layer, and the first two
	// visits are fetched ahead: layer 0 of both, with the new rows
	got := moved(l, works...)
	want := traffic{6, (2*42 + 44 + 2*61 + 62) * rowBytes, 3 * 3 * rowBytes}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("batch (-got +want):\n%s", diff)
	}
}

func TestAbandonedStepsAreNotAskedForAgain(t *testing.T) {
	o := uniform(Offloaded, 5, 600)
	o.ForcedCopies = true
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := l.seq()
	l.grow(growth{s, 50})
	if err := l.step(t.Context(), 3, growth{s, 4}); !errors.Is(err, errAbandoned) {
		t.Fatal(err)
	}
	l.grow(growth{s, 1})
	got := moved(l, growth{s, 1})
	want := traffic{5, (3*51 + 2*52) * rowBytes, 5 * rowBytes}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("the second step after it (-got +want):\n%s", diff)
	}
}

// On a CPU rows are used where they are, unless copies are asked for.
func TestRowsUsedInPlaceAreNotCopied(t *testing.T) {
	l := newLedger(t, ownCPU(t, 0), uniform(Offloaded, 5, 600))
	defer l.close()
	s := l.seq()
	l.grow(growth{s, 100})
	if got := moved(l, growth{s, 1}); got != (traffic{}) {
		t.Errorf("copied %+v; want nothing", got)
	}
	if got := l.pool.Stats(); got.DeviceBytes != 0 || got.HostBytes != 5*256*rowBytes {
		t.Errorf("%d bytes on the device, %d in host memory; want 0, %d", got.DeviceBytes, got.HostBytes, 5*256*rowBytes)
	}
}

// Behind a link they take the time to get there, but are not copied either.
func TestLinkPacesRowsUsedInPlace(t *testing.T) {
	o := uniform(Offloaded, 5, 600)
	o.Link = 500 * rowBytes / 0.020 // 500 rows in 20 ms
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := l.seq()
	l.grow(growth{s, 500})
	began := time.Now()
	got := moved(l, growth{s, 1})
	want := traffic{Fetches: 5, Fetched: (3*500 + 2*501) * rowBytes}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("decode (-got +want):\n%s", diff)
	}
	if took := time.Since(began); took < 60*time.Millisecond {
		t.Errorf("three layers took %v; want 60ms or more", took)
	}
	l.grow(growth{s, 1})
	l.grow(growth{s, 1})
	if took := time.Since(began); took < 260*time.Millisecond {
		t.Errorf("three steps took %v; want 260ms or more, for 13 fetches: two layers of the first step were there", took)
	}
	if stall := l.pool.Stats().Stall; stall < 240*time.Millisecond {
		t.Errorf("stalled for %v; want 240ms or more, as nothing hides the fetches", stall)
	}
}

// Memory that is allocated once stays so past the blocks that graphs are built for.
func TestFixedPoliciesAllocateInTheFirstStepOnly(t *testing.T) {
	for _, policy := range []Policy{Static, OffloadedStatic} {
		for _, copies := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, copies %v", policy, copies), func(t *testing.T) {
				o := uniform(policy, 5, 1000)
				o.ForcedCopies = copies
				b := ownCPU(t, 0)
				l := newLedger(t, b, o)
				defer l.close()
				s := l.seq()
				l.grow(growth{s, 5})
				buffers, stats := b.Stats().Buffers, l.pool.Stats()
				for _, n := range []int{1, 250, 1, 300, 400} {
					l.grow(growth{s, n})
				}
				l.closeSeq(s)
				l.grow(growth{l.seq(), 700}) // the memory is used again
				if got := b.Stats().Buffers; got != buffers {
					t.Errorf("%d buffers allocated after the first step", got-buffers)
				}
				if got := l.pool.Stats(); got.DeviceBytes != stats.DeviceBytes || got.HostBytes != stats.HostBytes {
					t.Errorf("%d and %d bytes; want %d and %d as after the first step", got.DeviceBytes, got.HostBytes, stats.DeviceBytes, stats.HostBytes)
				}
			})
		}
	}
}

func TestOffloadedGrowsWithItsRows(t *testing.T) {
	o := uniform(Offloaded, 5, 100_000)
	o.ForcedCopies = true
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := l.seq()
	for _, tt := range []struct{ tokens, cells int64 }{{1, 256}, {256, 256}, {257, 512}, {600, 1024}} {
		l.grow(growth{s, int(tt.tokens) - s.Len()})
		if got, want := l.pool.Stats().HostBytes, 5*tt.cells*rowBytes; got != want {
			t.Errorf("%d tokens: %d bytes in host memory; want %d", tt.tokens, got, want)
		}
	}
}
