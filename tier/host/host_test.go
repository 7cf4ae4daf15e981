package host_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
	"github.com/seed4d217819/ebb/tier/tiertest"
)

func TestHostKeepsTheContractOfATier(t *testing.T) {
	tiertest.Run(t, func(layouts []tier.Layout) tier.Tier {
		h := &heap{}
		t.Cleanup(func() {
			if h.open != 0 {
				t.Errorf("%d bytes of buffers are open after Close", h.open)
			}
		})
		return host.New(layouts, h.alloc)
	})
}

func TestHostInAStackKeepsTheContractOfATier(t *testing.T) {
	h := &heap{}
	s := stack.New(host.NewExact, nil, -1)
	tiertest.Run(t, func(layouts []tier.Layout) tier.Tier { return s.New(layouts, h.alloc) })
	if h.open != 0 {
		t.Errorf("%d bytes of buffers are open after Close", h.open)
	}
}

func TestTreesHoldOnceWhatTheyHaveInCommon(t *testing.T) {
	h := &heap{}
	s := stack.New(host.NewExact, nil, -1)
	tiertest.RunSharing(t, func(layouts []tier.Layout) tier.Tier { return s.New(layouts, h.alloc) },
		func(u tier.Usage) int64 { return u.Host },
		func(l tier.Layout) int64 { return l.RowBytes() * tier.BlockCells })
	if h.open != 0 {
		t.Errorf("%d bytes of buffers are open after Close", h.open)
	}
}

// heap allocates buffers, counts them, and fails when told to.
type heap struct {
	mu     sync.Mutex
	sizes  []int64 // asked for, in order
	open   int64
	failAt int  // the call that fails, counted from 1
	empty  bool // buffers have no memory, whatever their size
}

var errHeap = errors.New("no memory")

func (h *heap) alloc(bytes int64) (tier.Buffer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sizes = append(h.sizes, bytes)
	if len(h.sizes) == h.failAt {
		return nil, errHeap
	}
	b := &piece{heap: h}
	if !h.empty {
		b.bytes = make([]byte, bytes)
		h.open += bytes
	}
	return b, nil
}

type piece struct {
	heap  *heap
	bytes []byte
}

func (b *piece) Bytes() []byte { return b.bytes }

func (b *piece) Close() {
	b.heap.mu.Lock()
	defer b.heap.mu.Unlock()
	b.heap.open -= int64(len(b.bytes))
	b.bytes = nil
}

func TestAnExactTierTakesWhatIsAskedFor(t *testing.T) {
	h := &heap{}
	s := host.NewExact([]tier.Layout{{Heads: 1, KeyBytes: 1, ValueBytes: 1}}, h.alloc)
	defer s.Close()
	for _, cells := range []int{1, 256, 257, 1025} {
		if err := s.Reserve(t.Context(), cells); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(h.sizes, []int64{256 * 2, 256 * 2, 768 * 2}); diff != "" {
		t.Errorf("buffers (-got +want):\n%s", diff)
	}
}

func TestReserveTakesSegmentsThatDoubleWhatThereIs(t *testing.T) {
	h := &heap{}
	s := host.New([]tier.Layout{{Heads: 1, KeyBytes: 1, ValueBytes: 1}}, h.alloc)
	defer s.Close()
	for _, cells := range []int{1, 256, 257, 513, 514, 1025, 5000} {
		if err := s.Reserve(t.Context(), cells); err != nil {
			t.Fatal(err)
		}
	}
	// cells: 256; as many again; 512 more; 1024 more; then what 5000 lacks, in whole blocks
	want := []int64{256 * 2, 256 * 2, 512 * 2, 1024 * 2, 3072 * 2}
	if diff := cmp.Diff(h.sizes, want); diff != "" {
		t.Errorf("buffers (-got +want):\n%s", diff)
	}
	if s.Usage().Host != h.open {
		t.Errorf("%d bytes; want %d", s.Usage().Host, h.open)
	}
}

func TestReserveOfEverythingTakesOneSegment(t *testing.T) {
	h := &heap{}
	s := host.New([]tier.Layout{{Heads: 2, KeyBytes: 4, ValueBytes: 8}, {Heads: 1, KeyBytes: 2, ValueBytes: 2}}, h.alloc)
	defer s.Close()
	if err := s.Reserve(t.Context(), 3000); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h.sizes, []int64{3072 * 24, 3072 * 4}); diff != "" {
		t.Errorf("buffers (-got +want):\n%s", diff)
	}
}

