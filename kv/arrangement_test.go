package kv

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/tier"
)

// grove is trees and sequences without a pool: all that an arrangement needs.
type grove struct {
	seqs []*Seq
	sees map[*Seq][]int64 // by sequence: the cells of its tokens, in order
}

func (g *grove) plant(capacity int) *Seq {
	s := &Seq{tree: &tree{capacity: capacity}}
	s.tree.seqs = []*Seq{s}
	g.seqs = append(g.seqs, s)
	return s
}

func (g *grove) fork(s *Seq) *Seq {
	s.tree.share(s.runs)
	f := &Seq{tree: s.tree, tokens: slices.Clone(s.tokens), runs: slices.Clone(s.runs)}
	s.tree.seqs = append(s.tree.seqs, f)
	g.seqs = append(g.seqs, f)
	g.sees[f] = slices.Clone(g.sees[s])
	return f
}

// grow notes that sequences have the new tokens of an arrangement.
func (g *grove) grow(a *arrangement) {
	for _, w := range a.works {
		w.Seq.tokens = append(w.Seq.tokens, w.Tokens...)
		for _, r := range w.runs {
			w.Seq.runs = appendRun(w.Seq.runs, r)
		}
		g.sees[w.Seq] = append(g.sees[w.Seq], a.cells[w.first:w.end()]...)
	}
}

func (a *arrangement) arrange(batch []Work, chunkTokens int) {
	a.group(batch)
	a.reserve()
	a.cut(chunkTokens)
}

// seen notes the cells of each row, and where they would be alone.
type seen struct {
	rows, alone       [][]int64
	row, placesOfARow []int64
}

func (s *seen) See(alone, first, n int) {
	for i := range n {
		s.row, s.placesOfARow = append(s.row, int64(first+i)), append(s.placesOfARow, int64(alone+i))
	}
}

func (s *seen) EndRow(int) {
	s.rows, s.alone = append(s.rows, s.row), append(s.alone, s.placesOfARow)
	s.row, s.placesOfARow = nil, nil
}

// Random batches of sequences and forks are grouped, numbered and cut; each token sees its own
// sequence up to itself.
func TestArrangementsOfRandomBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &grove{sees: map[*Seq][]int64{}}
		for range rapid.IntRange(1, 4).Draw(t, "trees") {
			g.plant(10_000)
		}
		var a arrangement
		token := int32(0)
		for range rapid.IntRange(1, 5).Draw(t, "steps") {
			for range rapid.IntRange(0, 2).Draw(t, "forks") {
				g.fork(rapid.SampledFrom(g.seqs).Draw(t, "of"))
			}
			var batch []Work
			for _, s := range rapid.Permutation(g.seqs).Draw(t, "order") {
				n := rapid.IntRange(0, 40).Draw(t, "tokens")
				if n == 0 {
					continue
				}
				w := Work{Seq: s, Tokens: make([]int32, n), Logits: rapid.IntRange(0, n).Draw(t, "logits")}
				for i := range w.Tokens {
					token++
					w.Tokens[i] = token
				}
				batch = append(batch, w)
			}
			if len(batch) == 0 {
				continue
			}
			a = a.emptied()
			a.arrange(batch, rapid.IntRange(1, 60).Draw(t, "chunk"))
			checkArrangement(t, &a, batch, g)
			if rapid.Bool().Draw(t, "abandoned") {
				a.giveBack()
			} else {
				g.grow(&a)
			}
		}
	})
}

func checkArrangement(t *rapid.T, a *arrangement, batch []Work, g *grove) {
	t.Helper()
	at := map[int32]int{} // by token: its number in the step
	for i, token := range a.Tokens() {
		at[token] = i
	}
	var rows [][][]float32
	for _, w := range batch {
		past := len(w.Seq.tokens)
		for j, token := range w.Tokens {
			i, ok := at[token]
			if !ok || a.Positions()[i] != int32(past+j) {
				t.Fatalf("token %d is in the step: %v, at position %d; want %d", token, ok, a.Positions()[i], past+j)
			}
			if wanted := j >= len(w.Tokens)-w.Logits; slices.Contains(a.LogitRows(), int32(i)) != wanted {
				t.Fatalf("logits of token %d are asked for: %v; want %v", token, !wanted, wanted)
			}
		}
		var own [][]float32
		for _, token := range w.Tokens[len(w.Tokens)-w.Logits:] {
			own = append(own, []float32{float32(token)})
		}
		rows = append(rows, own)
	}
	for i, row := range a.Gather(rows) {
		if want := a.Tokens()[a.LogitRows()[i]]; row[0] != float32(want) {
			t.Fatalf("row %d of the logits is token %v's; want %d's", i, row[0], want)
		}
	}
	next, input := 0, 0
	for _, c := range a.Chunks() {
		if c.First != next {
			t.Fatalf("a chunk begins at token %d; want %d", c.First, next)
		}
		if c.Parts[0].Input < input {
			t.Fatalf("a chunk's inputs begin at %d, and those before end at %d", c.Parts[0].Input, input)
		}
		mask := 0
		for i, p := range c.Parts {
			if p.First != next || p.N < 1 || i > 0 && p.Tree == c.Parts[i-1].Tree || p.Rows != (Rows{}) {
				t.Fatalf("part %+v after token %d", p, next)
			}
			if p.Input < input || p.Input%InputAlign != 0 || p.Input+p.N > InputAlign*(next+p.N) || p.Mask != mask {
				t.Fatalf("inputs of part %+v, after those that end at %d and masks that end at %d", p, input, mask)
			}
			next, input, mask = next+p.N, p.Input+p.N, mask+p.N*p.Cells
			checkVisibility(t, a, p, 0, g)
			checkVisibility(t, a, p, rapid.IntRange(1, 40).Draw(t, "window"), g)
		}
		if next != c.First+c.N {
			t.Fatalf("parts end at token %d; want %d", next, c.First+c.N)
		}
		input = max(input, c.Parts[0].Input+c.N)
	}
	if next != len(a.Tokens()) || len(a.Cells()) != next {
		t.Fatalf("chunks of %d tokens, %d cells; want %d of both", next, len(a.Cells()), len(a.Tokens()))
	}
}

