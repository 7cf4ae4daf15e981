package model

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/product"
)

// packed reports whether ebb multiplies by the weight itself, which is packed then.
func (l ExpertLinear) packed() bool { return l.products != nil && l.products.Any() }

// ofPairs returns the product of each pair of a token and an expert with the expert's matrix, which
// is packed: [out, pairs].
func (l ExpertLinear) ofPairs(g *ggml.Graph, x *product.Grouped) *ggml.Tensor {
	return l.products.ExpertProduct(g, l.Weight, l.Bias, x)
}

// mixPacked is mix where the experts' matrices are packed.
func (e Experts) mixPacked(g *ggml.Graph, in *input, chosen, weights *ggml.Tensor) *ggml.Tensor {
	p := *e.Down.products
	x := p.Group(g, in.quantise(g, p), chosen, int64(e.Count))
	y := e.Down.ofPairs(g, e.inner(g, p, x))
	return p.Mix(g, y, weights, x)
}

// inner returns what the down matrices are multiplied by. Gate and up are one operation with the gated
// linear unit, unless only one of them has a bias.
func (e Experts) inner(g *ggml.Graph, p product.Products, x *product.Grouped) *product.Grouped {
	if e.Ungated != nil {
		return p.QuantiseGrouped(g, e.Ungated(g, e.Up.ofPairs(g, x)), x)
	}
	ff := e.Down.Weight.Ne(0)
	gate, up := product.Half{Weight: e.Gate.Weight, Bias: e.Gate.Bias}, product.Half{Weight: e.Up.Weight, Bias: e.Up.Bias}
	if merged := e.GateUp; merged.Weight != nil {
		gate, up = product.Half{Weight: merged.Weight}, product.Half{Weight: merged.Weight, Row: ff}
		if b := merged.Bias; b != nil {
			gate.Bias, up.Bias = g.View2D(b, ff, b.Ne(1), b.Nb(1), 0), g.View2D(b, ff, b.Ne(1), b.Nb(1), ff*b.Nb(0))
		}
	}
	if (gate.Bias == nil) == (up.Bias == nil) {
		return p.ExpertGateUp(g, e.GLU, gate, up, ff, x)
	}
	return p.QuantiseGrouped(g, applyGLU(g, e.GLU, e.Gate.ofPairs(g, x), e.Up.ofPairs(g, x)), x)
}

// packsExperts reports whether ebb multiplies by all matrices of a layer's experts itself. A mixture
// is packed as a whole, as grouped activations are not what ggml's products read.
func (l *Loader) packsExperts() bool {
	for _, name := range []string{"ffn_gate_up_exps", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"} {
		t, ok := l.file.Tensor(l.prefix + name + ".weight")
		if ok && (len(t.Shape) < 2 || !l.devices.products(l.backend).Takes(ggml.Type(t.Type), t.Shape[0], t.Shape[1])) {
			return false
		}
	}
	return true
}
