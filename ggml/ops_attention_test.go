package ggml

import (
	"bytes"
	"fmt"
	"math"
	"testing"
)

func TestSetRowsWritesWhatQuantizeWrites(t *testing.T) {
	const dim, cells, heads, tokens = 64, 9, 2, 3
	rows := []int64{7, 0, 4}
	onDevices(t, func(t *testing.T, b *Backend) {
		for _, typ := range []Type{F32, F16, BF16, Q8_0, Q4_0} {
			t.Run(typ.String(), func(t *testing.T) {
				r := newRig(t, b)
				src := random(5, dim*heads*tokens) // [dim, heads, tokens]
				x := r.floats(src, dim, heads, tokens)
				dst := r.tensor(typ, dim, cells, heads)
				dst.Memset(0xAB, 0, dst.Bytes())
				idx := r.tensor(I64, tokens)
				SetSlice(idx, rows, 0)

				g := b.NewGraph(4)
				defer g.Close()
				g.Expand(g.SetRows(dst, g.Permute(x, 0, 2, 1, 3), idx))
				if _, err := r.scratch.Alloc(g); err != nil {
					t.Fatal(err)
				}
				if err := b.Compute(g); err != nil {
					t.Fatal(err)
				}

				quantized, err := Quantize(typ, src, dim)
				if err != nil {
					t.Fatal(err)
				}
				size := int(typ.RowSize(dim))
				want := bytes.Repeat([]byte{0xAB}, int(dst.Bytes()))
				for h := range heads {
					for i, row := range rows {
						copy(want[(h*cells+int(row))*size:], quantized[(i*heads+h)*size:][:size])
					}
				}
				got := make([]byte, dst.Bytes())
				dst.Get(got, 0)
				if !bytes.Equal(got, want) {
					t.Errorf("first difference at byte %d of %d", firstDifference(got, want), len(want))
				}
			})
		}
	})
}

// Rows go where the addresses say, to several tensors at once, converted as SetRows converts them.
func TestSetRowsAtWritesToAddressesWhatSetRowsWrites(t *testing.T) {
	const dim, cells, heads, tokens = 64, 9, 2, 3
	rows := [tokens]struct{ tensor, row int }{{1, 7}, {0, 0}, {1, 4}}
	b := openCPU(t, 0)
	for _, typ := range []Type{F32, F16, BF16, Q8_0, Q4_0} {
		r := newRig(t, b)
		x := r.floats(random(5, dim*heads*tokens), dim, heads, tokens)
		var got, want [2]*Tensor
		for i := range got {
			got[i], want[i] = r.tensor(typ, dim, cells, heads), r.tensor(typ, dim, cells, heads)
			got[i].Memset(0xAB, 0, got[i].Bytes())
			want[i].Memset(0xAB, 0, want[i].Bytes())
		}
		at := r.tensor(I64, tokens, heads)
		var addresses []int64
		for h := range heads {
			for _, to := range rows {
				dst := got[to.tensor]
				addresses = append(addresses, int64(dst.Address())+int64(to.row)*dst.Nb(1)+int64(h)*dst.Nb(2))
			}
		}
		SetSlice(at, addresses, 0)
		g := b.NewGraph(16)
		g.Expand(g.SetRowsAt(typ, g.Permute(x, 0, 2, 1, 3), at))
		for i, to := range rows {
			idx := r.tensor(I64, 1)
			SetSlice(idx, []int64{int64(to.row)}, 0)
			one := g.View3D(x, dim, heads, 1, x.Nb(1), x.Nb(2), int64(i)*x.Nb(2))
			g.Expand(g.SetRows(want[to.tensor], g.Permute(one, 0, 2, 1, 3), idx))
		}
		if _, err := r.scratch.Alloc(g); err != nil {
			t.Fatal(err)
		}
		if err := b.Compute(g); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			a, w := make([]byte, got[i].Bytes()), make([]byte, want[i].Bytes())
			got[i].Get(a, 0)
			want[i].Get(w, 0)
			if !bytes.Equal(a, w) {
				t.Errorf("%v: tensor %d: first difference at byte %d of %d", typ, i, firstDifference(a, w), len(w))
			}
		}
		g.Close()
	}
}

func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// K and V are views of the first cells of a region with more, as in a cache; a second pass over a
// larger region must give the same bits.
func TestFlashAttnOverAStridedViewEqualsReference(t *testing.T) {
	// 7 rows of 3 KV heads: the software Vulkan driver's path for fewer corrupts memory.
	shape := attention{dim: 64, heads: 9, kvHeads: 3, rows: 7, cells: 70, scale: 0.125}
	capped := shape
	capped.softcap = 2
	sunk := shape
	sunk.sinks = random(7, 9)

	// Against float64 over the K/V as stored. The CPU sums F16 values in float16.
	cpu := map[Type]float64{F32: 2e-6, F16: 5e-3, Q8_0: 1e-2}
	onDevices(t, func(t *testing.T, b *Backend) {
		for _, typ := range []Type{F32, F16, Q8_0} {
			for _, a := range []attention{shape, capped, sunk} {
				if a.softcap > 0 && typ != F32 {
					continue
				}
				t.Run(fmt.Sprintf("%s softcap %g sinks %d", typ, a.softcap, len(a.sinks)), func(t *testing.T) {
					tol := 1e-2
					if b.Device().Type() == CPU {
						tol = cpu[typ]
					}
					small, want := attend(t, b, typ, a, 128)
					if d := distance(small, want); d > tol {
						t.Errorf("differs by %g, more than %g", d, tol)
					}
					large, _ := attend(t, b, typ, a, 256)
					if distance(large, small) != 0 {
						t.Error("the capacity of the region changes the result")
					}
				})
			}
		}
	})
}

// attend returns FlashAttn's result and the reference's.
func attend(t *testing.T, b *Backend, typ Type, a attention, capacity int) (got, want []float32) {
	t.Helper()
	a.capacity = capacity
	r := newRig(t, b)
	q := random(1, a.dim*a.heads*a.rows)
	region := func(seed uint64) (*Tensor, []float32) {
		all := make([]float32, a.dim*capacity*a.kvHeads)
		for h := range a.kvHeads {
			copy(all[h*capacity*a.dim:], random(seed+uint64(h), a.dim*a.cells))
		}
		return r.values(typ, all, int64(a.dim), int64(capacity), int64(a.kvHeads))
	}
	k, keys := region(10)
	v, values := region(20)
	mask := make([]float32, a.cells*a.rows)
	for i := range mask {
		if row, cell := i/a.cells, i%a.cells; cell > a.cells-a.rows+row {
			mask[i] = float32(math.Inf(-1))
		}
	}
	m, _ := r.values(F16, mask, int64(a.cells), int64(a.rows))
	x := r.floats(q, int64(a.dim), int64(a.heads), int64(a.rows))
	got = r.compute(func(g *Graph) *Tensor {
		row := typ.RowSize(int64(a.dim))
		view := func(t *Tensor) *Tensor {
			return g.View3D(t, int64(a.dim), int64(a.cells), int64(a.kvHeads), row, row*int64(capacity), 0)
		}
		y := g.FlashAttn(g.Permute(x, 0, 2, 1, 3), view(k), view(v), m, float32(a.scale), float32(a.softcap))
		if a.sinks != nil {
			g.AddSinks(y, r.floats(a.sinks, int64(a.heads)))
		}
		return y
	})
	return got, refAttention(q, keys, values, mask, a)
}
