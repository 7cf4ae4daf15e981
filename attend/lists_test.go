package attend

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// kept is a problem whose rows are the last tokens of sequences that lie in one cache, and for each row
// the cells of its sequence, in order.
type kept struct {
	problem
	cellsOf [][]int
	first   []int // place of the first cell that the row sees
}

// forked makes a problem of rows that share a prefix, and lie strewn behind it. Some lie alone: their
// cells are their places.
func forked(t *testing.T, rng *rand.Rand, typ ggml.Type, dim, group, rows, prefix, own int) *kept {
	t.Helper()
	p := &kept{problem: problem{
		shape: shape{dim, dim, 2 * group, 2, rows, prefix + rows*own + 40}, typ: typ, scale: Scores{Factor: 0.125},
	}}
	p.fill(t, rng)
	strewn := rng.Perm(rows*own + 40)
	used := make([]bool, p.cells)
	for row := range rows {
		var cells []int
		for c := range prefix {
			cells = append(cells, c)
		}
		n, ahead := rng.IntN(own+1), row%4 == 3
		for i := range n {
			c := prefix + i // shared by all that lie alone
			if !ahead {
				c = prefix + strewn[row*own+i]
			}
			cells = append(cells, c)
		}
		if rng.IntN(3) == 0 { // a fork of the row before, one token further
			if row > 0 {
				cells = append(slices.Clone(p.cellsOf[row-1]), prefix+strewn[row*own])
			}
		}
		first := 0
		if rng.IntN(4) == 0 && len(cells) > 0 {
			first = rng.IntN(len(cells))
		}
		var runs []run
		var alone []int
		for place, c := range cells[first:] {
			used[c] = true
			if n := len(runs); n > 0 && runs[n-1].end == c {
				runs[n-1].end++
				continue
			}
			runs, alone = append(runs, run{c, c + 1}), append(alone, first+place)
		}
		p.cellsOf, p.first = append(p.cellsOf, cells), append(p.first, first)
		p.sees, p.alone = append(p.sees, runs), append(p.alone, alone)
	}
	for c, is := range used {
		if !is {
			p.spoil(c)
		}
	}
	return p
}

// spoil fills the key and the value of a cell with NaN, or with bytes of which scales are NaN.
func (p *problem) spoil(cell int) {
	for _, s := range [][]byte{p.k, p.v} {
		row := len(s) / p.cells / p.kvHeads
		for h := range p.kvHeads {
			b := s[(h*p.cells+cell)*row:][:row]
			for i := range b {
				b[i] = 0xFF
			}
		}
	}
}

// checkRows computes the problem, and compares each row with what it gives alone.
func (p *kept) checkRows(t *testing.T, set isa.ISA, threads int) {
	t.Helper()
	out, lse := p.run(t, set, threads)
	for row := range p.rows {
		one := p.by(row)
		one.prepare()
		want, wantLSE := one.run(t, set, 1)
		if err := sameBits(out[row*p.heads*p.valueDim:][:len(want)], want); err != nil {
			t.Errorf("%v: row %d: %v", &p.problem, row, err)
		}
		if err := sameBits(lse[row*p.heads:][:p.heads], wantLSE); err != nil {
			t.Errorf("%v: row %d: log-sum-exp: %v", &p.problem, row, err)
		}
	}
}

// by returns the problem of a row that has a cache for itself.
func (p *kept) by(row int) *problem {
	cells := p.cellsOf[row]
	one := &problem{shape: p.shape, typ: p.typ, scale: p.scale, sinks: p.sinks}
	one.rows, one.cells = 1, max(len(cells), 1)
	one.q = p.q[row*p.keyDim*p.heads:][:p.keyDim*p.heads]
	gathered := func(s []byte) (all []byte) {
		size := len(s) / p.cells / p.kvHeads
		for h := range p.kvHeads {
			for _, c := range append(slices.Clone(cells), make([]int, one.cells-len(cells))...) {
				all = append(all, s[(h*p.cells+c)*size:][:size]...)
			}
		}
		return all
	}
	one.k, one.v = gathered(p.k), gathered(p.v)
	one.sees = [][]run{{{p.first[row], len(cells)}}}
	return one
}

