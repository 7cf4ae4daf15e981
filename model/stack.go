package model

import (
	"cmp"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
)

// Stack is matrices that are multiplied by the same input, some of them as one.
type Stack struct {
	products []Linear
	results  []result // of each matrix
}

// result is where the result of a matrix is: rows of a product.
type result struct{ product, first, rows int }

// Forward returns the products of each matrix with x [in, tokens]: [out, tokens], rows without
// gaps.
func (s Stack) Forward(g *ggml.Graph, x *ggml.Tensor) []*ggml.Tensor {
	return s.forward(g, &input{x: x})
}

// ForwardNormed is Forward of x's norm.
func (s Stack) ForwardNormed(g *ggml.Graph, norm RMSNorm, x *ggml.Tensor) []*ggml.Tensor {
	return s.forward(g, s.input(norm, x))
}

// input returns the norm of x as the matrices read it.
func (s Stack) input(norm RMSNorm, x *ggml.Tensor) *input {
	plain := func(l Linear) bool { return !l.packed() }
	return &input{x: x, norm: &norm, whole: slices.ContainsFunc(s.products, plain)}
}

func (s Stack) forward(g *ggml.Graph, in *input) []*ggml.Tensor {
	products := make([]*ggml.Tensor, len(s.products))
	for i, p := range s.products {
		products[i] = p.forward(g, in, nil)
	}
	all := make([]*ggml.Tensor, len(s.results))
	for i, r := range s.results {
		y := products[r.product]
		all[i] = g.View2D(y, int64(r.rows), y.Ne(1), y.Nb(1), int64(r.first)*y.Nb(0))
	}
	return all
}

// Matrix is one of a stack: the tensor Name.weight [in, Out], and Name.bias if there is one.
type Matrix struct {
	Name string
	Out  int
}

// stacked is a matrix and where it lies in the file.
type stacked struct {
	Matrix
	index   int // in the stack
	source  gguf.Tensor
	missing bool
	bias    bool // it has one
	packed  bool // ebb multiplies by it itself
}

// joins reports whether s is multiplied as one with t, which lies before it in the file. Packing puts
// matrices of one type behind each other, wherever they lie; others must lie so in the file.
func (s stacked) joins(t stacked) bool {
	if s.missing || t.missing || s.source.Type != t.source.Type || s.bias != t.bias || s.packed != t.packed {
		return false
	}
	return s.packed || !s.bias && s.source.Part == t.source.Part && s.source.Offset == t.source.Offset+t.source.Size
}

// stackOrder compares matrices of a stack, so that those that may be one stand together, in the order of
// the file.
func stackOrder(a, b stacked) int {
	of := func(s stacked) (n int) {
		if s.packed {
			n += 1 + 2*int(s.source.Type)
			if s.bias {
				n++
			}
		}
		return n
	}
	return cmp.Or(cmp.Compare(of(a), of(b)), cmp.Compare(a.source.Part, b.source.Part), cmp.Compare(a.source.Offset, b.source.Offset))
}

// Stack returns matrices that are multiplied by the same input. Those of one type that are packed are
// multiplied as one: the input is prepared once, and threads meet once. So are those that lie in the
// file one directly behind the other, of one type and without a bias. Nothing is copied for that.
func (l *Loader) Stack(in int, matrices ...Matrix) Stack {
	var all []stacked
	for i, m := range matrices {
		source, ok := l.source(m.Name+".weight", in, m.Out)
		all = append(all, stacked{m, i, source, !ok, l.Has(m.Name + ".bias"), ok && l.takes(source)})
	}
	slices.SortFunc(all, stackOrder)
	s := Stack{results: make([]result, len(all))}
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].joins(all[n-1]) {
			n++
		}
		rows := 0
		for _, m := range all[:n] {
			s.results[m.index] = result{len(s.products), rows, m.Out}
			rows += m.Out
		}
		s.products = append(s.products, l.product(in, all[:n]))
		all = all[n:]
	}
	return s
}

// product returns matrices as one.
func (l *Loader) product(in int, all []stacked) Linear {
	if len(all) == 1 {
		return l.Linear(all[0].Name, in, all[0].Out)
	}
	var weights, biases []gguf.Tensor
	for _, m := range all {
		weights = append(weights, m.source)
		if m.bias {
			source, _ := l.floatSource(m.Name+".bias", m.Out)
			biases = append(biases, source)
		}
	}
	if l.found.errs != nil { // of a bias
		return Linear{}
	}
	if !all[0].packed { // they are one in the file
		return l.linear(joined(weights))
	}
	w := l.linear(joined(weights), weights...)
	if biases != nil {
		bias := l.find(joined(biases), nil)
		bias.parts = biases
		w.Bias = bias.tensor
	}
	return w
}

// joined describes tensors as one, whose last dimension is the sum of theirs.
func joined(all []gguf.Tensor) gguf.Tensor {
	whole := all[0]
	whole.Shape = slices.Clone(whole.Shape)
	for _, t := range all[1:] {
		whole.Name += "+" + t.Name
		whole.Shape[len(whole.Shape)-1] += t.Shape[len(t.Shape)-1]
		whole.Size += t.Size
	}
	return whole
}

// Merged returns one matrix of the file that has the rows of several, one behind the other: the
// tensor name.weight [in, sum of outs], and name.bias if there is one.
func (l *Loader) Merged(name string, in int, outs ...int) Stack {
	s, rows := Stack{}, 0
	for _, out := range outs {
		s.results = append(s.results, result{0, rows, out})
		rows += out
	}
	s.products = []Linear{l.Linear(name, in, rows)}
	return s
}
