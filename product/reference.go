package product

import (
	"math"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
)

// The operations in plain Go, with which tests compare machine code, and which replace it where
// there is none. Each thread computes every threads-th token or panel. Numbers are float32 and every
// step is rounded once, so that machine code gives the same bits.

// quantise computes Quantise.
func quantise(dst *tensor, thread, threads int) {
	x, out := dst.src[0], activationsIn(dst, dst.params.in, dst.params.tokens)
	for t := thread; t < out.tokens; t += threads {
		out.quantise(t, x.token(t, out.in))
	}
	out.reset(thread)
}

// normQuantise computes NormQuantise.
func normQuantise(dst *tensor, thread, threads int) {
	x, weight := dst.src[0], dst.src[1].token(0, int(dst.params.in))
	out := activationsIn(dst, dst.params.in, dst.params.tokens)
	normed := make([]float32, out.in)
	for t := thread; t < out.tokens; t += threads {
		rmsNorm(normed, x.token(t, out.in), weight, dst.params.eps)
		out.quantise(t, normed)
	}
	out.reset(thread)
}

// product computes Product.
func product(dst *tensor, thread, threads int) {
	w, residual := dst.src[0], dst.src[2]
	a := activationsIn(dst.src[1], dst.params.in, dst.params.tokens)
	panel := make([]float32, Rows*a.tokens)
	for p := thread; p < int(w.ne[1])/Rows; p += threads {
		a.multiply(panel, w, p)
		for t := range a.tokens {
			out := dst.token(t, int(dst.ne[0]))[p*Rows:][:Rows]
			for r := range out {
				out[r] = panel[r*a.tokens+t]
			}
			if residual == nil {
				continue
			}
			row := t
			if residual.ne[1] == 1 {
				row = 0
			}
			for r, y := range residual.token(row, int(dst.ne[0]))[p*Rows:][:Rows] {
				out[r] += y
			}
		}
	}
}

// gateUp computes GateUp: 32 rows of the gate and of up make a block of the result.
func gateUp(dst *tensor, thread, threads int) {
	p := &dst.params
	a := activationsIn(dst.src[2], p.in, p.tokens)
	out := activationsIn(dst, p.rows, p.tokens)
	gate := gatedHalf{weights: dst.src[0], panel: int(p.gateRow) / Rows}
	up := gatedHalf{weights: dst.src[1], panel: int(p.upRow) / Rows}
	if dst.src[3] != nil {
		gate.bias, up.bias = dst.src[3].token(0, out.in), dst.src[4].token(0, out.in)
	}
	a.gateUp(out, p.glu, gate, up, thread, threads)
	out.reset(thread)
}

// gatedHalf is the gate or up of a gated linear unit.
type gatedHalf struct {
	weights *tensor
	panel   int       // the first one
	bias    []float32 // nil: none
}

// multiply computes a panel of the half times all tokens, as activations.multiply does.
func (h gatedHalf) multiply(dst []float32, a activations, panel int) {
	a.multiply(dst, h.weights, h.panel+panel)
	if h.bias == nil {
		return
	}
	for i := range dst {
		dst[i] += h.bias[panel*Rows+i/a.tokens]
	}
}

// gateUp computes a thread's part of out.
func (a activations) gateUp(out activations, glu GLU, gate, up gatedHalf, thread, threads int) {
	gates, ups := make([]float32, Rows*a.tokens), make([]float32, Rows*a.tokens)
	var values [Rows]float32
	for b := thread; b < out.in/Rows; b += threads {
		gate.multiply(gates, a, b)
		up.multiply(ups, a, b)
		for t := range a.tokens {
			for r := range values {
				values[r] = glu.of(gates[r*a.tokens+t], ups[r*a.tokens+t])
			}
			out.block(t, b).quantise(values[:])
		}
	}
}

// token returns the n values of a token.
func (t *tensor) token(i, n int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Add(t.data, i*int(t.nb[1]))), n)
}

