package ggml

import (
	"math"
	"slices"
)

// The functions below say in plain Go what the operations compute.

// refMulMat is w [k, m] times x [k, n], as [m, n].
func refMulMat(w, x []float32, k int) []float32 {
	var y []float32
	for j := 0; j < len(x); j += k {
		for i := 0; i < len(w); i += k {
			sum := 0.0
			for l := range k {
				sum += float64(w[i+l]) * float64(x[j+l])
			}
			y = append(y, float32(sum))
		}
	}
	return y
}

// refEach applies f to the elements of a and b, which is repeated.
func refEach(a, b []float32, f func(a, b float64) float64) []float32 {
	y := make([]float32, len(a))
	for i := range a {
		y[i] = float32(f(float64(a[i]), float64(b[i%len(b)])))
	}
	return y
}

func refMap(a []float32, f func(float64) float64) []float32 {
	return refEach(a, []float32{0}, func(a, _ float64) float64 { return f(a) })
}

// refRMSNorm divides rows of n by their root mean square.
func refRMSNorm(x []float32, n int, eps float64) []float32 {
	y := make([]float32, len(x))
	for r := 0; r < len(x); r += n {
		squares := 0.0
		for _, v := range x[r : r+n] {
			squares += float64(v) * float64(v) / float64(n)
		}
		for i, v := range x[r : r+n] {
			y[r+i] = float32(float64(v) / math.Sqrt(squares+eps))
		}
	}
	return y
}

func refSiLU(x float64) float64 { return x / (1 + math.Exp(-x)) }

func refGELU(x float64) float64 {
	return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

// refRoPE turns x [headDim, heads, tokens].
func refRoPE(x []float32, headDim, heads int, pos []int32, factors []float32, r RoPE) []float32 {
	y := append([]float32(nil), x...)
	for t, p := range pos {
		for h := range heads {
			row := y[(t*heads+h)*headDim:][:headDim]
			for i := range r.Dims / 2 {
				angle := float64(p) * float64(r.Scale) * math.Pow(float64(r.Base), -2*float64(i)/float64(r.Dims))
				if factors != nil {
					angle /= float64(factors[i])
				}
				a, b := 2*i, 2*i+1
				if r.Mode == ModeNeoX {
					a, b = i, i+r.Dims/2
				}
				sin, cos := math.Sincos(angle)
				u, v := float64(row[a]), float64(row[b])
				row[a], row[b] = float32(u*cos-v*sin), float32(u*sin+v*cos)
			}
		}
	}
	return y
}

// refSoftMax is the softmax of rows of n of scale*x+mask; mask has a row for each, or is nil.
func refSoftMax(x, mask []float32, n int, scale float64) []float32 {
	y := make([]float32, len(x))
	for r := 0; r < len(x); r += n {
		p := make([]float64, n)
		top, sum := math.Inf(-1), 0.0
		for i := range p {
			p[i] = float64(x[r+i]) * scale
			if mask != nil {
				p[i] += float64(mask[r+i])
			}
			top = max(top, p[i])
		}
		for i := range p {
			p[i] = math.Exp(p[i] - top)
			sum += p[i]
		}
		for i := range p {
			y[r+i] = float32(p[i] / sum)
		}
	}
	return y
}

// attention is the shape of refAttention's operands.
type attention struct {
	dim, heads, kvHeads, rows, cells, capacity int
	scale, softcap                             float64
	sinks                                      []float32 // of each head, or none
}

// refAttention is attention of q [dim, heads, rows] over k and v [dim, capacity, kvHeads], of which
// cells are used; mask is [cells, rows].
func refAttention(q, k, v, mask []float32, a attention) []float32 {
	y := make([]float32, a.dim*a.heads*a.rows)
	for r := range a.rows {
		for h := range a.heads {
			kv := h / (a.heads / a.kvHeads) * a.capacity * a.dim
			query := q[(r*a.heads+h)*a.dim:][:a.dim]
			scores := make([]float32, a.cells)
			for i := range scores {
				s := float64(refMulMat(query, k[kv+i*a.dim:][:a.dim], a.dim)[0]) * a.scale
				if a.softcap > 0 {
					s = a.softcap * math.Tanh(s/a.softcap)
				}
				scores[i] = float32(s)
			}
			seen := mask[r*a.cells:][:a.cells]
			if a.sinks != nil { // a score without a value
				scores, seen = slices.Concat(scores, a.sinks[h:h+1]), slices.Concat(seen, []float32{0})
			}
			p := refSoftMax(scores, seen, len(scores), 1)[:a.cells]
			for d := range a.dim {
				sum := 0.0
				for i := range p {
					sum += float64(p[i]) * float64(v[kv+i*a.dim+d])
				}
				y[(r*a.heads+h)*a.dim+d] = float32(sum)
			}
		}
	}
	return y
}
