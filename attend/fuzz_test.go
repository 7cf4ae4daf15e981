package attend

import (
	"testing"

	"github.com/seed4d217819/ebb/isa"
)

// Any shape, and any way to see cells: every kernel gives what the one in Go gives.
func FuzzKernel(f *testing.F) {
	f.Add(uint16(0), byte(3), byte(2), byte(1), byte(0), uint16(100), byte(1))
	f.Add(uint16(7), byte(4), byte(3), byte(2), byte(17), uint16(300), byte(3))
	f.Add(uint16(9), byte(15), byte(8), byte(0), byte(2), uint16(1), byte(5))
	f.Add(uint16(11), byte(4), byte(3), byte(1), byte(4), uint16(500), byte(129))
	f.Add(uint16(12), byte(2), byte(5), byte(2), byte(20), uint16(300), byte(131))
	f.Fuzz(func(t *testing.T, seed uint16, dim, group, kvHeads, rows byte, cells uint16, how byte) {
		typ := kernelTypes[int(seed)%len(kernelTypes)]
		step := max(16, int(typ.BlockSize()))
		p := &problem{typ: typ, scale: Scores{Factor: 0.1, SoftCap: float32(seed % 3 * 10)}, shape: shape{
			keyDim: (int(dim)%16 + 1) * step, valueDim: (int(dim)/16%4 + 1) * step,
			kvHeads: int(kvHeads)%4 + 1, rows: int(rows)%40 + 1, cells: int(cells)%700 + 1,
		}}
		p.heads = p.kvHeads * (int(group)%10 + 1)
		rng := seeded(int(seed), int(cells))
		p.fill(t, rng)
		p.look(int(how)%waysToSee, rng)
		if how >= 128 { // as if each row's cells lay together
			for _, runs := range p.sees {
				place, alone := 0, []int(nil)
				for _, r := range runs {
					alone = append(alone, place)
					place += r.end - r.first
				}
				p.alone = append(p.alone, alone)
			}
		}
		if how%2 == 1 {
			p.sinks = normal(rng, p.heads, 10)
		}
		p.prepare()
		out, lse := p.run(t, isa.Go, 1)
		want := func(s []float32) (w []float64) {
			for _, x := range s {
				w = append(w, float64(x))
			}
			return w
		}
		for _, set := range kernelISAs() {
			p.prepare()
			got, gotLSE := p.run(t, set, 2)
			if d := max(distance(got, want(out)), distance(gotLSE, want(lse))); d > 2*softTolerance { // scores are larger than in the tests
				t.Errorf("%v: %v: differs by %g", set, p, d)
			}
		}
	})
}
