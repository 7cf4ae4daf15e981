package product

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// plainISAs are the instruction sets of this processor that Plain has code for.
func plainISAs() []isa.ISA {
	return slices.DeleteFunc(isa.All(), func(set isa.ISA) bool {
		return set > isa.AVX512 || set != isa.Go && plainOp(set) == plainOp(isa.Go)
	})
}

// plainWeights returns rows of a type, and the numbers that they hold.
func plainWeights(t testing.TB, typ ggml.Type, in, out int) (rows []byte, numbers []float32) {
	t.Helper()
	rows, err := ggml.Quantize(typ, normal(seeded(in, out, int(typ)), in*out), int64(in))
	if err != nil {
		t.Fatal(err)
	}
	return rows, ggml.Dequantize(typ, rows, in*out)
}

func TestPlainHasTheSameBitsForAnyTokensThreadsAndInstructionSet(t *testing.T) {
	for _, threads := range []int{1, 3} {
		r := newRig(t, threads)
		for _, typ := range plainTypes {
			for _, shape := range [][2]int{{16, 1}, {48, 5}, {576, 9}, {256, 34}} {
				in, out := shape[0], shape[1]
				rows, numbers := plainWeights(t, typ, in, out)
				const most = 20
				x := normal(seeded(in, threads), in*most)
				x[in-1], x[in*7+3] = float32(math.Inf(1)), float32(math.NaN())
				want := make([]float32, out*most)
				for i := range want {
					want[i] = plainSum(numbers[i%out*in:][:in], x[i/out*in:][:in])
				}
				w := r.tensor(typ, rows, int64(in), int64(out))
				for _, set := range plainISAs() {
					for _, tokens := range []int{1, 2, 3, 4, 5, 6, 13} {
						if set == isa.Go && tokens > 7 {
							continue // which is slow, and all alike
						}
						for _, first := range []int{0, most - tokens} {
							what := fmt.Sprintf("%v, %v %d x %d, %d tokens from %d, %d threads", set, typ, in, out, tokens, first, threads)
							a := r.floats(x[first*in:][:tokens*in], int64(in), int64(tokens))
							got := r.numbers(func(g *ggml.Graph) []*ggml.Tensor {
								return []*ggml.Tensor{Products{set}.Plain(g, w, a)}
							})[0]
							if i := differ(got, want[first*out:][:tokens*out]); i >= 0 {
								t.Fatalf("%s: result %d is %v; want %v", what, i, got[i], want[first*out+i])
							}
						}
					}
				}
			}
		}
	}
}

// differ returns the first place where a and b have other bits, or -1. All NaN are alike.
func differ(a, b []float32) int {
	for i := range b {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && !(a[i] != a[i] && b[i] != b[i]) {
			return i
		}
	}
	return -1
}

func TestPlainIsAsExactAsItsSums(t *testing.T) {
	const in, out = 2048, 8
	for _, typ := range plainTypes {
		_, w := plainWeights(t, typ, in, out)
		x := normal(seeded(3), in)
		for r := range out {
			sum, size := 0.0, 0.0
			for i, v := range w[r*in:][:in] {
				sum += float64(v) * float64(x[i])
				size += math.Abs(float64(v) * float64(x[i]))
			}
			if got := float64(plainSum(w[r*in:][:in], x)); math.Abs(got-sum) > 1e-6*size {
				t.Errorf("%v: %v; want %v", typ, got, sum)
			}
		}
	}
}

func TestPlainTakesTokensWithGapsBetweenThem(t *testing.T) {
	r := newRig(t, 2)
	rows, numbers := plainWeights(t, ggml.BF16, 32, 5)
	x := normal(seeded(6), 48*7)
	w, a := r.tensor(ggml.BF16, rows, 32, 5), r.floats(x, 48, 7)
	for _, set := range plainISAs() {
		got := r.numbers(func(g *ggml.Graph) []*ggml.Tensor {
			return []*ggml.Tensor{Products{set}.Plain(g, w, g.View2D(a, 32, 7, 48*4, 16*4))}
		})[0]
		for i, v := range got {
			if want := plainSum(numbers[i%5*32:][:32], x[i/5*48+16:][:32]); v != want {
				t.Errorf("%v: result %d is %v; want %v", set, i, v, want)
			}
		}
	}
}

