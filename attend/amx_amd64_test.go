//go:build amd64 && !windows

package attend

import (
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/seed4d217819/ebb/isa"
)

// columnOp is a tile of cells and a column of vectors, with which AMX's functions compute.
type columnOp struct {
	frame  *frame
	cells  int
	keys   []float32 // [32][dk]
	values []float32 // [32][dv]
	q      []float32 // [dk][16]
	scores []float32 // [32][16]; then weights
	out    []float32 // [dv][16]
	pieces [4][]uint16
}

func newColumnOp(rng *rand.Rand, keyDim, valueDim, cells, pieces int) *columnOp {
	c := &columnOp{
		frame: &frame{
			dk: uintptr(keyDim), dv: uintptr(valueDim), dkb: uintptr(4 * keyDim), dvb: uintptr(4 * valueDim),
			nv: column, tn: uintptr(cells), full: 1<<cells - 1,
		},
		cells:  cells,
		keys:   inPieces(normal(rng, tilesCells*keyDim, 1), pieces),
		values: inPieces(normal(rng, tilesCells*valueDim, 1), pieces),
		q:      normal(rng, keyDim*column, 1),
		scores: normal(rng, tilesCells*column, 1),
		out:    normal(rng, valueDim*column, 1),
	}
	for i, n := range [4]int{keyDim * column, keyDim * tilesCells, valueDim * tilesCells, tilesCells * column} {
		c.pieces[i] = make([]uint16, 3*n)
	}
	f := c.frame
	f.kt, f.vt, f.qs, f.qp, f.scores, f.op = address(c.keys), address(c.values), address(c.q), address(c.q), address(c.scores), address(c.out)
	f.qa, f.ka, f.va, f.pa = address(c.pieces[0]), address(c.pieces[1]), address(c.pieces[2]), address(c.pieces[3])
	for i := range f.corr {
		f.corr[i] = 0x3F800000_3F800000 // 1, 1
	}
	return c
}

func address[T any](s []T) uintptr { return uintptr(unsafe.Pointer(&s[0])) }

// split returns the pieces of a number.
func split(x float32) (pieces [3]float32) {
	for i := range pieces {
		pieces[i] = math.Float32frombits(math.Float32bits(x) &^ 0xFFFF)
		x -= pieces[i]
	}
	return pieces
}

// inPieces takes from numbers what is more than some pieces hold.
func inPieces(s []float32, pieces int) []float32 {
	for i, x := range s {
		all := split(x)
		s[i] = 0
		for _, p := range all[:pieces] {
			s[i] += p
		}
	}
	return s
}

// behind sets what lies behind the tile's last cell.
func (c *columnOp) behind(x float32) {
	for _, s := range [][]float32{c.keys, c.values, c.scores} {
		for i := c.cells * len(s) / tilesCells; i < len(s); i++ {
			s[i] = x
		}
	}
}

// run calls functions, between those that configure the tiles. A function's value is the address of a
// wrapper, which leaves DI as it is.
func (c *columnOp) run(functions ...func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, f := range slices.Concat([]func(){opBeginAMX}, functions, []func(){opFinishAMX}) {
		callOp(reflect.ValueOf(f).Pointer(), (*tensor)(unsafe.Pointer(c.frame)), 0, 0)
	}
	runtime.KeepAlive(c)
}

// flushed returns what a tile takes a number for.
func flushed(x float32) float32 {
	if math.Abs(float64(x)) < 0x1p-126 {
		return 0
	}
	return x
}

// multiplyPairs is TDPBF16PS for one sum: products of the first numbers of all pairs are added up, and
// those of the second ones, each with one rounding, and then both to the sum. Products of bf16 have 16
// bits, so that the float64 that is rounded is exact, or too far from the middle of two float32 to be
// rounded to the other.
func multiplyPairs(sum float32, a, b func(i int) float32) float32 {
	add := func(s, x, y float32) float32 { return flushed(float32(float64(x)*float64(y) + float64(s))) }
	var first, second float32
	for i := range 16 {
		first = add(first, a(i), b(i))
		second = add(second, a(16+i), b(16+i))
	}
	return flushed(sum + flushed(first+second))
}

// terms are the products of pieces in their order.
var terms = [][][2]int{
	{{0, 2}, {0, 1}, {0, 0}},
	{{1, 1}, {1, 0}, {0, 2}, {0, 1}, {0, 0}},
	{{2, 0}, {1, 1}, {1, 0}, {0, 2}, {0, 1}, {0, 0}},
}

// wantScores returns the scores.
func (c *columnOp) wantScores(pieces int) []float32 {
	want, keyDim := make([]float32, len(c.scores)), int(c.frame.dk)
	all := terms[pieces-1]
	last := len(all) - 1
	for i := range want {
		cell, lane := i/column, i%column
		for _, some := range [][][2]int{all[:last], all[last:]} {
			for d := 0; d < keyDim; d += tileDims {
				for _, t := range some {
					want[i] = multiplyPairs(want[i],
						func(i int) float32 { return split(c.keys[cell*keyDim+d+i])[t[0]] },
						func(i int) float32 { return split(c.q[(d+i)*column+lane])[t[1]] })
				}
			}
		}
	}
	return want
}

