package tiertest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/seed4d217819/ebb/tier"
)

// layouts are layers that have nothing in common: several heads and one, keys longer than values
// and shorter, sizes that are no power of two.
func layouts() []tier.Layout {
	return []tier.Layout{
		{Heads: 2, KeyBytes: 8, ValueBytes: 12},
		{Heads: 1, KeyBytes: 34, ValueBytes: 18},
		{Heads: 3, KeyBytes: 4, ValueBytes: 4},
	}
}

// Run checks that a driver keeps the contract of [tier.Tier]. open returns an empty tier for layers
// of these layouts; Run closes it. The tiers that it returns should be trees of one maker.
func Run(t *testing.T, open func(layouts []tier.Layout) tier.Tier) {
	tests := []test{
		{"StoredRowsAreFetched", storedRowsAreFetched},
		{"CellsNeverStoredAreZero", cellsNeverStoredAreZero},
		{"CellsStoredAgainAreNew", cellsStoredAgainAreNew},
		{"StoreTouchesItsRunsOnly", storeTouchesItsRunsOnly},
		{"FetchTouchesItsCellsOnly", fetchTouchesItsCellsOnly},
		{"LayersAreIndependent", layersAreIndependent},
		{"LayersMoveAtTheSameTime", layersMoveAtTheSameTime},
		{"GrowthKeepsRows", growthKeepsRows},
		{"ReserveOfLessChangesNothing", reserveOfLessChangesNothing},
		{"CancelledReserveChangesNothing", cancelledReserveChangesNothing},
		{"CellsPastTheReservedAreAnError", cellsPastTheReservedAreAnError},
		{"CancelledCopiesAreAnError", cancelledCopiesAreAnError},
		{"CloseGivesEverythingBack", closeGivesEverythingBack},
		{"RandomOperations", randomOperations},
	}
	for _, tt := range append(tests, trees()...) {
		t.Run(tt.name, func(t *testing.T) {
			s := newSuite(open)
			tt.run(t, s)
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// test is one of the suite.
type test struct {
	name string
	run  func(t *testing.T, s *suite)
}

// suite is a tier with the layouts that it was made for.
type suite struct {
	tier.Tier
	layouts []tier.Layout
	open    func(layouts []tier.Layout) tier.Tier
}

func newSuite(open func([]tier.Layout) tier.Tier) *suite {
	return &suite{Tier: open(layouts()), layouts: layouts(), open: open}
}

// another returns another tree of the same maker.
func (s *suite) another() *suite { return newSuite(s.open) }

// row returns bytes that no other layer, cell and version has.
func (s *suite) row(layer, cell, version int) []byte {
	row := make([]byte, s.layouts[layer].RowBytes())
	x := uint64(layer)<<48 + uint64(cell)<<24 + uint64(version) + 1
	for i := range row { // the top bits of a linear congruential generator (Knuth's MMIX)
		x = x*6364136223846793005 + 1442695040888963407
		row[i] = byte(x >> 56)
	}
	return row
}

func (s *suite) reserve(t *testing.T, cells int) {
	t.Helper()
	if err := s.Reserve(t.Context(), cells); err != nil {
		t.Fatalf("reserve %d cells: %v", cells, err)
	}
}

// store keeps a version of the runs' rows.
func (s *suite) store(t *testing.T, layer, version int, runs ...tier.Run) {
	t.Helper()
	if err := s.tryStore(t.Context(), layer, version, runs...); err != nil {
		t.Fatalf("store %v of layer %d: %v", runs, layer, err)
	}
}

func (s *suite) tryStore(ctx context.Context, layer, version int, runs ...tier.Run) error {
	end := 0
	for _, r := range runs {
		end = max(end, r.End())
	}
	src := NewMemory(s.layouts[layer], end+3) // no tier may depend on the capacity of a memory
	src.Fill(0xEE)
	for _, r := range runs {
		for c := r.Start; c < r.End(); c++ {
			src.SetRow(c, s.row(layer, c, version))
		}
	}
	return s.Store(ctx, layer, runs, src)
}

// fetch returns the first n rows of a layer.
func (s *suite) fetch(t *testing.T, layer, n int) *Memory {
	t.Helper()
	dst := NewMemory(s.layouts[layer], n+5)
	dst.Fill(0xDD)
	if err := s.Fetch(t.Context(), layer, tier.Run{N: n}, dst); err != nil {
		t.Fatalf("fetch %d cells of layer %d: %v", n, layer, err)
	}
	return dst
}

// want checks that a layer's first cells have these versions; 0 is never stored.
func (s *suite) want(t *testing.T, layer int, versions []int) {
	t.Helper()
	got := s.fetch(t, layer, len(versions))
	for c, v := range versions {
		want := make([]byte, s.layouts[layer].RowBytes())
		if v != 0 {
			want = s.row(layer, c, v)
		}
		if !bytes.Equal(got.Row(c), want) {
			t.Errorf("layer %d, cell %d: %x; want %x", layer, c, got.Row(c), want)
			return
		}
	}
}

// versions returns n times v.
func versions(n, v int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = v
	}
	return all
}

func storedRowsAreFetched(t *testing.T, s *suite) {
	s.reserve(t, 40)
	for l := range s.layouts {
		s.store(t, l, 1, tier.Run{N: 40})
		s.want(t, l, versions(40, 1))
		s.want(t, l, versions(7, 1))
	}
}

func cellsNeverStoredAreZero(t *testing.T, s *suite) {
	s.reserve(t, 40)
	s.store(t, 0, 1, tier.Run{Start: 10, N: 5})
	want := versions(40, 0)
	copy(want[10:], versions(5, 1))
	s.want(t, 0, want)
	s.want(t, 1, versions(40, 0))
}

func cellsStoredAgainAreNew(t *testing.T, s *suite) {
	s.reserve(t, 20)
	s.store(t, 1, 1, tier.Run{N: 20})
	s.store(t, 1, 2, tier.Run{Start: 3, N: 4})
	want := versions(20, 1)
	copy(want[3:], versions(4, 2))
	s.want(t, 1, want)
}

func storeTouchesItsRunsOnly(t *testing.T, s *suite) {
	s.reserve(t, 30)
	s.store(t, 0, 1, tier.Run{N: 30})
	s.store(t, 0, 2, tier.Run{Start: 2, N: 1}, tier.Run{Start: 29, N: 1}, tier.Run{Start: 7, N: 3})
	want := versions(30, 1)
	for _, c := range []int{2, 7, 8, 9, 29} {
		want[c] = 2
	}
	s.want(t, 0, want)
	s.store(t, 0, 3) // no runs: nothing to do
	s.want(t, 0, want)
}

func fetchTouchesItsCellsOnly(t *testing.T, s *suite) {
	s.reserve(t, 20)
	for l := range s.layouts {
		s.store(t, l, 1, tier.Run{N: 20})
		got := s.fetch(t, l, 6)
		for c := 6; c < got.Cells; c++ {
			if want := bytes.Repeat([]byte{0xDD}, int(s.layouts[l].RowBytes())); !bytes.Equal(got.Row(c), want) {
				t.Errorf("layer %d: fetching 6 cells changed cell %d", l, c)
			}
		}
	}
	if got := s.fetch(t, 0, 0); !bytes.Equal(got.Row(0), bytes.Repeat([]byte{0xDD}, int(s.layouts[0].RowBytes()))) {
		t.Error("fetching no cells changed cell 0")
	}
}

func layersAreIndependent(t *testing.T, s *suite) {
	s.reserve(t, 10)
	for l := range s.layouts {
		s.store(t, l, l+1, tier.Run{N: 10})
	}
	for l := range s.layouts {
		s.want(t, l, versions(10, l+1))
	}
}

// layersMoveAtTheSameTime stores to one layer while all others are fetched, each by a goroutine, and
// then stores to all.
func layersMoveAtTheSameTime(t *testing.T, s *suite) {
	const cells = 5 * tier.BlockCells
	s.reserve(t, cells)
	for l := range s.layouts {
		s.store(t, l, 1, tier.Run{N: cells})
	}
	for stored := range s.layouts {
		var moving sync.WaitGroup
		for l := range s.layouts {
			moving.Go(func() {
				if l == stored {
					s.store(t, l, 2, tier.Run{N: cells})
					return
				}
				version := 1
				if l < stored {
					version = 2
				}
				s.want(t, l, versions(cells, version))
			})
		}
		moving.Wait()
		s.want(t, stored, versions(cells, 2))
	}
	var storing sync.WaitGroup
	for l := range s.layouts {
		storing.Go(func() {
			for first := 0; first < cells; first += tier.BlockCells {
				s.store(t, l, 3, tier.Run{Start: first, N: tier.BlockCells})
			}
		})
	}
	storing.Wait()
	for l := range s.layouts {
		s.want(t, l, versions(cells, 3))
	}
}

func growthKeepsRows(t *testing.T, s *suite) {
	have := 0
	for _, cells := range []int{1, 100, 257, 300, 1000, 2600} {
		s.reserve(t, cells)
		for l := range s.layouts {
			want := append(versions(have, 1), versions(cells-have, 0)...)
			s.want(t, l, want) // the old rows, and zeros
			s.store(t, l, 1, tier.Run{Start: have, N: cells - have})
			s.want(t, l, versions(cells, 1))
		}
		have = cells
	}
	s.store(t, 0, 2, tier.Run{Start: 90, N: 1100}) // across what was reserved apart
	want := versions(have, 1)
	copy(want[90:], versions(1100, 2))
	s.want(t, 0, want)
}

func reserveOfLessChangesNothing(t *testing.T, s *suite) {
	s.reserve(t, 300)
	s.store(t, 0, 1, tier.Run{N: 300})
	before := s.Usage()
	s.reserve(t, 10)
	s.reserve(t, 300)
	if got := s.Usage(); got != before {
		t.Errorf("%+v after reserving no more; want %+v", got, before)
	}
	s.want(t, 0, versions(300, 1))
}

func cancelledReserveChangesNothing(t *testing.T, s *suite) {
	s.reserve(t, 300)
	s.store(t, 0, 1, tier.Run{N: 300})
	before := s.Usage()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Reserve(ctx, 9000); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled reserve: %v; want %v", err, context.Canceled)
	}
	if got := s.Usage(); got != before {
		t.Errorf("%+v after a cancelled reserve; want %+v", got, before)
	}
	s.want(t, 0, versions(300, 1))
	s.reserve(t, 9000)
	s.store(t, 0, 2, tier.Run{Start: 8000, N: 1000})
	s.want(t, 0, append(append(versions(300, 1), versions(7700, 0)...), versions(1000, 2)...))
}

func cellsPastTheReservedAreAnError(t *testing.T, s *suite) {
	m := NewMemory(s.layouts[0], 1<<14)
	for _, reserved := range []int{0, 5} {
		s.reserve(t, reserved)
		if err := s.Fetch(t.Context(), 0, tier.Run{N: 1 << 14}, m); err == nil {
			t.Errorf("fetch of %d cells with %d reserved: no error", 1<<14, reserved)
		}
		if err := s.Store(t.Context(), 0, []tier.Run{{Start: 1<<14 - 1, N: 1}}, m); err == nil {
			t.Errorf("store of cell %d with %d reserved: no error", 1<<14-1, reserved)
		}
	}
}

func cancelledCopiesAreAnError(t *testing.T, s *suite) {
	s.reserve(t, 10)
	s.store(t, 0, 1, tier.Run{N: 10})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := NewMemory(s.layouts[0], 10)
	if err := s.Fetch(ctx, 0, tier.Run{N: 10}, m); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled fetch: %v; want %v", err, context.Canceled)
	}
	if err := s.Store(ctx, 0, []tier.Run{{N: 10}}, m); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled store: %v; want %v", err, context.Canceled)
	}
	s.store(t, 0, 2, tier.Run{N: 10}) // the tier still works
	s.want(t, 0, versions(10, 2))
}

