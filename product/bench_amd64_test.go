//go:build amd64 && !windows

package product

import (
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// benchBytes is how many weights a benchmark of few tokens goes through in turn: more than the
// caches of most processors hold.
const benchBytes = 256 << 20

// benchShapes are [in, out] of matrices.
var benchShapes = [][2]int{{2048, 2048}, {576, 1536}}

// BenchmarkFew compares products of up to 16 tokens with weights in memory: those of each instruction
// set, ggml's, and a loop that only reads the weights on the same threads. Each iteration computes
// a matrix in every way, so that what disturbs the machine falls on all alike, and each way another
// matrix, so that none finds in a cache what one before it has read. The shortest time of each
// matrix counts.
func BenchmarkFew(b *testing.B) {
	for _, s := range benchShapes {
		for _, typ := range types {
			if s[0]%int(typ.BlockSize()) != 0 {
				continue
			}
			for _, tokens := range []int{1, 2, 4, 5, 8, 16} {
				b.Run(fmt.Sprintf("%dx%d/%v/%d", s[0], s[1], typ, tokens), func(b *testing.B) {
					size := int(typ.RowSize(int64(s[0]))) * s[1]
					compare(b, typ, s[0], s[1], tokens, benchBytes/size, func(seconds float64) (float64, string) {
						return float64(size) / seconds / 1e9, "GB/s"
					})
				})
			}
		}
	}
}

// BenchmarkMany is the same for more tokens, with one matrix, in 10^9 products and sums a second.
func BenchmarkMany(b *testing.B) {
	for _, s := range benchShapes {
		for _, typ := range types {
			if s[0]%int(typ.BlockSize()) != 0 {
				continue
			}
			for _, tokens := range []int{5, 8, 16, 64, 512} {
				b.Run(fmt.Sprintf("%dx%d/%v/%d", s[0], s[1], typ, tokens), func(b *testing.B) {
					compare(b, typ, s[0], s[1], tokens, 1, func(seconds float64) (float64, string) {
						return 2 * float64(s[0]*s[1]*tokens) / seconds / 1e9, "GOP/s"
					})
				})
			}
		}
	}
}

// arm is a way to multiply, as a graph for each matrix.
type arm struct {
	name   string
	graphs []*ggml.Graph
	best   []time.Duration // by matrix
}

// compare times all arms over some matrices.
func compare(b *testing.B, typ ggml.Type, in, out, tokens, matrices int, speed func(seconds float64) (float64, string)) {
	r := newRig(b, runtime.GOMAXPROCS(0)) // -cpu says how many
	m := newMatrix(b, seeded(int(typ)), typ, in, out)
	x := r.floats(normal(seeded(1), in*tokens), int64(in), int64(tokens))
	arms := []*arm{{name: "ggml"}}
	if matrices > 1 {
		arms = append(arms, &arm{name: "read"})
	}
	for _, set := range vectorISAs() {
		arms = append(arms, &arm{name: set.String()})
	}
	for range matrices {
		w := r.weights(m)
		for _, a := range arms {
			g := r.backend.NewGraph(8)
			b.Cleanup(g.Close)
			switch a.name {
			case "ggml": // the bytes of panels are weights too
				g.Expand(g.MulMat(w, x))
			case "read":
				g.Expand(g.Custom(ggml.F32, [4]int64{1, 1, 1, 1}, readAddress(), ggml.CustomParams{}, w))
			default:
				set, err := isa.Parse(a.name)
				if err != nil {
					b.Fatal(err)
				}
				p := On(r.device, set)
				g.Expand(p.Product(g, w, p.Quantise(g, x), nil))
			}
			scratch := r.backend.NewScratch() // its own, as growing one would drop the graphs before
			b.Cleanup(scratch.Close)
			if _, err := scratch.Alloc(g); err != nil {
				b.Fatal(err)
			}
			a.graphs, a.best = append(a.graphs, g), append(a.best, math.MaxInt64)
		}
	}
	for n := 0; b.Loop(); n++ {
		for i, a := range arms {
			j := (n + i*matrices/len(arms)) % matrices
			start := time.Now()
			if err := r.backend.Compute(a.graphs[j]); err != nil {
				b.Fatal(err)
			}
			a.best[j] = min(a.best[j], time.Since(start))
		}
	}
	for _, a := range arms {
		var sum time.Duration
		done := 0
		for _, t := range a.best {
			if t < math.MaxInt64 {
				sum += t
				done++
			}
		}
		n, unit := speed(sum.Seconds() / float64(done))
		b.ReportMetric(n, a.name+"-"+unit)
	}
	b.ReportMetric(0, "ns/op") // of all arms together
}
