package product

import (
	"fmt"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
)

// Grouped are the activations of pairs, each of a token and one of the experts that it goes through,
// in the order of experts, so that an expert's matrix is read once for all of its tokens. They belong
// to the graph, as [Activations] do.
type Grouped struct {
	a       Activations  // its tokens are pairs
	table   *ggml.Tensor // has the table, which begins at the offset tableAt
	tableAt int64
	used    int64 // experts of a token
	tokens  int64
	experts int64
}

// Pairs returns the number of pairs: tokens times the experts that each goes through.
func (x *Grouped) Pairs() int64 { return x.a.tokens }

// Group adds the grouping of activations by the experts that ids lists for each token, i32 [used,
// tokens]. a are of the tokens, or of all pairs, [in, used × tokens].
//
// A pair whose id is no expert, 0 to experts-1, has no result: [Products.Mix] makes the token NaN.
func (p Products) Group(g *ggml.Graph, a *Activations, ids *ggml.Tensor, experts int64) *Grouped {
	const name = "Group"
	p.check(name, a.t, ids)
	used, tokens := ids.Ne(0), ids.Ne(1)
	pairs := used * tokens
	check(ids.Type() == ggml.I32 && ids.Nb(0) == 4 && ids.Ne(2) == 1 && ids.Ne(3) == 1, name, "i32 ids [used, tokens]", a.t, ids)
	check(a.tokens == tokens || a.tokens == pairs, name, fmt.Sprintf("ids of the activations' %d tokens or pairs", a.tokens), a.t, ids)
	const most = 1 << 24 // of experts and pairs, so that their products with the other sizes fit
	check(experts >= 1 && experts <= most && pairs <= most, name, fmt.Sprintf("1 to %d experts, not %d, and as many pairs at most", most, experts), a.t, ids)
	threads := g.MostThreads()
	x := &Grouped{a: Activations{in: a.in, tokens: pairs}, used: used, tokens: tokens, experts: experts}
	scratch := max(panelScratch(a.in, pairs), groupScratch(pairs, experts))
	x.a.layout, x.tableAt = groupedOf(a.in, pairs, experts, tableBytes(pairs, experts), scratch, threads)
	pa := expertParams{tokens: int32(a.tokens), in: int32(a.in), rows: int32(experts)}
	x.table = p.addByExpert(g, opGroup, [4]int64{x.a.layout.size / 4, 1, 1, 1}, pa, x, a.t, ids)
	x.a.t = x.table
	return x
}

// ExpertProduct adds the product of each pair with its expert's matrix, of packed weights w [in, out,
// experts]. bias [out, experts], f32, is added to the result if it is not nil.
//
//	result [out, pairs] f32, in the order of experts: see [Products.Mix]
//
// A pair's result is the same bits as that of [Products.Product] with the expert's matrix alone.
func (p Products) ExpertProduct(g *ggml.Graph, w, bias *ggml.Tensor, x *Grouped) *ggml.Tensor {
	const name = "ExpertProduct"
	operands := []*ggml.Tensor{w, x.a.t, x.table}
	if bias != nil {
		operands = append(operands, bias)
	}
	p.check(name, operands...)
	out := w.Ne(1)
	p.checkByExpert(name, w, x, operands...)
	if bias != nil {
		check(bias.Type() == ggml.F32 && bias.Contiguous() && bias.Shape() == [4]int64{out, x.experts, 1, 1},
			name, fmt.Sprintf("a bias [%d, %d], f32,", out, x.experts), operands...)
	}
	pa := expertParams{tokens: int32(x.a.tokens), in: int32(x.a.in), counter: x.a.counter(name)}
	return p.addByExpert(g, opExpertProduct, [4]int64{out, x.a.tokens, 1, 1}, pa, x, operands...)
}

// ExpertGateUp is [Products.GateUp] of each pair with its expert's matrices. The halves have rows of
// each expert.
func (p Products) ExpertGateUp(g *ggml.Graph, glu GLU, gate, up Half, rows int64, x *Grouped) *Grouped {
	const name = "ExpertGateUp"
	operands := gate.operands(up, x.a.t, x.table)
	p.check(name, operands...)
	check(glu >= 0 && glu < glus, name, "a gated linear unit", operands...)
	for _, h := range []Half{gate, up} {
		p.checkByExpert(name, h.Weight, x, operands...)
		h.checkRows(name, rows, x.experts, operands)
	}
	y := x.like(rows, gateUpScratch(x.a.in, x.a.tokens))
	pa := expertParams{
		tokens: int32(x.a.tokens), in: int32(x.a.in), counter: x.a.counter(name),
		glu: glu, gateRow: int32(gate.Row), upRow: int32(up.Row), rows: int32(rows),
	}
	y.a.t = p.addByExpert(g, opExpertGateUp, [4]int64{y.a.layout.size / 4, 1, 1, 1}, pa, y, operands...)
	return y
}