// wantOutputs returns the outputs.
func (c *columnOp) wantOutputs(pieces int) []float32 {
	want, valueDim := slices.Clone(c.out), int(c.frame.dv)
	for i := range want {
		d, lane := i/column, i%column
		for _, t := range terms[pieces-1] {
			want[i] = multiplyPairs(want[i],
				func(i int) float32 { return split(c.values[i*valueDim+d])[t[0]] },
				func(i int) float32 { return split(c.scores[i*column+lane])[t[1]] })
		}
	}
	return want
}

func needAMX(t testing.TB) {
	t.Helper()
	if !slices.Contains(isa.All(), isa.AMX) {
		t.Skip("cpu: no AMX here")
	}
}

// Softmax of a column beside the scores of the next one gives the bits that both give one after the other,
// and so do the outputs.
func TestStepsOfTilesHaveTheBitsOfTheirParts(t *testing.T) {
	needAMX(t)
	functions := [][6]func(){
		{opPiecesAMX1, opColumnScoresAMX1, opColumnValuesAMX1, opColumnStepAMX1Of64, opColumnStepAMX1Of128, opColumnValuesBeforeAMX1},
		{opPiecesAMX2, opColumnScoresAMX2, opColumnValuesAMX2, opColumnStepAMX2Of64, opColumnStepAMX2Of128, opColumnValuesBeforeAMX2},
		{opPiecesAMX3, opColumnScoresAMX3, opColumnValuesAMX3, opColumnStepAMX3Of64, opColumnStepAMX3Of128, opColumnValuesBeforeAMX3},
	}
	for pieces := 1; pieces <= 3; pieces++ {
		for n, dim := range []int{64, 128} {
			f := functions[pieces-1]
			c := newColumnOp(seeded(pieces, dim), dim, dim, tilesCells, pieces)
			q := slices.Concat(normal(seeded(1), dim*column, 1), normal(seeded(2), dim*column, 1))
			qa := make([]uint16, 2*len(c.pieces[0]))
			statistics, other := make([]float32, 4*column), make([]float32, 35*column)
			c.frame.nv, c.frame.qs, c.frame.qp, c.frame.qa = 2*column, address(q), address(q), address(qa)
			c.frame.mp, c.frame.lp, c.frame.other = address(statistics), address(statistics[2*column:]), address(other)
			c.scores = make([]float32, 35*column)
			c.frame.scores = address(c.scores)
			c.run(opQueryPieces, f[0], f[1])
			scores, outputs := slices.Clone(c.scores), slices.Clone(c.out)
			c.run(opColumnSoftmaxAVX512, f[2])
			c.frame.qp += uintptr(4 * dim * column)
			weights, want := slices.Clone(c.scores), slices.Clone(c.out)
			wantStatistics := slices.Clone(statistics)
			c.run(f[1])
			next := slices.Clone(c.scores[:tilesCells*column])

			c.frame.qp -= uintptr(4 * dim * column)
			copy(c.scores, scores)
			copy(c.out, outputs)
			clear(statistics)
			before := make([]uint16, len(c.pieces[3])+2*column)
			c.frame.pa = address(before)
			c.run(f[3+n])
			c.frame.op += uintptr(4 * dim * column)
			c.frame.pb = c.frame.pa
			c.run(f[5])
			for what, s := range map[string][2][]float32{
				"weights": {c.scores[:tilesCells*column], weights}, "next scores": {other, next}, "outputs": {c.out, want}, "statistics": {statistics, wantStatistics},
			} {
				if err := sameBits(s[0][:min(len(s[0]), len(s[1]))], s[1][:min(len(s[0]), len(s[1]))]); err != nil {
					t.Errorf("%d pieces, keys of %d: %s: %v", pieces, dim, what, err)
				}
			}
			runtime.KeepAlive([]any{q, qa, before})
		}
	}
}

// Scores and outputs have the bits of products of tiles as Go computes them, whatever lies behind the
// tile's last cell.
func TestTilesHaveTheBitsOfGo(t *testing.T) {
	needAMX(t)
	functions := [][3]func(){
		{opPiecesAMX1, opColumnScoresAMX1, opColumnValuesAMX1},
		{opPiecesAMX2, opColumnScoresAMX2, opColumnValuesAMX2},
		{opPiecesAMX3, opColumnScoresAMX3, opColumnValuesAMX3},
	}
	for pieces := 1; pieces <= 3; pieces++ {
		for _, dims := range [][2]int{{32, 32}, {64, 64}, {192, 128}, {96, 224}} {
			for _, cells := range []int{tilesCells, 1, 17} {
				c := newColumnOp(seeded(pieces, dims[0], cells), dims[0], dims[1], cells, pieces)
				f := functions[pieces-1]
				c.behind(0)
				scores, outputs := c.wantScores(pieces), c.wantOutputs(pieces)
				weights := slices.Clone(c.scores)
				c.behind(float32(math.NaN()))
				c.run(opQueryPieces, f[0], f[1])
				if err := sameBits(c.scores, scores); err != nil {
					t.Errorf("%d pieces, dims %v, %d cells: score %v", pieces, dims, cells, err)
				}
				copy(c.scores, weights)
				c.behind(7)
				c.run(f[2])
				if err := sameBits(c.out, outputs); err != nil {
					t.Errorf("%d pieces, dims %v, %d cells: output %v", pieces, dims, cells, err)
				}
			}
		}
	}
}
