package attend

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// forest are problems, each of one tree, that an op computes together.
type forest struct {
	*rig
	trees     []*problem
	q, sinks  *ggml.Tensor
	table     *ggml.Tensor
	spans     *ggml.Tensor
	at        []Tree
	rows      Rows
	attention Attention
}

// plant puts the queries and spans of prepared problems one after the other. Rows are where they are.
func plant(r *rig, set isa.ISA, cells int, trees ...*problem) *forest {
	f := &forest{rig: r, trees: trees, attention: On(r.device, Kernel, set)}
	one := trees[0]
	f.rows = Rows{Type: one.typ, KVHeads: one.kvHeads, ValueDim: one.valueDim, Cells: cells}
	var q []float32
	var words []int32
	first := 0
	for _, p := range trees {
		_, k, v, _ := r.operands(p)
		f.at = append(f.at, Tree{First: first, N: p.rows, Spans: len(words), Cells: p.spans.Cells(), Keys: k, Values: v})
		q = append(q, p.q[:p.keyDim*p.heads*p.rows]...)
		words = append(words, p.words...)
		words = append(words, make([]int32, -len(words)&15)...)
		first += p.rows
	}
	f.q = r.tensor(ggml.F32, bytesOf(q), int64(one.keyDim), int64(one.heads), int64(first))
	f.table = r.tensor(ggml.I64, make([]byte, 8*TableWords(len(trees))), int64(TableWords(len(trees))))
	f.spans = r.tensor(ggml.I32, bytesOf(words), int64(len(words)))
	if one.sinks != nil {
		f.sinks = r.tensor(ggml.F32, bytesOf(one.sinks), int64(one.heads))
	}
	return f
}

// check computes the problems together, several times, and compares with what each gives alone.
func (f *forest) check(t *testing.T, want [][]float32) {
	t.Helper()
	s := f.trees[0].scale
	s.Sinks = f.sinks
	var of *Trees
	g, y := f.graph(func(g *ggml.Graph) []*ggml.Tensor {
		var out *ggml.Tensor
		out, of = f.attention.Trees(g, f.q, f.table, f.spans, f.rows, s)
		return []*ggml.Tensor{g.Scale(out, 1)}
	})
	ggml.SetSlice(f.table, of.Table(f.at), 0)
	for range 2 {
		f.compute(g)
		if err := sameBits(numbers(y[0]), slices.Concat(want...)); err != nil {
			t.Errorf("%d trees, the first %v: %v", len(f.trees), f.trees[0], err)
		}
	}
}

// A tree's tokens have the bits that they have in an op of their own: trees of one token, of many, in few
// cells and in many ranges, in rings and as forks that list their cells, for all types, with and without
// sinks, by any number of threads, and where the results of ranges have no room.
func TestTokensOfManyTreesHaveTheBitsOfATreeAlone(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		for _, threads := range []int{1, 3} {
			r := newRig(t, threads)
			for n, typ := range kernelTypes {
				rng := seeded(n)
				heads, kvHeads, dim := 3+3*(n%3), 3, 32+32*(n%3)
				var sinks []float32
				if n%2 == 0 {
					sinks = normal(rng, heads, 1)
				}
				var trees []*problem
				var want [][]float32
				for i, of := range []struct{ rows, cells int }{{1, 300}, {5, 40}, {40, 700}, {1, 1}, {16, 257}, {17, 600}, {2, 4700}} {
					if set == isa.Go { // which knows neither ranges nor passes
						of.cells = 1 + of.cells/20
					}
					p := &problem{shape: shape{dim, dim, heads, kvHeads, of.rows, of.cells}, typ: typ, scale: Scores{Factor: 0.1, SoftCap: float32(n % 2 * 20)}, sinks: sinks}
					p.fill(t, rng)
					p.look((i+n)%waysToSee, rng)
					if i == 1 { // a fork whose rows lie elsewhere
						p.look(seeCausal, rng)
						for row := range p.sees {
							p.sees[row] = []run{{p.cells / 5, p.cells - 1}}
							p.alone = append(p.alone, []int{row})
						}
					}
					p.prepare()
					out, _ := p.run(t, set, 1)
					trees, want = append(trees, p), append(want, out)
				}
				for _, cells := range []int{5000, 256} {
					plant(r, set, cells, trees...).check(t, want)
				}
				plant(r, set, 700, trees[2]).check(t, want[2:3])
				plant(r, set, 700, trees[3], trees[0]).check(t, [][]float32{want[3], want[0]})
			}
		}
	})
}

