package attend

import (
	"math"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// What was really run stands in the report of the tests.
func TestKernelsOfThisProcessor(t *testing.T) {
	var names []string
	for _, set := range kernelISAs() {
		names = append(names, set.String())
	}
	t.Attr("kernels", strings.Join(names, " "))
	if names[0] != "go" {
		t.Errorf("kernels %v: want go among them", names)
	}
}

// The bound on |error| / max |out|, and on that of the log-sum-exp: each result is a sum of up to
// some hundred float32 products, whose rounding adds up to 1e-6; the powers of two are exact to
// 1e-7.
const tolerance = 3e-6

// softTolerance is tolerance with a soft cap: tanh as 1 - 2/(e^(2x)+1) loses the last bits of small
// scores.
const softTolerance = 1e-5

// Every type, head dimension, number of query heads a KV head and of rows, on tails of all lengths,
// with every way to see cells.
func TestKernelEqualsFloat64(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds: make test runs it")
	}
	groups, rowses := []int{1, 2, 3, 4, 5, 8}, []int{1, 2, 3, 16, 17}
	if testAll {
		groups, rowses = []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 71}, []int{1, 2, 3, 4, 5, 7, 15, 16, 17, 33, 64}
	}
	dims := []struct{ key, value int }{{32, 32}, {64, 64}, {80, 80}, {96, 96}, {128, 128}, {256, 256}, {512, 512}, {192, 128}, {576, 512}}
	for _, typ := range kernelTypes {
		t.Run(typ.String(), func(t *testing.T) {
			worst := map[isa.ISA]float64{}
			for n, dim := range dims {
				if !kernelTakes(typ, dim.key) {
					continue
				}
				for _, group := range groups {
					for _, rows := range rowses {
						rng := seeded(int(typ), n, group, rows)
						cells := min(1+rng.IntN(600), 1+1500000/(dim.key*group*rows))
						p := &problem{
							shape: shape{dim.key, dim.value, 2 * group, 2, rows, cells}, typ: typ,
							scale: Scores{Factor: float32(1 / math.Sqrt(float64(dim.key)))},
						}
						bound := tolerance
						if rng.IntN(4) == 0 {
							p.scale.SoftCap, bound = float32(2+rng.IntN(30)), softTolerance
						}
						p.fill(t, rng)
						p.look((n+group+rows)%waysToSee, rng)
						if rng.IntN(3) == 0 {
							p.sinks = normal(rng, p.heads, 4)
						}
						wantOut, wantLSE := p.naive()
						p.prepare()
						for _, set := range kernelISAs() {
							if p.without(set) {
								continue
							}
							out, lse := p.run(t, set, 2)
							d := max(distance(out, wantOut), distance(lse, wantLSE))
							worst[set] = max(worst[set], d)
							if d > bound {
								t.Errorf("%v: %v: differs by %g, want at most %g", set, p, d, bound)
							}
						}
					}
				}
			}
			t.Logf("largest differences: %v", worst)
		})
	}
}

// A token's bits are the same alone and among others, whether the work is divided by ranges of
// cells or by rows, on any number of threads, and in a larger region.
func TestResultDependsOnTheTokenAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds: make test runs it")
	}
	eachISA(t, func(t *testing.T, set isa.ISA) {
		for _, typ := range kernelTypes {
			for how := range waysToSee {
				rng := seeded(int(typ), how)
				const rows, cells = passRows + 5, 1100
				p := &problem{shape: shape{64, 64, 6, 2, rows, cells}, typ: typ, scale: Scores{Factor: 0.125}}
				p.fill(t, rng)
				p.look(how, rng)
				if how%2 == 0 {
					p.sinks = normal(rng, p.heads, 4)
				}
				if how%3 == 0 {
					p.scale.SoftCap = 5
				}
				p.prepare()
				out, lse := p.run(t, set, 1)
				for _, threads := range []int{2, 4} {
					p.prepare()
					again, againLSE := p.run(t, set, threads)
					if err := sameBits(again, out); err != nil {
						t.Errorf("%v: %d threads: %v", p, threads, err)
					}
					if err := sameBits(againLSE, lse); err != nil {
						t.Errorf("%v: %d threads: log-sum-exp: %v", p, threads, err)
					}
				}
				for _, n := range []int{1, 3, passRows} {
					few := p.some(t, rows-n, n, cells+300)
					few.prepare()
					got, gotLSE := few.run(t, set, 2)
					if err := sameBits(got, out[(rows-n)*6*64:]); err != nil {
						t.Errorf("%v: %d rows in a larger region: %v", p, n, err)
					}
					if err := sameBits(gotLSE, lse[(rows-n)*6:]); err != nil {
						t.Errorf("%v: %d rows in a larger region: log-sum-exp: %v", p, n, err)
					}
				}
			}
		}
	})
}

