package attend

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// testAll says that tests go through full matrices.
var testAll = os.Getenv("EBB_TEST_ALL") != ""

// kernelISAs returns the instruction sets of this processor for which the kernel has code.
func kernelISAs() []isa.ISA {
	return slices.DeleteFunc(isa.All(), func(set isa.ISA) bool { return set == isa.AVXVNNI || set == isa.VNNI })
}

// vectorISAs are those of machine code.
func vectorISAs() []isa.ISA { return kernelISAs()[1:] }

// eachISA runs f for every instruction set but AMX, and skips those that this processor lacks.
func eachISA(t *testing.T, f func(t *testing.T, set isa.ISA)) {
	t.Helper()
	each(t, f, isa.Go, isa.AVX2, isa.AVX512)
}

// eachKernel runs f for AMX too, which computes some problems only: see without.
func eachKernel(t *testing.T, f func(t *testing.T, set isa.ISA)) {
	t.Helper()
	each(t, f, isa.Go, isa.AVX2, isa.AVX512, isa.AMX)
}

func each(t *testing.T, f func(t *testing.T, set isa.ISA), sets ...isa.ISA) {
	for _, set := range sets {
		t.Run(set.String(), func(t *testing.T) {
			if !slices.Contains(kernelISAs(), set) {
				t.Skipf("cpu: no kernel for %s here", set)
			}
			f(t, set)
		})
	}
}

// problem is what an op computes, and memory for it that is not ggml's.
type problem struct {
	shape
	typ   ggml.Type
	scale Scores
	sees  [][]run // by row
	alone [][]int // by row: where its runs lie alone; nil: where they are
	lists int     // words at most; 0: as many as are needed
	set   isa.ISA // for which the op is prepared
	ran   int     // threads with which it has run since

	sinks   []float32 // [heads]; nil: none
	q       []float32 // [keyDim, heads, rows]
	k, v    []byte    // [dim, cells, kvHeads]
	spans   Spans
	words   []int32 // of the tensor
	dst     []byte
	tensors [6]tensor // dst, q, k, v, spans, sinks
}

// without reports that the kernel computes the problem with another instruction set in place of set.
func (p *problem) without(set isa.ISA) bool { return set == isa.AMX && !p.takesTiles() }

func (p *problem) String() string {
	return fmt.Sprintf("%v, heads of %d and %d, %d of %d, %d rows, %d cells, %d sinks", p.typ, p.keyDim, p.valueDim, p.heads, p.kvHeads, p.rows, p.cells, len(p.sinks))
}

func seeded(parts ...int) *rand.Rand {
	h := uint64(1)
	for _, p := range parts {
		h = h*1099511628211 + uint64(p)
	}
	return rand.New(rand.NewPCG(h, 7))
}

// normal returns n numbers.
func normal(rng *rand.Rand, n int, size float64) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(rng.NormFloat64() * size)
	}
	return s
}

