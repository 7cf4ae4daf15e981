// Package attend computes attention over K/V.
//
// An [Attention] adds it to a graph: as ggml's operations, with a mask that says which token sees
// which cell, or on the CPU as an operation of ebb's own, the kernel, with [Spans] in place of the
// mask. The kernel reads each key and value once, however many heads and tokens share it, and is
// several times as fast; docs/attention.md describes its design.
//
// K and V belong to one sequence tree: they are head-major rows, of which the first cells are used.
// [Attention.Trees] attends to the rows of several trees in one operation. [Merge] joins results over
// different cells.
package attend

import (
	"fmt"
	"math"
	"strings"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// Kind is a way to compute attention. All kinds give the same result within float error.
type Kind int

// The kinds.
const (
	// Auto is Kernel on a CPU that has one. On other devices it is Flash, except on software Vulkan
	// devices, where flash attention corrupts the heap when device buffers are made and freed:
	// there Auto is Eager.
	Auto Kind = iota
	// Flash is one fused operation that stores no scores.
	Flash
	// Eager is a matrix product, a softmax and a matrix product, as in the paper. It stores the
	// scores of all tokens and cells.
	Eager
	// Kernel is ebb's own, on the CPU. Devices without it, and layers whose heads it does not
	// support, compute as under Auto.
	Kernel
	// Tiles is Kernel, but on a CPU with AMX more than 16 tokens of a sequence, as in a prompt, are
	// computed in AMX's tiles where heads have a multiple of 32 values. It is faster and as exact. In
	// return, a token's last bits depend on whether it is one of so many. On other devices and
	// processors it is Auto.
	Tiles
)

var kindNames = [...]string{"auto", "flash", "eager", "kernel", "tiles"}

// ParseKind returns the kind of that name: auto, flash, eager, kernel or tiles.
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

// Attention is how attention is computed on a device. Its zero value is Flash.
type Attention struct {
	kernel isa.ISA // 0, isa.GGML: there is none, or it is not wanted
	eager  bool
}

// On returns how to compute attention on a device. set is the kernel's instruction set if the
// device is the CPU.
func On(d *ggml.Device, kind Kind, set isa.ISA) Attention {
	switch {
	case kind == Eager, kind != Flash && d.Software():
		return Attention{eager: true}
	case kind == Flash || d.Type() != ggml.CPU:
		return Attention{}
	case kind == Tiles:
		if set = set.Resolved(); set == isa.AMX {
			return Attention{kernel: set}
		}
		fallthrough
	default:
		return Attention{kernel: min(set.Resolved(), isa.AVX512)}
	}
}

// Tiles reports whether AMX's tiles compute many tokens.
func (a Attention) Tiles() bool { return a.kernel == isa.AMX }

// Kernel reports whether the kernel computes attention over keys and values of these types and
// dimensions: if so Graph takes spans, and otherwise a mask.
//
// Where the kernel is available it is the fastest kind for all types and any number of tokens.
// Measured on 2 cores of an AMD EPYC (family 25 model 17, AVX-512, heads of 64 and 128;
// docs/attention.md), and before columns, flash attention is slower by a factor of
//
//	tokens      f16          q8_0         q4_0
//	1           3.4 to 4.7   5.5 to 6.6   10 to 15
//	2 to 16     4.2 to 7.6   5.4 to 12    11 to 18
//	64          1.3 to 2.0   8.8 to 9.3   16 to 20
//	512         1.9 to 2.0   10 to 12     17 to 19
func (a Attention) Kernel(k, v ggml.Type, keyDim, valueDim int) bool {
	return a.kernel > isa.GGML && k == v && kernelTakes(k, keyDim) && kernelTakes(v, valueDim)
}

// Scores says what the softmax is over: cap·tanh(factor·qk/cap) for each cell that a token sees, and
// factor·qk where there is no cap.
type Scores struct {
	Factor  float32 // 0: 1/√headDim
	SoftCap float32 // 0: none

	// Sinks [heads], f32, is one more score for each head, whose value is 0 (Xiao et al. 2024,
	// arXiv:2309.17453; gpt-oss learns it): it takes its share of the weights, and adds nothing to the
	// result. It is neither scaled nor capped. -Inf is none, and so is nil.
	Sinks *ggml.Tensor
}

// withFactor returns the scores with the factor that queries have where none is given.
func (s Scores) withFactor(q *ggml.Tensor) Scores {
	if s.Factor == 0 {
		s.Factor = float32(1 / math.Sqrt(float64(q.Ne(0))))
	}
	return s
}

// Graph adds attention of q over the first cells of k and v.
//
//	q     [headDim, heads, tokens]
//	k, v  [dim, capacity, kvHeads]; heads is a multiple of kvHeads
//	sees  which cells each token sees: where Kernel reports true the words of
//	      Spans, i32, and else a mask [cells, tokens] f16, added to the scores
//	result [valueDim, heads, tokens]
//
// With Flash and Eager every token must see a cell, and all cells that a mask covers must hold
// finite numbers. Flash is Eager where the device's flash attention lacks the shape or the types, as
// CUDA's does for heads of 512 values that share no KV head.
func (a Attention) Graph(g *ggml.Graph, q, k, v, sees *ggml.Tensor, s Scores) *ggml.Tensor {
	s = s.withFactor(q)
	if a.Kernel(k.Type(), v.Type(), int(k.Ne(0)), int(v.Ne(0))) {
		out, _ := a.Partial(g, q, k, v, sees, s)
		return out
	}
	cells := sees.Ne(0)
	query := g.Permute(q, 0, 2, 1, 3) // [headDim, tokens, heads]
	k, v = first(g, k, cells), first(g, v, cells)
	if !a.eager {
		out := g.FlashAttn(query, k, v, sees, s.Factor, s.SoftCap) // [valueDim, heads, tokens]
		if s.Sinks != nil {
			g.AddSinks(out, s.Sinks)
		}
		if g.Supports(out) {
			return out
		}
	}
	return eager(g, query, k, v, sees, s)
}

// first returns the first cells of every head.
func first(g *ggml.Graph, t *ggml.Tensor, cells int64) *ggml.Tensor {
	return g.View3D(t, t.Ne(0), cells, t.Ne(2), t.Nb(1), t.Nb(2), 0) // [dim, cells, kvHeads]
}

func eager(g *ggml.Graph, q, k, v, mask *ggml.Tensor, s Scores) *ggml.Tensor {
	scores := g.MulMat(dense(g, k), q) // [cells, tokens, heads]
	g.MulMatPrecF32(scores)
	factor := s.Factor
	if s.SoftCap != 0 {
		scores = g.Scale(g.Tanh(g.Scale(scores, factor/s.SoftCap)), s.SoftCap)
		factor = 1
	}
	p := g.SoftMax(scores, mask, factor) // [cells, tokens, heads]
	if s.Sinks != nil {
		g.AddSinks(p, s.Sinks)
	}
	out := g.MulMat(g.Cont(g.Transpose(plain(g, v))), p) // [valueDim, tokens, heads]
	g.MulMatPrecF32(out)
	return g.Cont(g.Permute(out, 0, 2, 1, 3)) // [valueDim, heads, tokens]
}

// dense returns the values without gaps between heads, because matrix products on some devices are
// silently wrong with gaps.
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