// some returns a problem with some of the rows, and room for more cells.
func (p *problem) some(t *testing.T, first, n, cells int) *problem {
	t.Helper()
	few := *p
	few.spans = Spans{}
	few.rows, few.cells = n, cells
	few.q, few.sees = p.q[first*p.keyDim*p.heads:], p.sees[first:]
	widen := func(b []byte, dim int) []byte {
		row := int(p.typ.RowSize(int64(dim)))
		wide := make([]byte, row*cells*p.kvHeads)
		for h := range p.kvHeads {
			copy(wide[h*cells*row:], b[h*p.cells*row:][:p.cells*row])
		}
		return wide
	}
	few.k, few.v = widen(p.k, p.keyDim), widen(p.v, p.valueDim)
	return &few
}

// Whatever lies in cells that a token does not see, NaN and infinities included, its bits are the
// same: those of other sequences and those that are free.
func TestUnseenCellsHaveNoInfluence(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds: make test runs it")
	}
	eachKernel(t, func(t *testing.T, set isa.ISA) {
		for _, typ := range kernelTypes {
			for how := range waysToSee {
				rng := seeded(int(typ), how, 3)
				for _, rows := range []int{1, 4, passRows + 4} {
					p := &problem{shape: shape{64, 64, 3, 1, rows, 333}, typ: typ, scale: Scores{Factor: 0.125, SoftCap: float32(how % 2 * 20)}}
					if p.without(set) {
						continue
					}
					p.fill(t, rng)
					p.look(how, rng)
					p.prepare()
					want, wantLSE := p.run(t, set, 1)
					for row := range rows {
						alien := p.some(t, 0, rows, p.cells)
						alien.poison(row)
						alien.prepare()
						got, lse := alien.run(t, set, 1)
						n := p.heads * p.valueDim
						if err := sameBits(got[row*n:][:n], want[row*n:][:n]); err != nil {
							t.Errorf("%v: way %d: row %d of %d: %v", p, how, row, rows, err)
						}
						if err := sameBits(lse[row*3:][:3], wantLSE[row*3:][:3]); err != nil {
							t.Errorf("%v: way %d: row %d of %d: log-sum-exp: %v", p, how, row, rows, err)
						}
					}
				}
			}
		}
	})
}

// poison fills the cells that a row does not see with what is no number in any type: NaN for most,
// and for some an infinity.
func (p *problem) poison(row int) {
	seen := map[int]bool{}
	for _, c := range p.seen(row) {
		seen[c] = true
	}
	for c := range p.cells {
		if seen[c] {
			continue
		}
		for h := range p.kvHeads {
			for _, b := range [][]byte{p.k, p.v} {
				size := len(b) / p.cells / p.kvHeads
				cell := b[(h*p.cells+c)*size:][:size]
				for i := range cell {
					cell[i] = 0xFF
					if c%3 == 0 && p.typ == ggml.F16 { // -Inf: FC00
						cell[i] = byte(0xFC * (i % 2))
					}
				}
			}
		}
	}
}

func TestTokenThatSeesNothingHasZeros(t *testing.T) {
	eachKernel(t, func(t *testing.T, set isa.ISA) {
		for _, rows := range []int{1, 5, passRows + 1} {
			for _, cells := range []int{1, 700} {
				p := &problem{shape: shape{32, 32, 2, 2, rows, cells}, typ: ggml.F16, scale: Scores{Factor: 1}}
				p.fill(t, seeded(rows))
				p.sees = make([][]run, rows)
				p.prepare()
				out, lse := p.run(t, set, 2)
				for i, x := range out {
					if x != 0 {
						t.Fatalf("%d rows: number %d is %g, want 0", rows, i, x)
					}
				}
				for i, x := range lse {
					if !math.IsInf(float64(x), -1) {
						t.Fatalf("%d rows: log-sum-exp %d is %g, want -Inf", rows, i, x)
					}
				}
			}
		}
	})
}

// A cell that is seen and holds no numbers shows: it does not silently count for nothing. It harms
// no token that does not see it.
func TestVisibleNaNShows(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		p := &problem{shape: shape{64, 64, 4, 1, 2, 100}, typ: ggml.F32, scale: Scores{Factor: 0.125}}
		p.fill(t, seeded(1))
		p.sees = [][]run{{{0, 100}}, {{0, 50}}}
		copy(p.k[70*256:], []byte{0, 0, 0xC0, 0x7F})
		p.prepare()
		out, _ := p.run(t, set, 1)
		for i, x := range out {
			if want := i < 4*64; math.IsNaN(float64(x)) != want {
				t.Fatalf("number %d is %g; want NaN: %v", i, x, want)
			}
		}
	})
}

// More cells than the table of ranges has at one length: the scratch must hold the results of as
// many ranges as the assembly makes.
func TestLongSequenceEqualsGo(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		p := &problem{shape: shape{32, 32, 1, 1, 2, 70000}, typ: ggml.Q8_0, scale: Scores{Factor: 0.2}}
		p.fill(t, seeded(70000))
		p.look(seeCausal, seeded(1))
		p.prepare()
		want, _ := p.run(t, isa.Go, 1)
		p.prepare()
		got, _ := p.run(t, set, 2)
		wide := make([]float64, len(want))
		for i, x := range want {
			wide[i] = float64(x)
		}
		if d := distance(got, wide); d > tolerance {
			t.Errorf("differs by %g, want at most %g", d, tolerance)
		}
	})
}
