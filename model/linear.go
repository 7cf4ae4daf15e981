package model

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/product"
)

// Linear is a matrix product, with a bias added where there is one.
type Linear struct {
	Weight   *ggml.Tensor      // [in, out]
	Bias     *ggml.Tensor      // [out] or nil
	products *product.Products // that multiply by the packed weight; zero: it was not packed; nil: it cannot be
	plain    product.Products  // that multiply by the weight as it is in the file; zero: ggml does
}

// packed reports whether ebb multiplies by the weight itself, which is packed then.
func (l Linear) packed() bool { return l.products != nil && l.products.Any() }

// Forward returns Weight·x + Bias. x [in, tokens]; result [out, tokens].
func (l Linear) Forward(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	return l.forward(g, &input{x: x}, nil)
}

// ForwardNormed is Forward of x's norm.
func (l Linear) ForwardNormed(g *ggml.Graph, norm RMSNorm, x *ggml.Tensor) *ggml.Tensor {
	return l.forward(g, &input{x: x, norm: &norm, whole: !l.packed()}, nil)
}

// ForwardAdd returns Weight·x + Bias + residual, which is [out, tokens] like the result.
func (l Linear) ForwardAdd(g *ggml.Graph, x, residual *ggml.Tensor) *ggml.Tensor {
	return l.forward(g, &input{x: x}, residual)
}

// ForwardAll returns the products of matrices with the same x, which is prepared once.
func ForwardAll(g *ggml.Graph, x *ggml.Tensor, matrices ...Linear) []*ggml.Tensor {
	in, all := input{x: x}, make([]*ggml.Tensor, len(matrices))
	for i, l := range matrices {
		all[i] = l.forward(g, &in, nil)
	}
	return all
}

// forward is ForwardAdd for an input that other matrices may share. residual is nil for none.
func (l Linear) forward(g *ggml.Graph, in *input, residual *ggml.Tensor) *ggml.Tensor {
	var y *ggml.Tensor
	bias := l.Bias
	switch {
	case !l.packed():
		y = l.unpacked(g, in.values(g))
	case bias == nil: // a packed product adds one operand
		return l.products.Product(g, l.Weight, in.quantise(g, *l.products), residual)
	default:
		y, bias = l.products.Product(g, l.Weight, in.quantise(g, *l.products), bias), nil
	}
	if bias != nil {
		y = g.Add(y, bias)
	}
	if residual != nil {
		y = g.Add(y, residual)
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
	x     *ggml.Tensor // [in, tokens]
	norm  *RMSNorm     // they are multiplied by the norm of x; nil: by x
	whole bool         // one of them is not packed, so that x's norm is needed as numbers

	quantised *product.Activations // nil until a packed matrix needs it
}

// values returns the input as matrices that are not packed read it.
func (in *input) values(g *ggml.Graph) *ggml.Tensor {
	if in.norm != nil {
		in.x, in.norm = in.norm.Forward(g, in.x), nil
	}
	return in.x
}

// quantise returns the input as packed matrices read it. It is made once.
func (in *input) quantise(g *ggml.Graph, p product.Products) *product.Activations {
	switch {
	case in.quantised != nil:
	case in.norm != nil && !in.whole:
		in.quantised = p.NormQuantise(g, in.x, in.norm.Weight, in.norm.Eps)
	default:
		in.quantised = p.Quantise(g, in.values(g))
	}
	return in.quantised
}