// Tokens of several dimensions are tokens one behind the other.
func TestPlainTakesTokensOfSeveralDimensions(t *testing.T) {
	r := newRig(t, 2)
	rows, numbers := plainWeights(t, ggml.F32, 32, 5)
	x := normal(seeded(5), 32*6)
	w, a := r.tensor(ggml.F32, rows, 32, 5), r.floats(x, 32, 2, 3)
	for _, set := range plainISAs() {
		var y *ggml.Tensor
		got := r.numbers(func(g *ggml.Graph) []*ggml.Tensor {
			y = Products{set}.Plain(g, w, a)
			return []*ggml.Tensor{y}
		})[0]
		if y.Shape() != [4]int64{5, 2, 3, 1} {
			t.Errorf("%v: result %v", set, y)
		}
		for i, v := range got {
			if want := plainSum(numbers[i%5*32:][:32], x[i/5*32:][:32]); v != want {
				t.Errorf("%v: result %d is %v; want %v", set, i, v, want)
			}
		}
	}
}

func TestPlainRefusesWhatDoesNotFit(t *testing.T) {
	r := newRig(t, 1)
	p := Products{isa.Go}
	zeros := func(typ ggml.Type, ne ...int64) *ggml.Tensor {
		n := typ.RowSize(ne[0])
		for _, d := range ne[1:] {
			n *= d
		}
		return r.tensor(typ, make([]byte, n), ne...)
	}
	g := r.backend.NewGraph(8)
	defer g.Close()
	for name, f := range map[string]func(){
		"another row length": func() { p.Plain(g, zeros(ggml.F32, 32, 4), zeros(ggml.F32, 16, 2)) },
		"half a vector":      func() { p.Plain(g, zeros(ggml.F32, 24, 4), zeros(ggml.F32, 24, 2)) },
		"quantised weights":  func() { p.Plain(g, zeros(ggml.Q8_0, 32, 4), zeros(ggml.F32, 32, 2)) },
		"f16 activations":    func() { p.Plain(g, zeros(ggml.F32, 32, 4), zeros(ggml.F16, 32, 2)) },
		"several matrices":   func() { p.Plain(g, zeros(ggml.F32, 32, 4, 2), zeros(ggml.F32, 32, 2, 2)) },
		"gaps between tokens of two dimensions": func() {
			p.Plain(g, zeros(ggml.F32, 32, 4), g.View3D(zeros(ggml.F32, 64, 4), 32, 2, 2, 256, 512, 0))
		},
		"no kernels": func() { Products{}.Plain(g, zeros(ggml.F32, 32, 4), zeros(ggml.F32, 32, 2)) },
		"no weights": func() { p.Plain(g, nil, zeros(ggml.F32, 32, 2)) },
	} {
		func() {
			defer func() {
				if _, ok := recover().(*ggml.ShapeError); !ok {
					t.Errorf("%s: want a panic with a *ggml.ShapeError", name)
				}
			}()
			f()
		}()
	}
}

// BenchmarkPlain compares Plain with ggml's product, which differs between one token and several.
func BenchmarkPlain(b *testing.B) {
	r := newRig(b, 2)
	for _, typ := range plainTypes {
		for _, shape := range [][2]int{{2048, 2048}, {2048, 64}} {
			in, out := shape[0], shape[1]
			rows, _ := plainWeights(b, typ, in, out)
			w := r.tensor(typ, rows, int64(in), int64(out))
			for _, tokens := range []int{1, 2, 4, 8, 64, 512} {
				x := r.floats(normal(seeded(2), in*tokens), int64(in), int64(tokens))
				for _, how := range []string{"ggml", "ebb"} {
					b.Run(fmt.Sprintf("%v/%dx%d/%d tokens/%s", typ, in, out, tokens, how), func(b *testing.B) {
						const often = 8
						g, _ := r.graph(func(g *ggml.Graph) (all []*ggml.Tensor) {
							for range often {
								if how == "ggml" {
									all = append(all, g.MulMat(w, x))
								} else {
									all = append(all, Products{isa.Best.Resolved()}.Plain(g, w, x))
								}
							}
							return all
						})
						for b.Loop() {
							if err := r.backend.Compute(g); err != nil {
								b.Fatal(err)
							}
						}
						each := float64(b.Elapsed().Seconds()) / float64(b.N) / often
						b.ReportMetric(2e-9*float64(in*out*tokens)/each, "GFLOP/s")
						b.ReportMetric(1e-9*float64(typ.RowSize(int64(in))*int64(out))/each, "GB/s")
					})
				}
			}
		}
	}
}