// QuantiseGrouped adds the quantising of y [values, pairs], f32, whose pairs are in the order of x, as
// results of ExpertProduct are.
func (p Products) QuantiseGrouped(g *ggml.Graph, y *ggml.Tensor, x *Grouped) *Grouped {
	const name = "QuantiseGrouped"
	p.check(name, y, x.table)
	values := y.Ne(0)
	check(y.Type() == ggml.F32 && y.Nb(0) == 4 && values%blockValues == 0 && y.Ne(1) == x.a.tokens && y.Ne(2) == 1 && y.Ne(3) == 1, name,
		fmt.Sprintf("f32 values of %d pairs, a multiple of 32 each,", x.a.tokens), y, x.table)
	z := x.like(values, panelScratch(values, x.a.tokens))
	pa := expertParams{tokens: int32(x.a.tokens), in: int32(values)}
	z.a.t = p.addByExpert(g, opQuantiseGrouped, [4]int64{z.a.layout.size / 4, 1, 1, 1}, pa, z, y, x.table)
	return z
}

// Mix adds the sum of what each token's experts made of it, y [out, pairs] in the order of x, by their
// weights [used × tokens], f32, as ids of Group. The sum runs over a token's experts in that order.
//
//	result [out, tokens] f32
func (p Products) Mix(g *ggml.Graph, y, weights *ggml.Tensor, x *Grouped) *ggml.Tensor {
	const name = "Mix"
	p.check(name, y, weights, x.table)
	out := y.Ne(0)
	check(y.Type() == ggml.F32 && y.Contiguous() && out%Rows == 0 && y.Shape() == [4]int64{out, x.a.tokens, 1, 1},
		name, fmt.Sprintf("results of %d pairs, a multiple of 32 each,", x.a.tokens), y, weights, x.table)
	check(weights.Type() == ggml.F32 && weights.Contiguous() && weights.Elements() == x.a.tokens,
		name, fmt.Sprintf("a weight for each of %d pairs,", x.a.tokens), y, weights, x.table)
	return p.addByExpert(g, opMix, [4]int64{out, x.tokens, 1, 1}, expertParams{tokens: int32(x.used)}, x, y, weights, x.table)
}

// like returns activations of the same pairs, of other values.
func (x *Grouped) like(values, scratch int64) *Grouped {
	y := &Grouped{a: Activations{in: values, tokens: x.a.tokens}, table: x.table, tableAt: x.tableAt, used: x.used, tokens: x.tokens, experts: x.experts}
	y.a.layout, _ = groupedOf(values, x.a.tokens, x.experts, 0, max(scratch, panelScratch(values, x.a.tokens)), x.a.layout.threads)
	return y
}

// checkByExpert panics if w are no matrices of the experts of x.
func (p Products) checkByExpert(name string, w *ggml.Tensor, x *Grouped, operands ...*ggml.Tensor) {
	check(p.Takes(w.Type(), w.Ne(0), w.Ne(1)) && w.Ne(3) == 1 && w.Contiguous(), name, "weights that Takes reports", operands...)
	check(w.Ne(0) == x.a.in && w.Ne(2) == x.experts, name, fmt.Sprintf("rows of %d values, of %d experts,", x.a.in, x.experts), operands...)
}

// addByExpert adds an operation of a mixture, whose frames are those of x.
func (p Products) addByExpert(g *ggml.Graph, op operation, ne [4]int64, pa expertParams, x *Grouped, operands ...*ggml.Tensor) *ggml.Tensor {
	l := x.a.layout
	pa.frames, pa.frameSize, pa.threads = int32(l.frames/64), int32(l.frameSize/64), int32(l.threads)
	pa.table = int32(x.tableAt / 64)
	return g.Custom(ggml.F32, ne, p.address(op), *(*ggml.CustomParams)(unsafe.Pointer(&pa)), operands...)
}

// expertParams are the parameters of an operation of a mixture, as params are of the others.
type expertParams struct {
	tokens    int32 // Group: of the activations that it reads; Mix: experts of a token; otherwise pairs
	in        int32 // values of a pair of the activations that it reads, or those that it writes from f32
	counter   int16 // ExpertProduct, ExpertGateUp: as in params
	glu       GLU   // ExpertGateUp
	frames    int32 // where the threads' frames begin, in 64 bytes from the base of the activations that ExpertProduct reads, and the others write
	frameSize int32 // of one thread, in 64 bytes
	threads   int32 // for how many there are frames
	gateRow   int32 // ExpertGateUp: as in params
	upRow     int32
	rows      int32 // Group: experts
	table     int32 // where the table begins, in 64 bytes from the base of the activations that have it
}