// Sequences whose cells lie among those of others have the bits that they have when they lie alone: all
// types, groups, and numbers of rows, prefixes that end within a tile and within a range, strewn cells
// in any order, windows, and rows beside them that lie alone.
func TestRowsThatListTheirCellsHaveTheBitsOfRowsAlone(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		for _, typ := range kernelTypes {
			for n, c := range []struct{ dim, group, rows, prefix, own int }{
				{64, 1, 2, 0, 3},
				{64, 3, 4, 19, 70},
				{32, 4, 5, 250, 40},
				{64, 2, 1, 31, 33},
				{128, 3, 3, 40, 50},
				{96, 5, 3, 33, 40},
				{160, 8, 2, 17, 20},
				{64, 1, passRows, 64, 20},
				{64, 3, passRows + 3, 30, 30},
				{64, 1, 3, 300, 280},
				{32, 1, 75, 30, 5}, // passes of more than passRows rows, however many threads there are
			} {
				if set == isa.Go && (c.own > 50 || c.rows > 50) {
					continue
				}
				rng := seeded(int(typ), n, 11)
				p := forked(t, rng, typ, c.dim, c.group, c.rows, c.prefix, c.own)
				if n%2 == 0 {
					p.sinks = normal(rng, p.heads, 4)
				}
				if n%3 == 0 {
					p.scale.SoftCap = 5
				}
				p.prepare()
				p.checkRows(t, set, 1+n%3)
			}
		}
	})
}

// listed returns what the kernel reads of a row, with lists.
func (s *Spans) listed(row int) []int {
	words := append(slices.Clone(s.words), make([]int32, s.listsAt-len(s.words))...)
	words = append(words, s.lists...)
	t := &tensor{ne: [4]int64{int64(len(words)), 1, 1, 1}, data: unsafe.Pointer(&words[0])}
	return slices.Collect(wordsOf(t).row(row, 1<<30))
}

func TestRowsOfOneSequenceShareAList(t *testing.T) {
	see := func(s *Spans, row, n int) {
		s.See(0, 0, 40)
		s.See(40, 90, n)
		s.EndRow(row)
	}
	var s Spans
	s.Reset(1, 3, 200, 1000)
	for row := range 3 {
		see(&s, row, row+1)
	}
	for row := range 3 {
		want := []int{}
		for c := range 40 {
			want = append(want, c)
		}
		for i := range row + 1 {
			want = append(want, 90+i)
		}
		if diff := cmp.Diff(want, s.listed(row)); diff != "" {
			t.Errorf("row %d (-want +got):\n%s", row, diff)
		}
	}
	if n := len(s.Lists()); n != 8+3+listPadding {
		t.Errorf("%d words of lists, want those of places 32 to 43 and %d", n, listPadding)
	}
	s.Reset(1, 2, 200, 1000)
	see(&s, 0, 2)
	s.See(0, 0, 40)
	s.See(40, 80, 1)
	s.See(41, 91, 1)
	s.EndRow(1)
	if got := s.listed(1)[40:]; !slices.Equal(got, []int{80, 91}) {
		t.Errorf("a fork sees %v behind what it shares, want cells 80 and 91", got)
	}
	if got := s.listed(0)[40:]; !slices.Equal(got, []int{90, 91}) {
		t.Errorf("the row before sees %v, want cells 90 and 91", got)
	}
}

func TestRowsWithoutRoomForAListSeeTheirCellsInTheOrderInWhichTheyLie(t *testing.T) {
	var s Spans
	s.Reset(1, 1, 100, 10)
	s.See(0, 50, 2)
	s.See(2, 0, 3)
	s.EndRow(0)
	if got := s.listed(0); !slices.Equal(got, []int{0, 1, 2, 50, 51}) || len(s.Lists()) > 0 {
		t.Errorf("sees %v with %d words of lists, want cells 0 to 2, 50 and 51 and none", got, len(s.Lists()))
	}
}

