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

// inner returns what the down matrices are multiplied by.
func (e Experts) inner(g *ggml.Graph, p product.Products, x *product.Grouped) *product.Grouped {
	gate, up, upRow := e.Gate, e.Up, int64(0)
	ff := e.Down.Weight.Ne(0)
	merged := e.GateUp.Weight != nil
	if merged {
		gate, up, upRow = e.GateUp, e.GateUp, ff
	}
	if e.Unit == nil && gate.Bias == nil && up.Bias == nil {
		return p.ExpertGateUp(g, gate.Weight, up.Weight, 0, upRow, ff, x)
	}
	var gates, ups *ggml.Tensor // [ff, pairs]
	switch {
	case merged:
		y := gate.ofPairs(g, x)
		gates, ups = g.View2D(y, ff, x.Pairs(), y.Nb(1), 0), g.View2D(y, ff, x.Pairs(), y.Nb(1), ff*y.Nb(0))
	case gate.Weight != nil:
		gates, ups = gate.ofPairs(g, x), up.ofPairs(g, x)
	default:
		ups = up.ofPairs(g, x)
	}
	return p.QuantiseGrouped(g, e.unit(g, gates, ups), x)
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
