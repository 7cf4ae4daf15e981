// Package attend computes attention over K/V.
//
// [Graph] adds it to a graph as ggml's operations. K and V are those of one
// sequence tree: head-major rows of which the first cells are used, with an
// additive mask that says which token sees which cell.
package attend

import (
	"fmt"
	"strings"

	"github.com/seed4d217819/ebb/ggml"
)

// Kind is a way to compute attention. All give the same result within float
// error.
type Kind int

// The kinds.
const (
	// Auto is Flash, but Eager on software Vulkan devices: there flash
	// attention corrupts the heap when device buffers come and go.
	Auto Kind = iota
	// Flash is one fused operation that holds no scores.
	Flash
	// Eager is matrix product, softmax, matrix product, as the paper writes
	// it. It holds the scores of all tokens and cells.
	Eager
)

var kindNames = [...]string{"auto", "flash", "eager"}

// ParseKind returns the kind of that name: auto, flash or eager.
func ParseKind(name string) (Kind, error) {
	for i, n := range kindNames {
		if n == name {
			return Kind(i), nil
		}
	}
	return 0, fmt.Errorf("attend: unknown attention %q: want one of %s", name, strings.Join(kindNames[:], ", "))
}

// String returns the kind's name.
func (kind Kind) String() string { return kindNames[kind] }

// On returns the kind that Auto stands for on a device.
func (kind Kind) On(d *ggml.Device) Kind {
	switch {
	case kind != Auto:
		return kind
	case d.Software():
		return Eager
	default:
		return Flash
	}
}

// Scale and SoftCap of the scores: cap·tanh(scale·qk/cap), and scale·qk where
// there is no cap.
type Scale struct {
	Factor  float32 // 0: 1/√headDim
	SoftCap float32 // 0: none
}

// Graph adds attention of q over the first cells of k and v.
//
//	q     [headDim, heads, tokens]
//	k, v  [dim, capacity, kvHeads]; heads is a multiple of kvHeads
//	mask  [cells, tokens] f16, added to the scores
//	result [valueDim, heads, tokens]
func (kind Kind) Graph(g *ggml.Graph, q, k, v, mask *ggml.Tensor, s Scale) *ggml.Tensor {
	cells := mask.Ne(0)
	query := g.Permute(q, 0, 2, 1, 3) // [headDim, tokens, heads]
	k, v = first(g, k, cells), first(g, v, cells)
	if kind.On(g.Backend().Device()) == Flash {
		return g.FlashAttn(query, k, v, mask, s.Factor, s.SoftCap) // [valueDim, heads, tokens]
	}
	return eager(g, query, k, v, mask, s)
}

// first returns the first cells of every head.
func first(g *ggml.Graph, t *ggml.Tensor, cells int64) *ggml.Tensor {
	return g.View3D(t, t.Ne(0), cells, t.Ne(2), t.Nb(1), t.Nb(2), 0) // [dim, cells, kvHeads]
}

func eager(g *ggml.Graph, q, k, v, mask *ggml.Tensor, s Scale) *ggml.Tensor {
	scores := g.MulMat(dense(g, k), q) // [cells, tokens, heads]
	g.MulMatPrecF32(scores)
	factor := s.Factor
	if s.SoftCap != 0 {
		scores = g.Scale(g.Tanh(g.Scale(scores, factor/s.SoftCap)), s.SoftCap)
		factor = 1
	}
	p := g.SoftMax(scores, mask, factor)                 // [cells, tokens, heads]
	out := g.MulMat(g.Cont(g.Transpose(plain(g, v))), p) // [valueDim, tokens, heads]
	g.MulMatPrecF32(out)
	return g.Cont(g.Permute(out, 0, 2, 1, 3)) // [valueDim, heads, tokens]
}

// dense returns the values without gaps between heads: matrix products on some
// devices are silently wrong with gaps.
func dense(g *ggml.Graph, t *ggml.Tensor) *ggml.Tensor {
	if t.Type().Quantized() {
		return g.Cast(t, ggml.F32)
	}
	return g.Cont(t)
}

// plain returns values of a type that can be transposed.
func plain(g *ggml.Graph, t *ggml.Tensor) *ggml.Tensor {
	if t.Type().Quantized() || t.Type() == ggml.BF16 {
		return g.Cast(t, ggml.F32)
	}
	return t
}