func closeGivesEverythingBack(t *testing.T, s *suite) {
	if got := s.Usage(); got != (tier.Usage{}) {
		t.Errorf("an empty tier holds %+v; want nothing", got)
	}
	s.reserve(t, 300)
	var row int64
	for _, l := range s.layouts {
		row += l.RowBytes()
	}
	if got := s.Usage(); got.Host+got.Disk < 300*row {
		t.Errorf("%+v for 300 cells; want %d or more", got, 300*row)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if got := s.Usage(); got != (tier.Usage{}) {
			t.Errorf("%+v after Close; want nothing", got)
		}
	}
}

// randomOperations compares the tier with a list of versions.
func randomOperations(t *testing.T, s *suite) {
	rng := rand.New(rand.NewPCG(1, 2))
	want := make([][]int, len(s.layouts))
	for version := 1; version <= 200; version++ {
		l := rng.IntN(len(want))
		if rng.IntN(8) == 0 || len(want[0]) == 0 {
			more := 1 + rng.IntN(200)
			for l := range want {
				want[l] = append(want[l], versions(more, 0)...)
			}
			s.reserve(t, len(want[0]))
		}
		var runs []tier.Run
		for cell := rng.IntN(len(want[l])); cell < len(want[l]) && len(runs) < 4; {
			r := tier.Run{Start: cell, N: 1 + rng.IntN(min(300, len(want[l])-cell))}
			runs = append(runs, r)
			copy(want[l][r.Start:], versions(r.N, version))
			cell = r.End() + rng.IntN(50)
		}
		s.store(t, l, version, runs...)
		s.want(t, l, want[l][:rng.IntN(len(want[l])+1)])
	}
	for l := range want {
		s.want(t, l, want[l])
	}
}
