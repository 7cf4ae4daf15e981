package kv

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/ggml"
)

// Eight conversations go on after a prompt of 1,000 tokens that they have in common: two of them were computed
// and the others are copies. Each slot fetches the blocks of it once for a layer, and of the trees that follow
// there only what is their own.
func TestWhatTreesHaveInCommonStaysInTheSlotForTheNext(t *testing.T) {
	const sequences, own, shared = 8, 30, common / Block * Block
	script := func(r *rig) (all []*Seq, decode []growth) {
		all = alike(r, 2, own)
		for len(all) < sequences {
			s := copyOf(r.t, all[0], common)
			r.grow(growth{s, own})
			all = append(all, s)
		}
		for _, s := range all {
			decode = append(decode, growth{s, 1})
		}
		r.grow(decode...)
		return all, decode
	}
	o := rigOptions(Static, shareLayers, ggml.F32)
	o.Cells = 2200
	want, _ := played(t, onCPU(t), o, func(r *rig) {
		_, decode := script(r)
		r.grow(decode...)
	})
	for _, tt := range []struct {
		name  string
		host  int64 // bytes; below 0: all rows
		slots int
		set   func(*Options)
	}{
		{"one slot", -1, 1, func(*Options) {}},
		{"files", 0, 2, func(*Options) {}},
		{"all layers have left", -1, 2, func(o *Options) { o.Policy, o.Memory = Auto, []int64{5 << 19} }},
	} {
		o, _ := stacked(t, tt.host)
		o.Slots = tt.slots
		tt.set(&o)
		r := newRig(t, onCPU(t), o)
		all, decode := script(r)
		r.pool.drain()
		n, before := int64(all[0].Len()), r.pool.Stats()
		r.grow(decode...)
		r.pool.drain()
		if i := differ(r.steps, want); i >= 0 {
			t.Errorf("%s: step %d differs from static", tt.name, i)
		}
		if before.StreamedLayers != shareLayers {
			t.Fatalf("%s: %d layers are streamed; want all", tt.name, before.StreamedLayers)
		}
		whole, rest := int64(tt.slots), int64(sequences-tt.slots) // fetches of a layer
		// The first visits of the next step are fetched when this one ends, with the new row.
		rows := shareLayers*(whole*n+rest*(n-shared)) + whole
		if got, want := r.pool.Stats().FetchedBytes-before.FetchedBytes, rows*shareRow/shareLayers; got != want {
			t.Errorf("%s: a step fetches %d bytes, want %d; without what trees have in common it would be %d",
				tt.name, got, want, (shareLayers*sequences*n+whole)*shareRow/shareLayers)
		}
		r.close()
	}
}

// Forks are one tree, whose rows are fetched once for all of them.
func TestForksFetchTheirRowsOnce(t *testing.T) {
	o, _ := stacked(t, -1)
	r := newRig(t, onCPU(t), o)
	defer r.close()
	s := r.pool.NewSeq()
	r.grow(growth{s, common})
	all := []growth{{s, 1}}
	for range 7 {
		all = append(all, growth{forkOf(t, s), 1})
	}
	r.grow(all...)
	r.pool.drain()
	cells, before := int64(common+len(all)), r.pool.Stats().FetchedBytes
	r.grow(all...)
	r.pool.drain()
	rows := 2*cells + int64(len(all)) // one layer stays in its slot, and one is fetched ahead, with the new rows
	if got, want := r.pool.Stats().FetchedBytes-before, rows*shareRow/shareLayers; got != want {
		t.Errorf("a step of 8 forks fetches %d bytes, want %d: all cells of their tree once", got, want)
	}
}

// Rows that are the same in two trees are not, once one of them was truncated into them and has gone on.
func TestRowsThatWereComputedAnewAreNotInCommon(t *testing.T) {
	script := func(r *rig) {
		all := alike(r, 4, 20)
		decode := func() (works []growth) {
			for _, s := range all {
				works = append(works, growth{s, 1})
			}
			return works
		}
		r.grow(decode()...)
		for i, n := range []int{100, 600} {
			if err := all[i].Truncate(n); err != nil {
				r.t.Fatal(err)
			}
			r.grow(decode()...)
			r.grow(growth{all[i], 300})
			r.grow(decode()...)
		}
	}
	o := rigOptions(Static, shareLayers, ggml.F32)
	o.Cells = 2200
	want, _ := played(t, onCPU(t), o, script)
	for _, slots := range []int{1, 2} {
		o, _ := stacked(t, -1)
		o.Slots = slots
		got, _ := played(t, onCPU(t), o, script, func(r *rig) { r.pool.hooks.beforeCopy = delays(1, 1e5) })
		if i := differ(got, want); i >= 0 {
			t.Errorf("%d slots: step %d differs from static", slots, i)
		}
	}
}

// Trees that begin alike stand together, and pass none with other numbers of tokens.
func TestTreesThatBeginAlikeAreNeighbours(t *testing.T) {
	g := &grove{sees: map[*Seq][]int64{}}
	begun := func(first int32, sealed int) *Seq {
		s := g.plant(1000)
		s.tokens = make([]int32, 300)
		s.tokens[0], s.tree.sealed = first, sealed
		return s
	}
	x1, y1, x2, y2, x3 := begun(1, Block), begun(2, Block), begun(1, Block), begun(2, Block), begun(1, Block)
	short := begun(1, 0) // it has no block that all its sequences begin with
	work := func(s *Seq, n int) Work { return Work{Seq: s, Tokens: make([]int32, n)} }
	for _, tt := range []struct {
		name  string
		batch []Work
		want  []*Seq
	}{
		{"decoding", []Work{work(x1, 1), work(y1, 1), work(x2, 1), work(y2, 1), work(x3, 1)}, []*Seq{x1, x2, x3, y1, y2}},
		{"a prompt beside", []Work{work(x1, 1), work(y1, 1), work(x2, 1), work(x3, 9)}, []*Seq{x1, x2, y1, x3}},
		{"behind a prompt", []Work{work(x1, 1), work(y1, 9), work(x2, 1)}, []*Seq{x1, y1, x2}},
		{"no block", []Work{work(x1, 1), work(y1, 1), work(short, 1)}, []*Seq{x1, y1, short}},
		{"two", []Work{work(y1, 1), work(x1, 1)}, []*Seq{y1, x1}},
	} {
		var a arrangement
		a.group(tt.batch)
		var got []int
		for i, w := range a.works {
			if a.trees[w.tree].tree != w.Seq.tree || w.tree != i {
				t.Errorf("%s: work %d is of another tree", tt.name, i)
			}
			got = append(got, slices.Index(tt.want, w.Seq))
		}
		want := make([]int, len(tt.want))
		for i := range want {
			want[i] = i
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", tt.name, diff)
		}
	}
}