// multiply computes a panel of w times all tokens, as [32, tokens]: a row's tokens lie one behind the
// other. Each result is one sum over the row's blocks, in their order.
func (a activations) multiply(dst []float32, w *tensor, panel int) {
	typ := ggml.Type(w.typ)
	f, row := formats[typ], typ.RowSize(w.ne[0])
	units := unsafe.Slice((*byte)(unsafe.Add(w.data, int64(panel)*Rows*row)), Rows*row)
	file := make([]byte, f.bytes)
	var u rowUnit
	clear(dst)
	for ; len(units) > 0; units = units[f.bytes*Rows:] {
		first := (int(Rows*row) - len(units)) / int(f.bytes*Rows) * int(f.values/blockValues) // block of the activations
		for r := range Rows {
			f.unpackBlock(file, units, r)
			readers[typ](&u, file)
			sums := dst[r*a.tokens:][:a.tokens]
			for b := range int(f.values / blockValues) {
				codes := (*[blockValues]int8)(u.codes[b*blockValues:])
				for t := range sums {
					sums[t] = a.block(t, first+b).add(sums[t], f.kind, codes, [2]float32(u.d[2*b:]), [2]float32(u.m[2*b:]))
				}
			}
		}
	}
}

// add adds a block's product to a sum. d and m are the scales and minimums of the row's 32 values, or
// of its first 16 and the rest.
func (b block) add(sum float32, k kind, codes *[blockValues]int8, d, m [2]float32) float32 {
	q, a := b.codes(), *b.scale()
	low, high := int32(0), int32(0)
	for i := range 16 {
		low += int32(codes[i]) * int32(q[i])
		high += int32(codes[16+i]) * int32(q[16+i])
	}
	if k == symmetric || k == minimum {
		sum = fma(float32(low+high), d[0]*a, sum)
		if k == minimum {
			sum = fma(m[0], *b.sum(), sum)
		}
		return sum
	}
	sum = fma(float32(low), d[0]*a, sum)
	sum = fma(float32(high), d[1]*a, sum)
	if k == minimum16 {
		first := -*b.low()
		sum = fma(m[0], a*float32(first), sum)
		sum = fma(m[1], a*float32(-*b.all()-first), sum)
	}
	return sum
}

// rmsNorm writes weight times x divided by the root of the mean of its squares (Zhang and Sennrich
// 2019, arXiv:1910.07467). The squares are summed in 16 lanes.
func rmsNorm(dst, x, weight []float32, eps float32) {
	var lanes [16]float32
	for i, v := range x {
		lanes[i%16] = fma(v, v, lanes[i%16])
	}
	for n := 8; n > 0; n /= 2 {
		for j := range n {
			lanes[j] += lanes[j+n]
		}
	}
	mean := lanes[0] / float32(len(x))
	scale := 1 / float32(math.Sqrt(float64(mean+eps)))
	for i, v := range x {
		dst[i] = float32(v*scale) * weight[i]
	}
}

// exp2 returns 2^x for x from -126 to 127, and for what is outside that of the nearer end: the
// nearest whole power, times a polynomial of the rest, which is at most 1/2. NaN stays NaN.
func exp2(x float32) float32 {
	if x < -126 {
		x = -126
	}
	if x > 127 {
		x = 127
	}
	n := float32(math.RoundToEven(float64(x)))
	if n != n {
		return x
	}
	x -= n
	p := expTerms[6]
	for i := 5; i >= 0; i-- {
		p = fma(p, x, expTerms[i])
	}
	return math.Float32frombits(math.Float32bits(p) + uint32(int32(n))<<23)
}

// expTerms are the Taylor series of 2^x, with the last two coefficients adjusted for the smallest
// error between -1/2 and 1/2.
var expTerms = [7]float32{1, 6.931472028550421e-1, 2.402264791363012e-1, 5.550332471162809e-2, 9.618437357674640e-3, 1.339887440266574e-3, 1.535336188319500e-4}