func quantize(t testing.TB, typ ggml.Type, s []float32, dim int) []byte {
	t.Helper()
	b, err := ggml.Quantize(typ, s, int64(dim))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fill makes random queries, keys and values.
func (p *problem) fill(t testing.TB, rng *rand.Rand) {
	t.Helper()
	p.q = normal(rng, p.keyDim*p.heads*p.rows, 2)
	p.k = quantize(t, p.typ, normal(rng, p.keyDim*p.cells*p.kvHeads, 1), p.keyDim)
	p.v = quantize(t, p.typ, normal(rng, p.valueDim*p.cells*p.kvHeads, 1), p.valueDim)
}

// ways to see cells.
const (
	seeAll     = iota
	seeCausal  // the rows are the last tokens
	seeWindow  // the same, and no more than some cells back
	seeForks   // a common prefix, and cells of each row's own behind it
	seeLittle  // some rows see one cell, others none
	seeStrewn  // runs anywhere, in any order
	waysToSee  // how many there are
	windowSize = 40
)

// look makes each row see cells.
func (p *problem) look(how int, rng *rand.Rand) {
	p.sees = make([][]run, p.rows)
	prefix := rng.IntN(p.cells + 1)
	for row := range p.sees {
		end := max(p.cells-p.rows+row+1, 1)
		var runs []run
		switch how {
		case seeAll:
			runs = []run{{0, p.cells}}
		case seeCausal:
			runs = []run{{0, end}}
		case seeWindow:
			runs = []run{{max(end-windowSize, 0), end}}
		case seeForks:
			runs = []run{{0, prefix}}
			for c := prefix; c < p.cells; c++ {
				if rng.IntN(p.rows+1) == 0 {
					runs = append(runs, run{c, c + 1})
				}
			}
		case seeLittle:
			if c := rng.IntN(p.cells); row%2 == 0 {
				runs = []run{{c, c + 1}}
			}
		case seeStrewn:
			for range rng.IntN(5) {
				a, b := rng.IntN(p.cells+1), rng.IntN(p.cells+1)
				runs = append(runs, run{min(a, b), max(a, b)})
			}
		}
		p.sees[row] = runs
	}
}

// seen returns the cells that a row sees, once each.
func (p *problem) seen(row int) (cells []int) {
	for c := range p.cells {
		if slices.ContainsFunc(p.sees[row], func(r run) bool { return r.first <= c && c < r.end }) {
			cells = append(cells, c)
		}
	}
	return cells
}

// canary is what must still lie behind the result.
const canary = 0xA5

// prepare makes the op's tensors. Its memory holds NaN.
func (p *problem) prepare() {
	listsAt := SpansWords(p.kvHeads, p.rows, p.cells)
	p.spans.Reset(p.kvHeads, p.rows, listsAt, cmp.Or(p.lists, 1<<30))
	for row, runs := range p.sees {
		for i, r := range runs {
			alone := r.first
			if p.alone != nil {
				alone = p.alone[row][i]
			}
			p.spans.See(alone, r.first, r.end-r.first)
		}
		p.spans.EndRow(row)
	}
	p.words = slices.Concat(p.spans.Words(), make([]int32, listsAt-len(p.spans.Words())), p.spans.Lists())
	threads := ggml.MostThreads()
	l := p.layout(threads, p.set)
	p.dst, p.ran = make([]byte, l.size+256), 0
	for i := range p.dst {
		p.dst[i] = 0xFF
		if i >= int(l.size) {
			p.dst[i] = canary
		}
	}
	at := func(typ ggml.Type, data unsafe.Pointer, ne ...int64) tensor {
		t := tensor{typ: int32(typ), ne: [4]int64{1, 1, 1, 1}, data: data}
		copy(t.ne[:], ne)
		t.nb[0] = uint64(typ.RowSize(typ.BlockSize()))
		t.nb[1] = uint64(typ.RowSize(t.ne[0]))
		t.nb[2] = t.nb[1] * uint64(t.ne[1])
		t.nb[3] = t.nb[2] * uint64(t.ne[2])
		return t
	}
	words := p.words
	p.tensors = [6]tensor{
		at(ggml.F32, unsafe.Pointer(&p.dst[0]), l.size/4),
		at(ggml.F32, unsafe.Pointer(&p.q[0]), int64(p.keyDim), int64(p.heads), int64(p.rows)),
		at(p.typ, unsafe.Pointer(&p.k[0]), int64(p.keyDim), int64(p.cells), int64(p.kvHeads)),
		at(p.typ, unsafe.Pointer(&p.v[0]), int64(p.valueDim), int64(p.cells), int64(p.kvHeads)),
		at(ggml.I32, unsafe.Pointer(&words[0]), int64(len(words))),
	}
	for i := range 4 {
		p.tensors[0].src[i] = &p.tensors[i+1]
	}
	if p.sinks != nil {
		p.tensors[5] = at(ggml.F32, unsafe.Pointer(&p.sinks[0]), int64(p.heads))
		p.tensors[0].src[4] = &p.tensors[5]
	}
	p.tensors[0].params = p.params(l, threads, p.scale)
}

// run computes a prepared op with some threads at the same time.
func (p *problem) run(t testing.TB, set isa.ISA, threads int) (out, lse []float32) {
	t.Helper()
	if p.without(set) {
		set = isa.AVX512
	}
	if set != p.set {
		p.set = set
		p.prepare()
	}
	p.ran = max(p.ran, threads)
	var wg sync.WaitGroup
	for i := range threads {
		wg.Go(func() { call(set, &p.tensors[0], i, threads) })
	}
	wg.Wait()
	for i, b := range p.dst[len(p.dst)-256:] {
		if b != canary {
			t.Fatalf("%v: wrote %d bytes behind its result", p, i+1)
		}
	}
	l := p.layout(ggml.MostThreads(), p.set)
	frames := p.dst[-uintptr(unsafe.Pointer(&p.dst[0]))%64:][l.frames:][:int64(ggml.MostThreads())*l.frameSize]
	for i := min(int64(p.ran)*l.frameSize, int64(len(frames))); i < int64(len(frames)); i++ {
		if frames[i] != 0xFF {
			t.Fatalf("%v: %d threads wrote byte %d of another one's frame", p, p.ran, i%l.frameSize)
		}
	}
	for i, n := range p.words[:rowsAt(p.kvHeads)] {
		if n != 0 && i != spansCells && i != spansRows {
			t.Fatalf("%v: word %d of the spans is %d after the op", p, i, n)
		}
	}
	n := p.valueDim * p.heads * p.rows
	all := unsafe.Slice((*float32)(unsafe.Pointer(&p.dst[0])), n+p.heads*p.rows)
	return slices.Clone(all[:n]), slices.Clone(all[n:])
}

// naive is attention in float64, over keys and values as ggml itself reads them.
func (p *problem) naive() (out, lse []float64) {
	keys := ggml.Dequantize(p.typ, p.k, p.keyDim*p.cells*p.kvHeads)
	values := ggml.Dequantize(p.typ, p.v, p.valueDim*p.cells*p.kvHeads)
	factor := float64(p.scale.Factor)
	for row := range p.rows {
		cells := p.seen(row)
		for h := range p.heads {
			kvHead := h / (p.heads / p.kvHeads)
			q := p.q[(row*p.heads+h)*p.keyDim:][:p.keyDim]
			scores, most := make([]float64, len(cells)), math.Inf(-1)
			for i, c := range cells {
				for d, x := range keys[(kvHead*p.cells+c)*p.keyDim:][:p.keyDim] {
					scores[i] += float64(x) * float64(q[d])
				}
				scores[i] *= factor
				if bound := float64(p.scale.SoftCap); bound != 0 {
					scores[i] = bound * math.Tanh(scores[i]/bound)
				}
				most = max(most, scores[i])
			}
			head, sum := make([]float64, p.valueDim), 0.0
			if p.sinks != nil {
				most = max(most, float64(p.sinks[h]))
				sum = math.Exp(float64(p.sinks[h]) - most)
			}
			for i, c := range cells {
				w := math.Exp(scores[i] - most)
				sum += w
				for d, x := range values[(kvHead*p.cells+c)*p.valueDim:][:p.valueDim] {
					head[d] += w * float64(x)
				}
			}
			for d := range head {
				if sum > 0 {
					head[d] /= sum
				}
			}
			out, lse = append(out, head...), append(lse, most+math.Log(sum))
		}
	}
	return out, lse
}

// distance returns the largest difference in units of the largest number wanted, or of 1e-3 if that
// is larger. NaN is infinitely far.
func distance(got []float32, want []float64) float64 {
	worst, scale := 0.0, 1e-3
	for i, w := range want {
		g := float64(got[i])
		if math.IsInf(w, -1) || math.IsNaN(w) { // no cell: log 0
			if !math.IsInf(g, -1) {
				return math.Inf(1)
			}
			continue
		}
		if d := math.Abs(g - w); d <= worst {
			continue
		} else if worst = d; math.IsNaN(d) {
			return math.Inf(1)
		}
		scale = max(scale, math.Abs(w))
	}
	for _, w := range want {
		if !math.IsInf(w, 0) && !math.IsNaN(w) {
			scale = max(scale, math.Abs(w))
		}
	}
	return worst / scale
}

// sameBits reports the first number that differs.
func sameBits(got, want []float32) error {
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			return fmt.Errorf("number %d of %d is %g, want %g", i, len(want), got[i], want[i])
		}
	}
	return nil
}
