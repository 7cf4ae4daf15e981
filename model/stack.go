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
	products := make([]*ggml.Tensor, len(s.products))
	for i, p := range s.products {
		products[i] = p.Forward(g, x)
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
	index  int // in the stack
	source gguf.Tensor
	alone  bool // it is missing, or has a bias
}

// follows reports whether s and t are one matrix in the file.
func (s stacked) follows(t stacked) bool {
	return !s.alone && !t.alone && s.source.Type == t.source.Type && s.source.Part == t.source.Part &&
		s.source.Offset == t.source.Offset+t.source.Size
}

// Stack returns matrices that are multiplied by the same input. Those that lie in the file one
// directly behind the other, of one type and without a bias, are multiplied as one: the input is
// prepared once, and threads meet once. Nothing is copied for that.
func (l *Loader) Stack(in int, matrices ...Matrix) Stack {
	var all []stacked
	for i, m := range matrices {
		source, ok := l.source(m.Name+".weight", in, m.Out)
		all = append(all, stacked{m, i, source, !ok || l.Has(m.Name+".bias")})
	}
	slices.SortFunc(all, func(a, b stacked) int {
		return cmp.Or(cmp.Compare(a.source.Part, b.source.Part), cmp.Compare(a.source.Offset, b.source.Offset))
	})
	s := Stack{results: make([]result, len(all))}
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].follows(all[n-1]) {
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

// product returns matrices that are one in the file.
func (l *Loader) product(in int, all []stacked) Linear {
	if len(all) == 1 {
		return l.Linear(all[0].Name, in, all[0].Out)
	}
	whole := all[0].source
	whole.Shape = slices.Clone(whole.Shape)
	for _, m := range all[1:] {
		whole.Name += "+" + m.source.Name
		whole.Shape[1] += m.source.Shape[1]
		whole.Size += m.source.Size
	}
	return Linear{Weight: l.weight(whole, []ggml.Op{ggml.OpMulMat})}
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