// One graph serves any trees that have its tokens together.
func TestTheTableSaysWhichTreesAnOpHas(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 2)
		const rows, dim, heads, most = 12, 64, 3, 12
		q := normal(seeded(1), dim*heads*rows, 1)
		table := r.tensor(ggml.I64, make([]byte, 8*TableWords(most)), int64(TableWords(most)))
		words := 16 * SpansWords(1, rows, 400)
		spans := r.tensor(ggml.I32, make([]byte, 4*words), int64(words))
		x := r.tensor(ggml.F32, bytesOf(q), dim, heads, rows)
		var of *Trees
		g, y := r.graph(func(g *ggml.Graph) []*ggml.Tensor {
			var out *ggml.Tensor
			out, of = On(r.device, Kernel, set).Trees(g, x, table, spans, Rows{ggml.F16, 1, dim, 400}, Scores{})
			return []*ggml.Tensor{g.Scale(out, 1)}
		})
		for seed, sizes := range [][]int{{12}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {3, 9}, {11, 1}} {
			var at []Tree
			var want []float32
			for i, n := range sizes {
				p := &problem{shape: shape{dim, dim, heads, 1, n, 20 + 37*i}, typ: ggml.F16, scale: Scores{Factor: float32(1 / math.Sqrt(dim))}}
				p.fill(t, seeded(seed, i))
				p.look(seeCausal, seeded(seed, i))
				first := 0
				for _, before := range at {
					first += before.N
				}
				p.q = q[first*dim*heads:][:n*dim*heads]
				p.prepare()
				out, _ := p.run(t, set, 1)
				want = append(want, out...)
				_, k, v, _ := r.operands(p)
				one := Tree{First: first, N: n, Spans: i * SpansWords(1, rows, 400), Cells: p.spans.Cells(), Keys: k, Values: v}
				ggml.SetSlice(spans, p.words, int64(one.Spans)*4)
				at = append(at, one)
			}
			ggml.SetSlice(table, of.Table(at), 0)
			r.compute(g)
			if err := sameBits(numbers(y[0]), want); err != nil {
				t.Errorf("trees of %d tokens: %v", sizes, err)
			}
		}
	})
}

// The longest items come first, whatever the order of the trees: those of long prompts, then those of
// deep trees.
func TestLongItemsComeFirst(t *testing.T) {
	r := newRig(t, 2)
	of := &Trees{shape: shape{64, 64, 6, 2, 71, 8192}, typ: ggml.F16, threads: 2, set: isa.AVX2, parts: 1 << 30}
	rows := func(cells int64) *ggml.Tensor { return r.meta.New(ggml.F16, 64, cells, 2) }
	var at []Tree
	first := 0
	for _, one := range []struct{ n, cells int }{{1, 40}, {1, 8192}, {64, 600}, {5, 100}} {
		at = append(at, Tree{First: first, N: one.n, Cells: one.cells, Keys: rows(8192), Values: rows(8192)})
		first += one.n
	}
	of.Table(at)
	var got []string
	item := int64(0)
	for i := range at {
		e := entryOf(of.table, i)
		if e.itemFirst != item || e.itemEnd <= item {
			t.Errorf("tree %d has the items [%d, %d), want some from %d on", i, e.itemFirst, e.itemEnd, item)
		}
		item = e.itemEnd
		got = append(got, fmt.Sprintf("%d tokens, %d cells: %d items", e.rows, e.cells, e.itemEnd-e.itemFirst))
	}
	want := []string{"64 tokens, 600 cells: 8 items", "1 tokens, 8192 cells: 48 items", "5 tokens, 100 cells: 2 items", "1 tokens, 40 cells: 2 items"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
