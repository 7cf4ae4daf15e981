package kv

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/tier"
)

// planned gives a chunk of one sequence its places: n tokens whose cells begin at first.
func planned(t rapid.TB, r *ring, chunk, first, n int) {
	t.Helper()
	old := min(first, r.window-1)
	work := need{first: 0, n: n, old: old, cells: []tier.Run{{Start: first - old, N: old + n}}}
	if short := r.assign(chunk, []need{work}); short > 0 {
		t.Fatalf("%d places are missing for the cells [%d,%d)", short, first-old, first+n)
	}
	r.look(work)
}

func TestOneSequenceHasItsCellsModuloTheRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window, chunk := rapid.IntRange(1, 40).Draw(t, "window"), rapid.IntRange(1, 30).Draw(t, "chunk")
		r := newRing(window, window-1+chunk+rapid.IntRange(0, 9).Draw(t, "more"), 0)
		for cell := 0; cell < 300; {
			n := rapid.IntRange(1, chunk).Draw(t, "n")
			r.begin()
			planned(t, r, 0, cell, n)
			cell += n
			for c := max(0, cell-window); c < cell; c++ {
				if got, want := r.place(c), c%r.size; got != want {
					t.Fatalf("cell %d has the place %d; want %d", c, got, want)
				}
			}
			if copies := r.copiesBefore(0); copies != nil {
				t.Fatalf("copies %+v in a step of one chunk that nothing has left", *copies)
			}
			if cell > 260 && rapid.Bool().Draw(t, "truncate") { // what is seen then is fetched to the same places
				back := rapid.IntRange(1, 250).Draw(t, "back")
				for c := cell - back; c < cell; c++ {
					r.forget(c)
				}
				cell -= back
				window := tier.Run{Start: max(0, cell-window+1), N: min(cell, window-1)}
				r.begin()
				planned(t, r, 0, cell, 1)
				for c := window.Start; c < window.End(); c++ {
					if got, want := r.place(c), c%r.size; got != want {
						t.Fatalf("fetched cell %d has the place %d; want %d", c, got, want)
					}
				}
				return
			}
		}
	})
}

// Rows that lose their places are stored before that if the tier does not have them: at once those from
// before the step, and before the chunk that takes their places those of its own.
func TestDirtyRowsAreStoredBeforeTheyLoseTheirPlaces(t *testing.T) {
	r := newRing(4, 8, 0)
	r.begin()
	planned(t, r, 0, 0, 5)
	if r.stores || len(r.copies) > 0 {
		t.Fatalf("stores %v, copies %+v of an empty ring", r.stores, r.copies)
	}
	if got, want := r.unstored(4), []stretch{{0, 0, 4}}; !slices.Equal(got, want) {
		t.Errorf("unstored %v; want %v", got, want)
	}
	r.begin()
	planned(t, r, 0, 5, 5) // takes the places of the cells 0 and 1
	planned(t, r, 1, 10, 5)
	if !r.stores {
		t.Error("the cells 0 and 1 lose their places; want them stored")
	}
	if got, want := r.copiesBefore(1).store, []stretch{{5, 5, 2}}; !slices.Equal(got, want) { // 2 to 4 are from before
		t.Errorf("before chunk 1 %v are stored; want %v", got, want)
	}
	r.fail()
	for c := range 15 {
		if p := r.place(c); p != nowhere {
			t.Errorf("after a step that failed, cell %d has the place %d, which had others", c, p)
		}
	}
}

func TestUndonePlanLeavesTheRingAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRing(rapid.IntRange(1, 10).Draw(t, "window"), 20, 0)
		for range rapid.IntRange(0, 5).Draw(t, "steps") {
			r.begin()
			drawnChunk(t, r, 0)
		}
		places, cells, dirty := slices.Clone(r.places), slices.Clone(r.cells), slices.Clone(r.dirty)
		r.begin()
		for chunk := range rapid.IntRange(1, 4).Draw(t, "chunks") {
			if drawnChunk(t, r, chunk) > 0 {
				break
			}
		}
		r.undo()
		for c := range r.places {
			want := nowhere
			if c < len(places) {
				want = int(places[c])
			}
			if r.place(c) != want {
				t.Fatalf("cell %d has the place %d; want %d", c, r.place(c), want)
			}
		}
		if !slices.Equal(r.cells, cells) || !slices.Equal(r.dirty, dirty) {
			t.Fatalf("cells %v, dirty %v; want %v, %v", r.cells, r.dirty, cells, dirty)
		}
	})
}

