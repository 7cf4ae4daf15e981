package attend

import (
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// Tokens that are computed by columns of vectors have the bits that each has alone, by groups: heads
// whose keys and values differ in size, sizes with and without functions of their own, columns that are
// not full, passes that are not, tiles of any length, and every way to see cells.
//
// The reference in Go computes every token by itself.
func TestManyTokensHaveTheBitsOfOne(t *testing.T) {
	each(t, func(t *testing.T, set isa.ISA) {
		for n, c := range []struct {
			typ               ggml.Type
			keyDim, valueDim  int
			group, rows, cell int
		}{
			{ggml.F16, 64, 64, 3, 70, 300},
			{ggml.F16, 128, 128, 4, 40, 290},
			{ggml.F32, 64, 64, 1, 33, 100},
			{ggml.F32, 16, 16, 1, 65, 77},
			{ggml.F16, 80, 48, 5, 11, 270},
			{ggml.BF16, 192, 128, 2, 19, 60},
			{ggml.F16, 48, 176, 17, 1, 45},
			{ggml.Q8_0, 32, 32, 16, 1, 600},
			{ggml.Q8_0, 128, 64, 1, 129, 140},
			{ggml.Q4_0, 96, 96, 8, 18, 50},
			{ggml.BF16, 576, 512, 16, 2, 40},
			{ggml.Q4_0, 64, 64, 71, 1, 35},
		} {
			for how := range waysToSee {
				rng := seeded(n, how)
				p := &problem{shape: shape{c.keyDim, c.valueDim, 2 * c.group, 2, c.rows, c.cell}, typ: c.typ, scale: Scores{Factor: 0.125}}
				if (n+how)%3 == 0 {
					p.scale.SoftCap = 5
				}
				p.fill(t, rng)
				p.look(how, rng)
				p.prepare()
				out, lse := p.run(t, set, 1+n%2)
				for _, row := range []int{0, c.rows / 2, c.rows - 1} {
					// One head of one token is a group of one vector.
					for h := range min(p.heads, 6) {
						one := p.head(row, h)
						one.prepare()
						want, wantLSE := one.run(t, set, 1)
						if err := sameBits(out[(row*p.heads+h)*c.valueDim:][:c.valueDim], want); err != nil {
							t.Fatalf("%v: way %d: row %d, head %d: %v", p, how, row, h, err)
						}
						if err := sameBits(lse[row*p.heads+h:][:1], wantLSE); err != nil {
							t.Fatalf("%v: way %d: row %d, head %d: log-sum-exp: %v", p, how, row, h, err)
						}
					}
				}
			}
		}
	}, isa.AVX2, isa.AVX512)
}

// head returns the problem of one head of a row.
func (p *problem) head(row, h int) *problem {
	one := *p
	one.spans = Spans{}
	kvHead := h / (p.heads / p.kvHeads)
	one.heads, one.kvHeads, one.rows = 1, 1, 1
	one.q = p.q[(row*p.heads+h)*p.keyDim:][:p.keyDim]
	one.k = p.k[len(p.k)/p.kvHeads*kvHead:][:len(p.k)/p.kvHeads]
	one.v = p.v[len(p.v)/p.kvHeads*kvHead:][:len(p.v)/p.kvHeads]
	one.sees = p.sees[row : row+1]
	return &one
}

// Passes are long where threads have enough of them, and have whole columns.
func TestPassesAreLongAndEnough(t *testing.T) {
	for _, c := range []struct {
		shape
		threads, want int
	}{
		{shape{64, 64, 9, 3, 16, 8192}, 1, passRows},
		{shape{64, 64, 9, 3, 17, 8192}, 1, 16},
		{shape{64, 64, 9, 3, 64, 8192}, 1, 32},
		{shape{64, 64, 9, 3, 512, 8192}, 1, 64},
		{shape{64, 64, 9, 3, 64, 8192}, 2, 16},
		{shape{64, 64, 9, 3, 512, 8192}, 16, 16},
		{shape{128, 128, 32, 8, 512, 2048}, 1, 32},
		{shape{64, 64, 32, 32, 512, 2048}, 16, 64},
		{shape{64, 64, 8, 1, 64, 2048}, 16, 4},
		{shape{512, 512, 32, 4, 512, 2048}, 1, 16},
		{shape{64, 64, 71, 1, 512, 2048}, 1, 16},
	} {
		if got := c.pass(c.threads, isa.AVX512); got != c.want {
			t.Errorf("%d rows of %d heads of %d, %d of K and V, on %d threads: passes of %d rows, want %d", c.rows, c.heads, c.keyDim, c.kvHeads, c.threads, got, c.want)
		}
	}
	for rows := passRows + 1; rows < 600; rows++ {
		for _, group := range []int{1, 2, 3, 4, 6, 7, 8, 16, 71} {
			s := shape{64, 64, 2 * group, 2, rows, 1}
			if n := s.pass(2, isa.AVX2); n != passRows {
				t.Errorf("%d rows, groups of %d, without columns: passes of %d rows, want %d", rows, group, n, passRows)
			}
			if n := s.pass(2, isa.AVX512); n < 1 || n >= rows || n > mostPassRows || n*group%column != 0 {
				t.Errorf("%d rows, groups of %d: passes of %d rows", rows, group, n)
			}
		}
	}
}