// Any sequences, in any cells, with any windows, and rings that begin again in the middle of a row: rows
// see their cells in the order of their places, as far as there is room for lists.
func TestSpansListAnyCells(t *testing.T) {
	for seed := range 3000 {
		rng := seeded(seed, 21)
		n, room := 1+rng.IntN(6), 1<<20
		if rng.IntN(4) == 0 {
			room = rng.IntN(600)
		}
		var s Spans
		s.Reset(2, n, 5000, room)
		var want [][]int
		cells := rng.Perm(300)[:1+rng.IntN(200)]
		if prefix := rng.IntN(100); prefix < len(cells) && rng.IntN(2) == 0 {
			for i := range prefix {
				cells[i] = i
			}
			for i := prefix; i < len(cells); i++ {
				cells[i] += 300
			}
		}
		wrap := 1000
		if rng.IntN(3) == 0 {
			wrap = len(cells) // the ring has as many places, from one of them on
		}
		from := rng.IntN(wrap)
		if wrap == 1000 {
			from = 0
		}
		for row := range n {
			if rng.IntN(4) == 0 { // another sequence
				cells = slices.Clone(cells)
				rng.Shuffle(len(cells)/2, func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
			}
			first := rng.IntN(len(cells) + 1)
			if rng.IntN(2) == 0 {
				first = 0
			}
			end := first + rng.IntN(len(cells)-first+1)
			at := make(map[int]int)
			for i := first; i < end; i++ {
				alone := (from + i) % wrap
				s.See(alone, cells[i], 1)
				at[alone] = cells[i]
			}
			s.EndRow(row)
			var sees []int
			for place := range wrap {
				if c, is := at[place]; is {
					sees = append(sees, c)
				}
			}
			want = append(want, sees)
		}
		if len(s.Lists()) > room {
			t.Fatalf("seed %d: %d words of lists, and there is room for %d", seed, len(s.Lists()), room)
		}
		for row := range want {
			got := s.listed(row)
			if room < 1<<20 {
				slices.Sort(got)
				slices.Sort(want[row])
			}
			if !slices.Equal(got, want[row]) {
				t.Fatalf("seed %d: row %d sees %v, want %v", seed, row, got, want[row])
			}
		}
	}
}

// A step of forks like the one before allocates nothing.
func TestSpansWithListsAllocateNothingAfterTheFirst(t *testing.T) {
	var s Spans
	step := func() {
		s.Reset(2, 4, 1000, 1<<20)
		for row := range 4 {
			s.See(0, 0, 100)
			for i := range 50 {
				s.See(100+i, 100+4*i+row, 1)
			}
			s.EndRow(row)
		}
	}
	step()
	if n := testing.AllocsPerRun(50, step); n != 0 {
		t.Errorf("%v allocations a step, want none", n)
	}
}

// behind makes a problem of sequences that go on from one fork, whose cells lie strewn behind a prefix: the
// rows of each are its last tokens.
func behind(t *testing.T, rng *rand.Rand, typ ggml.Type, dim, group, prefix, shared, first, sequences, tokens int) *kept {
	t.Helper()
	rows, behind := sequences*tokens, shared+sequences*tokens+20
	p := &kept{problem: problem{shape: shape{dim, dim, 2 * group, 2, rows, prefix + behind}, typ: typ, scale: Scores{Factor: 0.125}}}
	p.fill(t, rng)
	strewn := rng.Perm(behind)
	for i := range strewn {
		strewn[i] += prefix
	}
	var begin []int
	for c := range prefix {
		begin = append(begin, c)
	}
	begin = append(begin, strewn[:shared]...)
	used := make([]bool, p.cells)
	for s := range sequences {
		cells := slices.Clone(begin)
		for i := range tokens {
			cells = append(cells, strewn[shared+s*tokens+i])
			var runs []run
			var alone []int
			for place := first; place < len(cells); place++ {
				runs, alone = append(runs, run{cells[place], cells[place] + 1}), append(alone, place)
				used[cells[place]] = true
			}
			p.sees, p.alone = append(p.sees, runs), append(p.alone, alone)
			p.cellsOf, p.first = append(p.cellsOf, slices.Clone(cells)), append(p.first, first)
		}
	}
	for c, is := range used {
		if !is {
			p.spoil(c)
		}
	}
	return p
}

// Rows that list the same cells of a tile are computed together, by groups or by columns: a prompt behind a
// fork, and beams that have a beginning in common, have the bits of rows alone.
func TestRowsThatListTheSameCellsHaveTheBitsOfRowsAlone(t *testing.T) {
	eachKernel(t, func(t *testing.T, set isa.ISA) {
		for _, typ := range kernelTypes {
			for n, c := range []struct{ dim, group, prefix, shared, first, sequences, tokens int }{
				{64, 3, 70, 200, 0, 1, 40},
				{64, 3, 10, 40, 25, 1, 75},
				{128, 4, 33, 100, 0, 4, 1},
				{64, 1, 0, 50, 0, 2, 33},
				{96, 16, 64, 300, 0, 3, 7},
			} {
				if set == isa.Go && typ != ggml.F16 {
					continue
				}
				rng := seeded(int(typ), n, 31)
				p := behind(t, rng, typ, c.dim, c.group, c.prefix, c.shared, c.first, c.sequences, c.tokens)
				if set == isa.AMX && (!p.takesTiles() || p.keyDim > 64) { // whose rows alone have tiles of fewer cells
					continue
				}
				p.prepare()
				p.checkRows(t, set, 1+n%3)
			}
		}
	})
}
