package product

import (
	"math"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// exact is the product of the numbers that activations hold and the weights as stored, in float64,
// and for each result the sum of the sizes of its terms.
func exact(w *matrix, a *Activations) (y, sizes []float64) {
	weights := ggml.Dequantize(w.typ, w.file, w.in*w.out)
	x := make([]float64, w.in)
	for token := range int(a.tokens) {
		s := tokenOf(a, token)
		for i, q := range s.q {
			x[i] = float64(q) * float64(s.d[i/blockValues])
		}
		for r := range w.out {
			sum, size := 0.0, 0.0
			for i, v := range weights[r*w.in:][:w.in] {
				sum += x[i] * float64(v)
				size += math.Abs(x[i] * float64(v))
			}
			y, sizes = append(y, sum), append(sizes, size)
		}
	}
	return y, sizes
}

// inputs are kinds of values of tokens.
var inputs = []struct {
	name string
	fill func(i int, gauss float64) float64
}{
	{"Gaussian", func(_ int, gauss float64) float64 { return gauss }},
	{"outliers", func(i int, gauss float64) float64 {
		if i%97 == 0 {
			return 12 * gauss
		}
		return gauss
	}},
	{"zeros", func(int, float64) float64 { return 0 }},
	{"denormals", func(_ int, gauss float64) float64 { return gauss * 0x1p-130 }},
	{"tiny", func(_ int, gauss float64) float64 { return gauss * 0x1p-101 }}, // about where blocks become zeros
	{"large", func(_ int, gauss float64) float64 { return gauss * 1e30 }},
	{"blocks of zeros", func(i int, gauss float64) float64 { return gauss * float64(i/blockValues%2) }},
	{"tails", func(_ int, gauss float64) float64 { return math.Exp(3 * gauss) }},
}

// input returns values of one kind.
func input(kind, n int, seed ...int) []float32 {
	x := normal(seeded(append(seed, kind)...), n)
	for i, v := range x {
		x[i] = float32(inputs[kind].fill(i, float64(v)))
	}
	return x
}

// The result of every instruction set is that of float64 arithmetic on the weights as stored and on
// the quantised activations, but for the rounding of float32: two or four additions each 32 values.
func TestProductsEqualFloat64(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 1)
		for _, typ := range types {
			in := max(3*int(formats[typ].values), 2*256)
			w := newMatrix(t, seeded(int(typ)), typ, in, 32)
			for kind := range inputs {
				for _, tokens := range []int{1, 3, 16} {
					r.reset()
					m := r.machine(set, 1)
					a := m.quantise(input(kind, in*tokens, int(typ), tokens), in)
					y := m.product(w, a, nil)
					want, sizes := exact(w, a)
					for i := range want {
						// Offsets and minimums are terms too, which the sizes of the weights do not show.
						terms := float64(4 * in / blockValues)
						if diff := math.Abs(float64(y[i]) - want[i]); !(diff <= terms*0x1p-24*20*sizes[i]+0x1p-148*terms) {
							t.Fatalf("%v, %s, %d tokens: result %d is %g, want %g (terms of %g)", w, inputs[kind].name, tokens, i, y[i], want[i], sizes[i])
						}
					}
				}
			}
		}
	})
}

// shapesOf are the shapes of matrices that tests go through.
func shapesOf(typ ggml.Type) (shapes [][2]int) {
	unit := int(formats[typ].values)
	for _, in := range []int{unit, 3 * unit, 2048} {
		for _, out := range []int{32, 96, 576} {
			if in*out <= 800*600 || testAll || in == 2048 && out == 96 {
				shapes = append(shapes, [2]int{in, out})
			}
		}
	}
	return append(shapes, [2]int{2048 + 256, 64}) // more values than a part
}

