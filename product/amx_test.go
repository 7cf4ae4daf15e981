package product

import (
	"math"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// The tiles of AMX, of any number of tokens, give the bits of the Go twin. The numbers go through the
// threshold between VNNI and AMX, and through every size of the last tile.
func TestTilesGiveTheSameBitsForAnyNumberOfTokens(t *testing.T) {
	if !slices.Contains(isa.All(), isa.AMX) {
		t.Skip("cpu: no AMX here")
	}
	const out, most = 64, 40
	for _, typ := range types {
		in := 3 * formats[typ].values // an odd number of blocks, where the type allows it
		rng := seeded(int(typ), 15)
		packed := func(typ ggml.Type, in, out int64) []byte {
			rows, err := ggml.Quantize(typ, normal(rng, int(in*out)), in)
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, len(rows))
			Pack(typ, b, rows, in)
			return b
		}
		r := newRig(t, 2)
		w := r.tensor(typ, packed(typ, in, 2*out), in, 2*out)
		down := r.tensor(ggml.Q8_0, packed(ggml.Q8_0, out, out), out, out)
		values, residual := normal(rng, int(in*most)), normal(rng, 2*out*most)
		results := func(set isa.ISA, n int64) [][]float32 {
			p := On(r.device, set)
			x, add := r.floats(values[:in*n], in, n), r.floats(residual[:2*out*n], 2*out, n)
			return r.numbers(func(g *ggml.Graph) []*ggml.Tensor {
				a := p.Quantise(g, x)
				return []*ggml.Tensor{
					p.Product(g, w, a, nil),
					p.Product(g, w, a, add),
					p.Product(g, down, p.GateUp(g, SiLU, Half{Weight: w}, Half{Weight: w, Row: out}, out, a), nil),
				}
			})
		}
		want := results(isa.Go, most)
		for n := range int64(most) {
			for i, got := range results(isa.AMX, n+1) {
				for j, x := range got {
					if math.Float32bits(x) != math.Float32bits(want[i][j]) {
						t.Fatalf("%v, %d tokens: result %d [%d]: got %v, want %v", typ, n+1, i, j, x, want[i][j])
					}
				}
			}
		}
	}
}

// ggml's own products on AMX configure the tiles once on each thread, and still find them configured
// after operations of this package on the same threads.
func TestGGMLsTilesWorkBesideThese(t *testing.T) {
	if !slices.Contains(isa.All(), isa.AMX) {
		t.Skip("cpu: no AMX here")
	}
	const in, out, tokens = 512, 64, 20
	rng := seeded(17)
	rows, err := ggml.Quantize(ggml.Q4_0, normal(rng, in*out), in)
	if err != nil {
		t.Fatal(err)
	}
	packed := make([]byte, len(rows))
	Pack(ggml.Q4_0, packed, rows, in)
	r := newRig(t, 2)
	i := slices.IndexFunc(r.backend.ExtraBufferTypes(), func(b ggml.BufferType) bool { return b.Name() == "AMX" })
	if i < 0 {
		t.Skip("cpu: ggml has no AMX here")
	}
	amx := r.backend.ExtraBufferTypes()[i]
	theirs := r.meta.New(ggml.Q4_0, in, out)
	b, err := r.backend.Alloc(amx, amx.AllocSize(theirs), ggml.Inputs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	b.Place(theirs, 0)
	theirs.Set(rows, 0)
	ours, x := r.tensor(ggml.Q4_0, packed, in, out), r.floats(normal(rng, in*tokens), in, tokens)
	p := On(r.device, isa.AMX)
	want := r.numbers(func(g *ggml.Graph) []*ggml.Tensor {
		return []*ggml.Tensor{p.Product(g, ours, p.Quantise(g, x), nil), g.MulMat(theirs, x)}
	})
	got := r.numbers(func(g *ggml.Graph) (all []*ggml.Tensor) {
		a := p.Quantise(g, x)
		for range 4 {
			all = append(all, g.MulMat(theirs, x), p.Product(g, ours, a, nil))
		}
		return all
	})
	for i, y := range got {
		if !slices.Equal(y, want[1-i%2]) {
			t.Errorf("result %d differs from what it is alone", i)
		}
	}
}
