package attend

import (
	"math"
	"slices"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// kernelTypes are the types of keys and values that the kernel reads.
var kernelTypes = []ggml.Type{ggml.F32, ggml.F16, ggml.BF16, ggml.Q8_0, ggml.Q4_0}

// kernelTakes reports whether the kernel reads heads of this dimension and type.
func kernelTakes(t ggml.Type, dim int) bool {
	const step = 16 // values that it takes at a time
	return slices.Contains(kernelTypes, t) && dim > 0 && dim%max(step, int(t.BlockSize())) == 0
}

// Partial adds attention with the kernel, as Graph does, and also returns the logarithm of the sum
// of weights of each token and head, with which [Merge] joins the result with those over other
// cells. The result of a token that sees no cell is zeros, and its logarithm -Inf.
//
//	out [valueDim, heads, tokens]
//	lse [heads, tokens]
//
// Sinks are among the weights: of several results that are merged, exactly one has them. A token that
// sees no cell has zeros with sinks too, and the sink as its logarithm.
//
// A cell that a token does not see has no influence on its result, whatever the cell holds. A
// token's result does not depend on the other tokens, the number of threads, or the capacity and
// the addresses of k and v. With Tiles it depends on whether there are more than 16 tokens, and on
// whether some of them list their cells.
//
// It panics if Kernel reports false.
func (a Attention) Partial(g *ggml.Graph, q, k, v, spans *ggml.Tensor, s Scores) (out, lse *ggml.Tensor) {
	sh := kernelShape(q, k, v, spans)
	if a.kernel <= isa.GGML {
		misuse("there is no kernel", q, k, v, spans)
	}
	// There is a frame for each thread that the backend has, or had.
	threads := g.MostThreads()
	set := a.kernel
	if a.Tiles() && !sh.takesTiles() {
		set = isa.AVX512
	}
	l := sh.layout(threads, set)
	dst := sh.op(g, l, threads, set, s, q, k, v, spans)
	heads, rows := int64(sh.heads), int64(sh.rows)
	return sh.output(g, dst), g.View2D(dst, heads, rows, heads*4, l.lse)
}

// op adds the kernel's operation.
func (s shape) op(g *ggml.Graph, l layout, threads int, set isa.ISA, scores Scores, operands ...*ggml.Tensor) *ggml.Tensor {
	if sinks := scores.Sinks; sinks != nil {
		operands = append(operands, sinks)
		if sinks.Type() != ggml.F32 || sinks.Shape() != [4]int64{int64(s.heads), 1, 1, 1} || !sinks.Contiguous() {
			misuse("want one f32 sink for each query head", operands...)
		}
	}
	p := s.params(l, threads, scores)
	return g.Custom(ggml.F32, [4]int64{l.size / 4, 1, 1, 1}, kernelOp(set), *(*ggml.CustomParams)(unsafe.Pointer(&p)), operands...)
}

// output returns the output in an op's result.
func (s shape) output(g *ggml.Graph, dst *ggml.Tensor) *ggml.Tensor {
	head := int64(s.valueDim) * 4
	return g.View3D(dst, int64(s.valueDim), int64(s.heads), int64(s.rows), head, head*int64(s.heads), 0)
}

// What operands must be.
const (
	wantQueries = "f32 queries [headDim, heads, tokens] without gaps between values"
	wantHeads   = "query heads that are a multiple of the KV heads"
	wantSpans   = "the words of spans for the KV heads and tokens"
)

// kernelShape returns the sizes of an op. It panics if its operands do not fit.
func kernelShape(q, k, v, spans *ggml.Tensor) shape {
	sh := shape{
		keyDim: int(k.Ne(0)), valueDim: int(v.Ne(0)), heads: int(q.Ne(1)), kvHeads: int(k.Ne(2)), rows: int(q.Ne(2)), cells: int(k.Ne(1)),
	}
	row := func(t *ggml.Tensor) bool { return t.Nb(1) == t.Type().RowSize(t.Ne(0)) }
	fits := []struct {
		ok   bool
		want string
	}{
		{q.Type() == ggml.F32 && q.Nb(0) == 4 && q.Ne(3) == 1, wantQueries},
		{k.Type() == v.Type() && kernelTakes(k.Type(), sh.keyDim) && kernelTakes(v.Type(), sh.valueDim), "keys and values of one type, and heads of a multiple of 16 values, or of a block"},
		{q.Ne(0) == k.Ne(0), "queries and keys of one dimension"},
		{k.Ne(1) == v.Ne(1) && k.Ne(2) == v.Ne(2) && k.Ne(3) == 1 && v.Ne(3) == 1, "equally many keys and values"},
		{row(k) && row(v), "the cells of a head without gaps"},
		{sh.heads%sh.kvHeads == 0, wantHeads},
		{spans.Type() == ggml.I32 && spans.Contiguous() && int(spans.Ne(0)) >= rowsAt(sh.kvHeads)+sh.rows*rowWords, wantSpans},
	}
	for _, f := range fits {
		if !f.ok {
			misuse("want "+f.want, q, k, v, spans)
		}
	}
	return sh
}

// misuse panics with the operands of a kernel.
func misuse(reason string, operands ...*ggml.Tensor) {
	e := &ggml.ShapeError{Op: "attend.Partial", Reason: reason}
	for _, t := range operands {
		e.Operands = append(e.Operands, t.String())
	}
	panic(e)
}

// params returns an op's parameters.
func (s shape) params(l layout, threads int, scale Scores) params {
	p := params{
		scale: scale.Factor * math.Log2E,
		tile:  int32(l.tile), pass: int32(l.pass), lanes: int32(l.lanes),
		frames: int32(l.frames / 64), frameSize: int32(l.frameSize / 64),
		parts: int32(l.parts / 64), partSize: int32(l.partSize / 64),
		threads: int32(threads),
	}
	if scale.SoftCap != 0 {
		p.scale = 2 * math.Log2E * scale.Factor / scale.SoftCap // for e^(2x), of which tanh x is made
		p.cap = scale.SoftCap * math.Log2E
	}
	return p
}