// checkVisibility compares what a part's tokens see under a window with the last cells of their
// sequences.
func checkVisibility(t *rapid.T, a *arrangement, p Part, window int, g *grove) {
	t.Helper()
	var got seen
	a.Sees(p, window, &got)
	mask := make([]uint16, p.N*p.Cells)
	a.Mask(p, window, mask)
	for i := range p.N {
		w := a.works[a.workAt(p.First+i)]
		if a.trees[p.Tree].tree != w.Seq.tree {
			t.Fatalf("token %d is another tree's than its part", p.First+i)
		}
		want := slices.Concat(g.sees[w.Seq], a.cells[w.first:p.First+i+1])
		hidden := 0
		if window > 0 {
			hidden = max(0, len(want)-window)
			want = want[hidden:]
		}
		for j, c := range want {
			if got.rows[i][j] != c || got.alone[i][j] != int64(hidden+j) {
				t.Fatalf("token %d sees cell %d, as if it were %d; want %d, as if it were %d", p.First+i, got.rows[i][j], got.alone[i][j], c, hidden+j)
			}
			if c != int64(hidden+j) && !a.Strewn(window) {
				t.Fatalf("token %d sees cell %d as %d, and no sequence of the step is strewn", p.First+i, c, hidden+j)
			}
		}
		slices.Sort(want)
		if slices.Sort(got.rows[i]); !slices.Equal(got.rows[i], want) {
			t.Fatalf("token %d sees the cells %v; want %v", p.First+i, got.rows[i], want)
		}
		var masked []int64
		for c, m := range mask[i*p.Cells:][:p.Cells] {
			if m == visible {
				masked = append(masked, int64(c))
			}
		}
		if !slices.Equal(masked, want) {
			t.Fatalf("the mask shows token %d the cells %v; want %v", p.First+i, masked, want)
		}
	}
}

func TestArrangementAbandonedLeavesTreesAsTheyWere(t *testing.T) {
	g := &grove{sees: map[*Seq][]int64{}}
	s := g.plant(10)
	var a arrangement
	a.arrange([]Work{{Seq: s, Tokens: make([]int32, 4)}}, 4)
	g.grow(&a)
	high, cells := s.tree.high, slices.Clone(s.tree.cells)
	a = a.emptied()
	a.arrange([]Work{{Seq: s, Tokens: make([]int32, 6)}}, 4)
	a.giveBack()
	if s.tree.high != high || !slices.Equal(s.tree.cells, cells) {
		t.Errorf("cells %v up to %d; want %v up to %d", s.tree.cells, s.tree.high, cells, high)
	}
	a = a.emptied()
	a.group([]Work{{Seq: s, Tokens: make([]int32, 7)}})
	if err := a.room(); !errors.Is(err, ErrFull) {
		t.Errorf("7 tokens into room for 6: %v; want %v", err, ErrFull)
	}
}

// A step like the one before allocates none of its lists.
func TestArrangementOfADecodeStepAllocatesNothing(t *testing.T) {
	g := &grove{sees: map[*Seq][]int64{}}
	a, b := g.plant(1<<20), g.plant(1<<20)
	f := g.fork(a)
	batch := []Work{{Seq: a, Tokens: []int32{1}, Logits: 1}, {Seq: b, Tokens: []int32{2}, Logits: 1}, {Seq: f, Tokens: []int32{3}, Logits: 1}}
	rows := [][][]float32{{{1}}, {{2}}, {{3}}}
	mask := make([]uint16, Block)
	var arranged arrangement
	step := func() {
		arranged = arranged.emptied()
		arranged.arrange(batch, 512)
		arranged.Gather(rows)
		arranged.Mask(arranged.Chunks()[0].Parts[1], 0, mask)
		arranged.giveBack()
	}
	step()
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations a step; want none", n)
	}
}

func TestSpanEndsAtTheLastCellThatIsSeen(t *testing.T) {
	w := work{sealed: 3, old: []tier.Run{{Start: 5, N: 2}}, runs: []tier.Run{{Start: 3, N: 2}, {Start: 9, N: 4}}}
	for n, want := range []int{7, 7, 7, 10, 11, 12, 13} {
		if got := w.span(n); got != want {
			t.Errorf("%d new tokens see the cells up to %d; want %d", n, got, want)
		}
	}
}
