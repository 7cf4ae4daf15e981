package attend

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// Results over disjoint cells, joined in any order, are the result over all. With sinks one of them
// has these, whichever.
func TestMergedPartsEqualTheWhole(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		for how := range waysToSee {
			rng := seeded(how, 4)
			p := &problem{shape: shape{64, 64, 4, 2, 3, 500}, typ: ggml.F16, scale: Scores{Factor: 0.125}}
			p.fill(t, rng)
			p.look(how, rng)
			sinks, with := normal(rng, p.heads, 4), rng.IntN(4) // 3: no sinks
			if with < 3 {
				p.sinks = sinks
			}
			wantOut, wantLSE := p.naive()
			whole := p.sees
			var out, lse []float32
			cuts := []int{0, rng.IntN(500), rng.IntN(500), 500}
			slices.Sort(cuts)
			for _, i := range rng.Perm(3) { // the parts in any order
				p.sees = cut(whole, cuts[i], cuts[i+1])
				if p.sinks = nil; i == with {
					p.sinks = sinks
				}
				p.prepare()
				partOut, partLSE := p.run(t, set, 1)
				if out == nil {
					out, lse = partOut, partLSE
					continue
				}
				Merge(out, lse, partOut, partLSE)
			}
			if d := max(distance(out, wantOut), distance(lse, wantLSE)); d > tolerance {
				t.Errorf("way %d: differs by %g, want at most %g", how, d, tolerance)
			}
		}
	})
}

// cut returns what of the runs lies in [from, to).
func cut(sees [][]run, from, to int) [][]run {
	some := make([][]run, len(sees))
	for row, runs := range sees {
		for _, r := range runs {
			some[row] = append(some[row], run{max(r.first, from), max(min(r.end, to), from)})
		}
	}
	return some
}

func TestMergeWithNothing(t *testing.T) {
	none, value := float32(math.Inf(-1)), []float32{1, 2}
	for _, tt := range []struct {
		name      string
		lse, with float32
		out, add  []float32
		want      []float32
		wantLSE   float32
	}{
		{"what has no cells", 0.5, none, value, []float32{9, 9}, value, 0.5},
		{"into no cells", none, 0.5, []float32{9, 9}, value, value, 0.5},
		{"into no cells with NaN", none, 0.5, []float32{float32(math.NaN()), 0}, value, value, 0.5},
		{"none with none", none, none, []float32{0, 0}, value, []float32{0, 0}, none},
		{"equal weights", 0, 0, []float32{1, 2}, []float32{3, 6}, []float32{2, 4}, math.Ln2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, lse := slices.Clone(tt.out), []float32{tt.lse}
			Merge(out, lse, tt.add, []float32{tt.with})
			if !slices.Equal(out, tt.want) || lse[0] != tt.wantLSE {
				t.Errorf("got %v, %g; want %v, %g", out, lse[0], tt.want, tt.wantLSE)
			}
		})
	}
}

func TestMergeOfUnequalResultsPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Merge(make([]float32, 4), make([]float32, 2), make([]float32, 4), make([]float32, 1))
}

// A GPU attends over some cells of two heads, and the CPU over the others.
func ExampleMerge() {
	out, lse := []float32{1, 5}, []float32{0, 2}
	Merge(out, lse, []float32{3, 7}, []float32{0, float32(math.Inf(-1))})
	fmt.Println(out, lse)
	// Output: [2 5] [0.6931472 2]
}