// Every instruction set gives the bits of the operations in Go, whatever the shape, the number of
// tokens and the values.
func TestInstructionSetsGiveTheSameBits(t *testing.T) {
	if len(vectorISAs()) == 0 {
		t.Skip("cpu: no machine code here")
	}
	r := newRig(t, 1)
	const most = 66
	counts := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 33, 64, most}
	for _, typ := range types {
		t.Run(typ.String(), func(t *testing.T) {
			for i, shape := range shapesOf(typ) {
				in, out := shape[0], shape[1]
				w := newMatrix(t, seeded(int(typ), in, out), typ, in, out)
				x := input(i%len(inputs), in*most, int(typ))
				want := r.machine(isa.Go, 2).of(w, x)
				for _, set := range vectorISAs() {
					r.reset()
					m := r.machine(set, 2)
					for _, n := range counts {
						if !testAll && in*out > 50_000 && n%4 > 1 && n != 6 {
							continue
						}
						if err := sameBits(m.of(w, x[:in*n]), want[:out*n], out); err != nil {
							t.Fatalf("%v: %v, %s, %d tokens: %v", set, w, inputs[i%len(inputs)].name, n, err)
						}
					}
				}
			}
		})
	}
}

// A result depends on the weights' row and the token alone: on no other token and none of their
// number, not on the place among them, on the number of threads or on where the memory lies.
func TestResultDependsOnTheTokenAlone(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 1)
		for _, typ := range types {
			in, out := 256*3, 64
			rng := seeded(int(typ), 5)
			w := newMatrix(t, rng, typ, in, out)
			token := input(1, in, int(typ))
			want := r.machine(set, 1).of(w, token)
			others := []int{1, 4, 15, 17, 50}
			if testAll {
				others = append(others, 512)
			}
			for n, count := range others {
				for _, place := range []int{0, count / 2, count} {
					r.reset()
					x := input(7, in*(count+1), n)
					if n%2 == 1 {
						x[0] = float32(math.NaN())
					}
					copy(x[in*place:], token)
					m := r.machine(set, (n+place)%5+1)
					if err := sameBits(m.of(w, x)[out*place:][:out], want, out); err != nil {
						t.Errorf("%v: token %d among %d, %d threads: %v", w, place, count, m.threads, err)
					}
				}
			}
		}
	})
}

// Threads that have no frame leave the work to the others.
func TestMoreThreadsThanFrames(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 1)
		w := newMatrix(t, seeded(1), ggml.Q4_K, 256, 64)
		x := input(0, 256*20)
		want := r.machine(set, 1).of(w, x)
		if err := sameBits(r.machine(set, ggml.MostThreads()+3).of(w, x), want, w.out); err != nil {
			t.Error(err)
		}
	})
}

// A prompt of more tokens than one pass.
func TestManyTokens(t *testing.T) {
	r := newRig(t, 1)
	for i, typ := range types {
		if !testAll && i%4 != 0 {
			continue
		}
		r.reset()
		w := newMatrix(t, seeded(int(typ)), typ, 256, 64)
		x := input(0, 256*513)
		want := r.machine(isa.Go, 2).of(w, x)
		for _, set := range vectorISAs() {
			for _, threads := range []int{1, 2, 5} { // with 5: a panel's tokens are divided
				if err := sameBits(r.machine(set, threads).of(w, x), want, w.out); err != nil {
					t.Errorf("%v: %v, %d threads: %v", set, w, threads, err)
				}
			}
		}
	}
}

// Activations that the second cache cannot hold, and as many panels to an item as there can be. The
// last tokens are what they are alone.
func TestLargeActivations(t *testing.T) {
	r := newRig(t, 1)
	const in, out, tokens, last = 4352, 17 * Rows, 17*tileTokens - 15, 3
	w := newMatrix(t, seeded(3), ggml.Q5_0, in, out)
	x, residual := input(1, in*tokens), normal(seeded(4), out)
	m := r.machine(isa.Go, 2)
	want := m.product(w, m.quantise(x[in*(tokens-last):], in), residual)
	for _, set := range vectorISAs() {
		for _, threads := range []int{1, 3} {
			m := r.machine(set, threads)
			got := m.product(w, m.quantise(x, in), residual)
			if err := sameBits(got[out*(tokens-last):], want, out); err != nil {
				t.Errorf("%v, %d threads: %v", set, threads, err)
			}
		}
	}
}
