package attend

import (
	"math"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// requireTiles skips a test where there are no tiles.
func requireTiles(t testing.TB) {
	t.Helper()
	if !slices.Contains(kernelISAs(), isa.AMX) {
		t.Skip("cpu: no AMX here")
	}
}

// With tiles, a token's bits are the same with any number of other tokens, if these are more than a
// pass, on any number of threads, and in a larger region.
func TestTilesGiveTheSameBitsAmongAnyTokens(t *testing.T) {
	requireTiles(t)
	for _, typ := range kernelTypes {
		for how := range waysToSee {
			rng := seeded(int(typ), how, 5)
			const rows, cells = 70, 700
			p := &problem{shape: shape{64, 96, 6, 2, rows, cells}, typ: typ, scale: Scores{Factor: 0.125}}
			p.fill(t, rng)
			p.look(how, rng)
			if how%2 == 0 {
				p.sinks = normal(rng, p.heads, 4)
			}
			if how%3 == 0 {
				p.scale.SoftCap = 5
			}
			p.prepare()
			out, lse := p.run(t, isa.AMX, 1)
			for _, n := range []int{passRows + 1, 33, 64, rows} {
				some := p.some(t, rows-n, n, cells+300)
				some.prepare()
				got, gotLSE := some.run(t, isa.AMX, 3)
				if err := sameBits(got, out[(rows-n)*6*96:]); err != nil {
					t.Errorf("%v: %d rows, 3 threads: %v", p, n, err)
				}
				if err := sameBits(gotLSE, lse[(rows-n)*6:]); err != nil {
					t.Errorf("%v: %d rows, 3 threads: log-sum-exp: %v", p, n, err)
				}
			}
		}
	}
}

// Cells whose keys or values are not finite show in the tokens that see them as without tiles, and
// change no bit of the others.
func TestTilesOfNumbersThatAreNotFinite(t *testing.T) {
	requireTiles(t)
	const rows, cells, dim, heads = 40, 90, 64, 3
	for _, typ := range []ggml.Type{ggml.F32, ggml.F16, ggml.BF16} {
		for n, wild := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			for _, inKeys := range []bool{true, false} {
				p := &problem{shape: shape{dim, dim, heads, 1, rows, cells}, typ: typ, scale: Scores{Factor: 0.125}}
				rng := seeded(int(typ), n)
				p.fill(t, rng)
				p.look(seeCausal, rng)
				p.prepare()
				finite, finiteLSE := p.run(t, isa.AMX, 1)
				first := cells - rows/2 // the cell, which half of the rows see
				bad := p.some(t, 0, rows, cells)
				row := ggml.Dequantize(typ, p.k, dim*cells)[first*dim:][:dim]
				to := bad.k
				if !inKeys {
					row, to = ggml.Dequantize(typ, p.v, dim*cells)[first*dim:][:dim], bad.v
				}
				row[7], row[40] = wild, -wild
				b := quantize(t, typ, row, dim)
				copy(to[first*len(b):], b)
				bad.prepare()
				got, gotLSE := bad.run(t, isa.AMX, 2)
				want, _ := bad.run(t, isa.AVX512, 1)
				sees := func(row int) bool { return cells-rows+row >= first }
				for i := range got {
					switch x, w := float64(got[i]), float64(want[i]); {
					case !sees(i / (heads * dim)):
						if math.Float32bits(got[i]) != math.Float32bits(finite[i]) {
							t.Fatalf("%v, %g, keys %v: number %d is %g, and %g where the cell is finite", typ, wild, inKeys, i, x, finite[i])
						}
					case math.IsNaN(w) != math.IsNaN(x) || math.IsInf(w, 0) && x != w || !math.IsInf(w, 0) && math.Abs(x-w) > 1e-5:
						t.Fatalf("%v, %g, keys %v: number %d is %g, want %g", typ, wild, inKeys, i, x, w)
					}
				}
				for i := range gotLSE {
					if !sees(i/heads) && gotLSE[i] != finiteLSE[i] {
						t.Fatalf("%v, %g, keys %v: log-sum-exp %d is %g, and %g where the cell is finite", typ, wild, inKeys, i, gotLSE[i], finiteLSE[i])
					}
				}
			}
		}
	}
}

// ggml's own products on AMX configure the tiles once on each thread, and still find them configured
// after operations in tiles on the same threads; and these have the bits that they have alone.
func TestGGMLsTilesWorkBesideThese(t *testing.T) {
	requireTiles(t)
	const in, out, tokens = 512, 64, 20
	r := newRig(t, 2)
	i := slices.IndexFunc(r.backend.ExtraBufferTypes(), func(b ggml.BufferType) bool { return b.Name() == "AMX" })
	if i < 0 {
		t.Skip("cpu: ggml has no AMX here")
	}
	rng := seeded(17)
	amx := r.backend.ExtraBufferTypes()[i]
	weights := r.meta.New(ggml.Q4_0, in, out)
	b, err := r.backend.Alloc(amx, amx.AllocSize(weights), ggml.Inputs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	b.Place(weights, 0)
	weights.Set(quantize(t, ggml.Q4_0, normal(rng, in*out, 1), in), 0)
	x := r.tensor(ggml.F32, bytesOf(normal(rng, in*tokens, 1)), in, tokens)

	p := &problem{shape: shape{64, 64, 6, 2, 40, 300}, typ: ggml.F16, scale: Scores{Factor: 0.125}}
	p.fill(t, rng)
	p.look(seeCausal, rng)
	p.prepare()
	want, _ := p.run(t, isa.AMX, 1)
	q, k, v, spans := r.operands(p)
	how := On(r.device, Tiles, isa.AMX)
	g, alone := r.graph(func(g *ggml.Graph) []*ggml.Tensor { return []*ggml.Tensor{g.MulMat(weights, x)} })
	r.compute(g)
	product := numbers(alone[0])
	g, all := r.graph(func(g *ggml.Graph) (all []*ggml.Tensor) {
		for range 4 {
			all = append(all, g.MulMat(weights, x), how.Graph(g, q, k, v, spans, p.scale))
		}
		return all
	})
	r.compute(g)
	for i, y := range all {
		if err := sameBits(numbers(y), [][]float32{product, want}[i%2]); err != nil {
			t.Errorf("result %d: %v", i, err)
		}
	}
}
