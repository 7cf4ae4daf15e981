package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/isa"
)

func TestProductsOfEveryTypeAreComparedWithTheirBounds(t *testing.T) {
	all := isa.All()
	best := all[len(all)-1]
	o := small(t, "products")
	o.smallFamilies, o.Model, o.ISAs = true, "", []isa.ISA{best}
	r := run(t, o)
	if best == isa.Go {
		t.Skip("cpu: no instruction set with kernels here")
	}
	for _, typ := range productTypes() {
		for _, n := range productSizes() {
			bound, arms := "multiplying bytes", 2
			if n <= readTokens {
				bound, arms = "reading the weights", 3
			}
			name := fmt.Sprintf("%v, %d tokens, 1 threads: ", typ, n)
			figures := 0
			for _, f := range r.Figures {
				if strings.HasPrefix(f.Name, name) && f.Value > 0 {
					figures++
				}
			}
			if figures != arms {
				t.Errorf("%s%d figures, want one of each of %d arms", name, figures, arms)
			}
			for _, by := range []string{bound, "ggml"} {
				score := fmt.Sprintf("%v: ebb, %v / %s", typ, best, by)
				if !slices.ContainsFunc(r.Scores, func(s measure.Score) bool { return s.Tokens == n && s.Name == score && s.Value > 0 }) {
					t.Errorf("there is no score %q with %d tokens", score, n)
				}
			}
		}
	}
}

func TestProductsWithoutKernelsAreANote(t *testing.T) {
	for _, o := range []measure.Options{{GPULayers: 1}, {ISAs: []isa.ISA{isa.GGML}}} {
		res, err := (&Options{}).products(t.Context(), o, measure.Model{})
		if err != nil || len(res.Notes) != 1 || len(res.Figures)+len(res.Scores) != 0 {
			t.Errorf("%+v, error %v: want a note alone", res, err)
		}
	}
}