// A failed Reserve leaves the tier as it was, whichever allocation failed.
func TestFailedReserveChangesNothing(t *testing.T) {
	layouts := []tier.Layout{{Heads: 2, KeyBytes: 4, ValueBytes: 4}, {Heads: 1, KeyBytes: 8, ValueBytes: 8}, {Heads: 1, KeyBytes: 2, ValueBytes: 2}}
	for call := 1; call <= 3; call++ {
		t.Run(fmt.Sprintf("allocation %d", call), func(t *testing.T) {
			h := &heap{}
			s := host.New(layouts, h.alloc)
			defer s.Close()
			if err := s.Reserve(t.Context(), 256); err != nil {
				t.Fatal(err)
			}
			src := tiertest.NewMemory(layouts[0], 256)
			src.Fill(7)
			if err := s.Store(t.Context(), 0, []tier.Run{{N: 256}}, src); err != nil {
				t.Fatal(err)
			}
			bytes, open := s.Usage().Host, h.open

			h.failAt = len(h.sizes) + call
			if err := s.Reserve(t.Context(), 600); !errors.Is(err, errHeap) {
				t.Fatalf("reserve: %v; want %v", err, errHeap)
			}
			if s.Usage().Host != bytes || h.open != open {
				t.Errorf("%d bytes, %d in buffers; want %d, %d", s.Usage().Host, h.open, bytes, open)
			}
			if err := s.Fetch(t.Context(), 0, tier.Run{N: 257}, src); err == nil {
				t.Error("cell 256 can be fetched though reserving it failed")
			}

			h.failAt = 0
			if err := s.Reserve(t.Context(), 600); err != nil {
				t.Fatalf("reserve after the failure: %v", err)
			}
			got := tiertest.NewMemory(layouts[0], 256)
			if err := s.Fetch(t.Context(), 0, tier.Run{N: 256}, got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got.Row(255), src.Row(255)); diff != "" {
				t.Errorf("cell 255 (-got +want):\n%s", diff)
			}
		})
	}
}

// Reserving may take several segments; if the second fails the first goes too.
func TestFailedReserveGivesBackTheSegmentsBefore(t *testing.T) {
	h := &heap{empty: true, failAt: 2}
	s := host.New([]tier.Layout{{Heads: 1, KeyBytes: 1 << 20, ValueBytes: 1 << 20}}, h.alloc)
	if err := s.Reserve(t.Context(), 1024); !errors.Is(err, errHeap) {
		t.Fatalf("reserve: %v; want %v", err, errHeap)
	}
	if err := s.Fetch(t.Context(), 0, tier.Run{N: 1}, tiertest.NewMemory(tier.Layout{Heads: 1, KeyBytes: 1, ValueBytes: 1}, 1)); err == nil {
		t.Error("cell 0 can be fetched though reserving it failed")
	}
}

// Host buffers of some devices end at 1 GiB. No memory is touched here.
func TestSegmentsAreNeverLargerThanAGibibyte(t *testing.T) {
	const gib = 1 << 30
	tests := []struct {
		name    string
		layouts []tier.Layout
		cells   int
		want    []int64
	}{
		{"just a gibibyte", []tier.Layout{{Heads: 1, KeyBytes: 1 << 19, ValueBytes: 1 << 19}}, 1024, []int64{gib}},
		{"one block more", []tier.Layout{{Heads: 1, KeyBytes: 1 << 19, ValueBytes: 1 << 19}}, 1025, []int64{gib, 256 << 20}},
		{"the largest layer decides", []tier.Layout{{Heads: 1, KeyBytes: 1, ValueBytes: 1}, {Heads: 8, KeyBytes: 1 << 17, ValueBytes: 1 << 17}}, 1024, []int64{512 * 2, gib, 512 * 2, gib}},
		{"whole blocks", []tier.Layout{{Heads: 1, KeyBytes: 3 << 19, ValueBytes: 0}}, 1024, []int64{512 * 3 << 19, 512 * 3 << 19}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := &heap{empty: true}
			s := host.New(tt.layouts, h.alloc)
			defer s.Close()
			if err := s.Reserve(t.Context(), tt.cells); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(h.sizes, tt.want); diff != "" {
				t.Errorf("buffers (-got +want):\n%s", diff)
			}
		})
	}
}

func TestCopiesCrossSegments(t *testing.T) {
	layout := tier.Layout{Heads: 3, KeyBytes: 2, ValueBytes: 4}
	s := host.New([]tier.Layout{layout}, (&heap{}).alloc)
	defer s.Close()
	for _, cells := range []int{256, 512, 1024} { // three segments
		if err := s.Reserve(t.Context(), cells); err != nil {
			t.Fatal(err)
		}
	}
	src := tiertest.NewMemory(layout, 1024)
	for c := range 1024 {
		row := make([]byte, layout.RowBytes())
		for i := range row {
			row[i] = byte(c + c>>8*31 + i*7)
		}
		src.SetRow(c, row)
	}
	for _, r := range []tier.Run{{Start: 200, N: 400}, {Start: 0, N: 200}, {Start: 600, N: 424}} {
		if err := s.Store(t.Context(), 0, []tier.Run{r}, src); err != nil {
			t.Fatal(err)
		}
	}
	got := tiertest.NewMemory(layout, 1024)
	if err := s.Fetch(t.Context(), 0, tier.Run{N: 1024}, got); err != nil {
		t.Fatal(err)
	}
	for c := range 1024 {
		if diff := cmp.Diff(got.Row(c), src.Row(c)); diff != "" {
			t.Fatalf("cell %d (-got +want):\n%s", c, diff)
		}
	}
}
