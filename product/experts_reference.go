package product

import (
	"math"
	"unsafe"
)

// experts returns the parameters of an operation of a mixture.
func (t *tensor) experts() expertParams { return *(*expertParams)(unsafe.Pointer(&t.params)) }

// group is an expert's pairs.
type group struct{ expert, pairs, first, slot int32 }

// table is the table of grouped activations.
type table struct {
	positions []int32 // by pair
	groups    []group
}

// tableOf returns the table that begins at an offset, in 64 bytes, of the activations t.
func tableOf(t *tensor, at int32, pairs int) table {
	head := headOf(t, at)
	p := unsafe.Pointer(head)
	groups := (*group)(unsafe.Add(p, groupsOffset(int64(pairs))))
	return table{unsafe.Slice((*int32)(unsafe.Add(p, tableHead)), pairs), unsafe.Slice(groups, head[0])}
}

// headOf returns the table's numbers of groups, and of pairs of the largest one.
func headOf(t *tensor, at int32) *[2]int32 {
	return (*[2]int32)(unsafe.Add(activationsIn(t, 0, 0).base, 64*int(at)))
}

// groupPairs is the operation Group in plain Go.
func groupPairs(dst *tensor, thread, threads int) {
	a, ids, p := dst.src[0], dst.src[1], dst.experts()
	used, tokens, experts := int(ids.ne[0]), int(ids.ne[1]), int(p.rows)
	pairs := used * tokens
	each := func(f func(pair, expert int)) {
		for t := range tokens {
			for u := range used {
				id := *(*int32)(unsafe.Add(ids.data, t*int(ids.nb[1])+4*u))
				f(t*used+u, int(id))
			}
		}
	}
	next := make([]int32, experts)
	each(func(_, e int) {
		if e >= 0 && e < experts {
			next[e]++
		}
	})
	var groups []group
	first, slot, most := int32(0), int32(0), int32(0)
	for e, n := range next {
		if n > 0 {
			groups = append(groups, group{int32(e), n, first, slot})
			next[e] = first
			first, slot, most = first+n, slot+(n+slotStep-1)&^(slotStep-1), max(most, n)
		}
	}
	order, positions := make([]int32, first), make([]int32, pairs)
	each(func(pair, e int) {
		position := int32(-1)
		if e >= 0 && e < experts {
			position = next[e]
			next[e]++
			order[position] = int32(pair)
		}
		positions[pair] = position
	})
	if thread == 0 {
		*headOf(dst, p.table) = [2]int32{int32(len(groups)), most}
		t := tableOf(dst, p.table, pairs)
		copy(t.positions, positions)
		copy(t.groups, groups)
	}
	activationsIn(dst, p.in, p.tokens).reset(thread)

	in := activationsIn(a, p.in, p.tokens)
	rows := pairs / in.tokens // pairs of a token
	for _, g := range groups {
		out := g.activations(dst, p.in)
		for t := range out.tokens {
			if int(g.first+int32(t))*threads/pairs != thread { // whose turn it is
				continue
			}
			for b := range in.in / blockValues {
				out.block(t, b).copy(in.block(int(order[int(g.first)+t])/rows, b))
			}
		}
	}
}

// activations returns a group's part of grouped activations of some values a pair.
func (g group) activations(t *tensor, in int32) activations {
	a := activationsIn(t, in, g.pairs)
	a.base = unsafe.Add(a.base, a.in/blockValues*int(g.slot)*tokenBlock)
	return a
}

// copy copies a block of another token.
func (b block) copy(from block) {
	*b.codes() = *from.codes()
	*b.scale(), *b.all(), *b.low(), *b.sum() = *from.scale(), *from.all(), *from.low(), *from.sum()
}

// expertProduct is the operation ExpertProduct in plain Go.
func expertProduct(dst *tensor, thread, threads int) {
	w, a, bias, p := dst.src[0], dst.src[1], dst.src[3], dst.experts()
	out := int(dst.ne[0])
	for _, g := range tableOf(dst.src[2], p.table, int(p.tokens)).groups {
		in := g.activations(a, p.in)
		panel := make([]float32, Rows*in.tokens)
		for i := thread; i < out/Rows; i += threads {
			in.multiply(panel, w, int(g.expert)*out/Rows+i)
			for t := range in.tokens {
				y := dst.token(int(g.first)+t, out)[i*Rows:][:Rows]
				for r := range y {
					y[r] = panel[r*in.tokens+t]
					if bias != nil {
						y[r] += bias.token(int(g.expert), out)[i*Rows+r]
					}
				}
			}
		}
	}
}

// expertGateUp is the operation ExpertGateUp in plain Go.
func expertGateUp(dst *tensor, thread, threads int) {
	gate, up, a, p := dst.src[0], dst.src[1], dst.src[2], dst.experts()
	for _, g := range tableOf(dst.src[3], p.table, int(p.tokens)).groups {
		in, out := g.activations(a, p.in), g.activations(dst, p.rows)
		halfOf := func(w, bias *tensor, row int32) gatedHalf {
			h := gatedHalf{weights: w, panel: (int(g.expert)*int(w.ne[1]) + int(row)) / Rows}
			if bias != nil {
				h.bias = bias.token(int(g.expert), out.in)
			}
			return h
		}
		in.gateUp(out, p.glu, halfOf(gate, dst.src[4], p.gateRow), halfOf(up, dst.src[5], p.upRow), thread, threads)
	}
	activationsIn(dst, p.rows, p.tokens).reset(thread)
}

// quantiseGrouped is the operation QuantiseGrouped in plain Go.
func quantiseGrouped(dst *tensor, thread, threads int) {
	y, p := dst.src[0], dst.experts()
	for _, g := range tableOf(dst.src[1], p.table, int(p.tokens)).groups {
		out := g.activations(dst, p.in)
		for t := thread; t < out.tokens; t += threads {
			out.quantise(t, y.token(int(g.first)+t, out.in))
		}
	}
	activationsIn(dst, p.in, p.tokens).reset(thread)
}

// mix is the operation Mix in plain Go.
func mix(dst *tensor, thread, threads int) {
	y, weights, p := dst.src[0], dst.src[1], dst.experts()
	out, tokens, used := int(dst.ne[0]), int(dst.ne[1]), int(p.tokens)
	positions := tableOf(dst.src[2], p.table, tokens*used).positions
	w := unsafe.Slice((*float32)(weights.data), tokens*used)
	results := unsafe.Slice((*float32)(y.data), tokens*used*out)
	sums := unsafe.Slice((*float32)(dst.data), tokens*out)
	for i := thread; i < tokens; i += threads {
		sum := sums[i*out:][:out]
		for u := range used {
			at, pair := positions[i*used+u], i*used+u
			for j := range sum {
				v := float32(math.NaN())
				if at >= 0 {
					v = float32(results[int(at)*out+j] * w[pair])
				}
				if u == 0 {
					sum[j] = v
				} else {
					sum[j] += v
				}
			}
		}
	}
}
