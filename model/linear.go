package model

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/product"
)

// Linear is a matrix product, with a bias added where there is one.
type Linear struct {
	Weight   *ggml.Tensor      // [in, out]
	Bias     *ggml.Tensor      // [out] or nil
	products *product.Products // how it is multiplied by where it was packed, else zero; nil: as it is in the file
	plain    product.Products  // how it is multiplied by as it is in the file; zero: by ggml
}

// packed reports whether ebb multiplies by the weight itself, which is packed then.
func (l Linear) packed() bool { return l.products != nil && l.products.Any() }

// Forward returns Weight·x + Bias. x [in, tokens]; result [out, tokens].
func (l Linear) Forward(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	return l.forward(g, &input{x: x})
}

// forward is Forward for an input that other matrices may share.
func (l Linear) forward(g *ggml.Graph, in *input) *ggml.Tensor {
	if l.packed() {
		return l.products.Product(g, l.Weight, in.quantise(g, *l.products), l.Bias)
	}
	y := l.unpacked(g, in.x)
	if l.Bias != nil {
		y = g.Add(y, l.Bias)
	}
	return y
}

// unpacked returns Weight·x for a weight as it is in the file.
func (l Linear) unpacked(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	if l.plain.Any() {
		return l.plain.Plain(g, l.Weight, x)
	}
	return g.MulMat(l.Weight, x)
}

// input is what one or more matrices are multiplied by.
type input struct {
	x         *ggml.Tensor         // [in, tokens]
	quantised *product.Activations // nil until a packed matrix needs it
}

// quantise returns the input as packed matrices read it. It is made once.
func (in *input) quantise(g *ggml.Graph, p product.Products) *product.Activations {
	if in.quantised == nil {
		in.quantised = p.Quantise(g, in.x)
	}
	return in.quantised
}

// packed is Forward where gate and up are computed as one operation, whose result is what the down
// projection reads; nil where that is not possible.
func (f SwiGLU) packed(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	gate, up := f.GateUp.results[0], f.GateUp.results[1]
	of := func(r result) Linear { return f.GateUp.products[r.product] }
	fuses := func(r result) bool {
		return of(r).packed() && of(r).Bias == nil && r.first%product.Rows == 0 && r.rows%product.Rows == 0
	}
	if !fuses(gate) || !fuses(up) || !f.Down.packed() {
		return nil
	}
	p, in := *f.Down.products, input{x: x}
	in.quantised = p.GateUp(g, of(gate).Weight, of(up).Weight, int64(gate.first), int64(up.first), int64(gate.rows), in.quantise(g, p))
	return f.Down.forward(g, &in)
}