// drawnChunk plans a chunk of several works with any cells.
func drawnChunk(t *rapid.T, r *ring, chunk int) (short int) {
	var needs []need
	first := 0
	for range rapid.IntRange(1, 3).Draw(t, "works") {
		n, old := rapid.IntRange(1, 4).Draw(t, "n"), rapid.IntRange(0, r.window-1).Draw(t, "old")
		var cells []tier.Run
		for range n + old {
			cells = appendRun(cells, tier.Run{Start: rapid.IntRange(0, 60).Draw(t, "cell"), N: 1})
		}
		needs = append(needs, need{first: first, n: n, old: old, cells: cells})
		first += n
	}
	short = r.assign(chunk, needs)
	if short > 0 {
		return short
	}
	held := map[int]bool{}
	for _, n := range needs {
		for _, run := range n.cells {
			for c := run.Start; c < run.End(); c++ {
				if p := r.place(c); p == nowhere || p >= r.size || int(r.cells[p]) != c {
					t.Fatalf("cell %d, which the chunk needs, has the place %d of %v", c, p, r.cells)
				}
				held[c] = true
			}
		}
	}
	for c := range r.places {
		if p := r.place(c); p != nowhere && int(r.cells[p]) != c {
			t.Fatalf("cell %d has the place %d of cell %d", c, p, r.cells[p])
		}
	}
	return 0
}

func TestTooFewPlacesAreCounted(t *testing.T) {
	r := newRing(4, 6, 0)
	r.begin()
	works := []need{
		{first: 0, n: 1, old: 3, cells: []tier.Run{{Start: 0, N: 3}, {Start: 3, N: 1}}},
		{first: 1, n: 1, old: 3, cells: []tier.Run{{Start: 0, N: 1}, {Start: 10, N: 2}, {Start: 20, N: 1}}},
		{first: 2, n: 1, old: 3, cells: []tier.Run{{Start: 0, N: 1}, {Start: 10, N: 2}, {Start: 21, N: 1}}},
	}
	if got, want := r.assign(0, works), 2; got != want { // eight cells
		t.Fatalf("%d places are missing; want %d", got, want)
	}
	r.undo()
	r.extend(8)
	r.begin()
	if got := r.assign(0, works); got != 0 {
		t.Fatalf("%d places are missing with as many as cells; want 0", got)
	}
}

func TestTokensSeeTheirWindowsInARing(t *testing.T) {
	r := newRing(3, 8, 0)
	r.begin()
	planned(t, r, 0, 6, 4) // the cells 4 to 9
	var got seen
	r.sees(Part{First: 0, N: 4}, &got)
	want := [][]int64{{4, 5, 6}, {5, 6, 7}, {0, 6, 7}, {0, 1, 7}}
	for i := range want {
		slices.Sort(got.rows[i])
		if !slices.Equal(got.rows[i], want[i]) {
			t.Errorf("token %d sees the places %v; want %v", i, got.rows[i], want[i])
		}
	}
	if got, want := r.span(0, 1), Block; got != want {
		t.Errorf("attention spans %d places; want %d", got, want)
	}
}

// A sequence alone would be in a ring of the first size, however large the ring has grown.
func TestRowsOfARingAreSeenAtThePlacesThatTheyWouldHaveAlone(t *testing.T) {
	r := newRing(6, 8, 0)
	r.extend(16)
	r.runs = []tier.Run{{Start: 5, N: 3}, {Start: 12, N: 1}, {Start: 1, N: 2}}
	r.views = []view{{first: 0, n: 2, position: 6, old: 4, end: 3}} // positions 6 to 11
	var got seen
	r.sees(Part{First: 0, N: 2}, &got)
	if diff := cmp.Diff([][]int64{{5, 6, 7, 12, 1}, {5, 6, 7, 12, 1, 2}}, got.rows); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]int64{{6, 7, 0, 1, 2}, {6, 7, 0, 1, 2, 3}}, got.alone); diff != "" {
		t.Errorf("places alone (-want +got):\n%s", diff)
	}
	if !r.strewn() {
		t.Error("no rows are at other places than alone")
	}
	r.runs = []tier.Run{{Start: 6, N: 2}, {Start: 0, N: 4}}
	r.views[0].end = 2
	if r.strewn() {
		t.Error("rows of a sequence alone are at other places than alone")
	}
}
