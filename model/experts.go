package model

import (
	"math"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/product"
)

// Experts is a sparse mixture of experts (Shazeer et al., 2017; Fedus et al., 2021): a router gives
// each expert a weight for each token, the token goes through the few with the largest, and their
// results are added up by these weights.
type Experts struct {
	Mixture
	Router Linear       // [hidden, experts]
	Bias   *ggml.Tensor // [experts] added to the weights for choosing only (Wang et al., 2024), or nil
	GateUp ExpertLinear // [hidden, 2 × ff, experts], the gate's rows first; none where Gate and Up are apart
	Gate   ExpertLinear // [hidden, ff, experts]; none where experts have no gate
	Up     ExpertLinear // [hidden, ff, experts]
	Down   ExpertLinear // [ff, hidden, experts]

	// Scales are what each expert's result is multiplied by [experts]; nil: 1.
	Scales *ggml.Tensor

	// GLU is what stands between gate, up and down.
	GLU product.GLU
	// Ungated stands between up and down instead, where experts have no gate: it gives what is like up.
	Ungated func(g *ggml.Graph, up *ggml.Tensor) *ggml.Tensor

	// Elsewhere computes the experts, whose matrices are there, while the layer's device routes; nil:
	// the layer's device computes them too.
	Elsewhere *ggml.Backend
}

// ExpertLinear is a matrix product for each expert, with a bias added where there is one.
type ExpertLinear struct {
	Weight   *ggml.Tensor      // [in, out, experts]
	Bias     *ggml.Tensor      // [out, experts] or nil
	products *product.Products // how it is multiplied by where it was packed, else zero; nil: by ggml
}

// Forward returns the products of x [in, 1 or used, tokens] with each token's experts, ids [used,
// tokens]: [out, used, tokens].
func (l ExpertLinear) Forward(g *ggml.Graph, x, ids *ggml.Tensor) *ggml.Tensor {
	y := g.MulMatID(l.Weight, x, ids)
	if l.Bias != nil {
		y = g.AddID(y, l.Bias, ids)
	}
	return y
}

// Gating is how the weights of experts follow from the router's scores, with the numbers of GGUF
// files.
type Gating int

// The ways of gating.
const (
	Softmax         Gating = 1 // over all experts
	Sigmoid         Gating = 2 // of each expert
	SoftmaxOfChosen Gating = 3 // over those that the token goes through
)

// Mixture says how many experts there are, and how they are chosen and weighted.
type Mixture struct {
	Count     int // of experts
	Used      int // by each token
	Gating    Gating
	Normalize bool    // the weights of a token's experts are divided by their sum
	Scale     float32 // of the weights
}

// Bounds of mixtures: far above those of all models, and low enough that what products of matrices
// by expert need for themselves fits any memory.
const (
	maxExperts     = 1024
	maxExpertsUsed = 64
)

// Mixtures returns the mixture of each layer, zero where the file has no experts. byDefault is what
// the architecture does where the file does not say.
func (l *Loader) Mixtures(layers int, byDefault Mixture) []Mixture {
	all := make([]Mixture, layers)
	count, _ := get(l, "expert_count", l.file.Int)
	if count == 0 {
		return all
	}
	m := Mixture{
		Count:     l.count("expert_count", count),
		Gating:    Gating(l.IntOr("expert_gating_func", int(byDefault.Gating))),
		Normalize: l.BoolOr("expert_weights_norm", byDefault.Normalize),
		Scale:     l.FactorOr("expert_weights_scale", 1),
	}
	l.Check(m.Count <= maxExperts, "metadata %s is %d: want at most %d", l.key("expert_count"), m.Count, maxExperts)
	l.Check(m.Gating >= Softmax && m.Gating <= SoftmaxOfChosen,
		"metadata %s is %d, which is not supported: want 1 (softmax), 2 (sigmoid) or 3 (softmax of the chosen)", l.key("expert_gating_func"), m.Gating)
	most := min(m.Count, maxExpertsUsed)
	for i, used := range l.IntByLayer("expert_used_count", layers) {
		l.Check(used <= most, "metadata %s is %d: want at most %d, of %d experts", l.key("expert_used_count"), used, most, m.Count)
		all[i] = m
		all[i].Used = used
	}
	return all
}

// ExpertWidths returns the width of each layer's experts: that of all of a token's experts together
// is feed_forward_length where the file has no other.
func (l *Loader) ExpertWidths(layers int) []int {
	const name = "expert_feed_forward_length"
	if _, there := l.file.Value(l.key(name)); there {
		l.found.keys["feed_forward_length"] = true // no layer need have one network
		return l.IntByLayer(name, layers)
	}
	all, used := l.IntByLayer("feed_forward_length", layers), l.IntByLayer("expert_used_count", layers)
	for i := range all {
		all[i] /= max(used[i], 1)
	}
	return all
}

// LeadingDense returns how many of the first layers have one feed-forward network and no experts.
func (l *Loader) LeadingDense(layers int) int { return l.UpTo("leading_dense_block_count", layers) }

// Experts returns a layer's mixture: the router ffn_gate_inp, exp_probs_b.bias if the file has it,
// and the experts ffn_gate_exps, ffn_up_exps and ffn_down_exps, of which the first two may be one
// tensor, ffn_gate_up_exps; with their biases. The gated linear unit is SiLU.
func (l *Loader) Experts(m Mixture, hidden, ff int) Experts {
	e := l.routed(m, hidden, hidden, ff)
	if name := "ffn_gate_up_exps"; l.Has(name + ".weight") {
		e.GateUp = l.experts(name, hidden, 2*ff, m.Count)
		return e
	}
	e.Gate, e.Up = l.experts("ffn_gate_exps", hidden, ff, m.Count), l.experts("ffn_up_exps", hidden, ff, m.Count)
	return e
}

// UngatedExperts is Experts for experts without a gate, of vectors of another width than those that the
// router reads. between stands between ffn_up_exps and ffn_down_exps.
func (l *Loader) UngatedExperts(m Mixture, hidden, width, ff int, between func(g *ggml.Graph, up *ggml.Tensor) *ggml.Tensor) Experts {
	e := l.routed(m, hidden, width, ff)
	e.Ungated = between
	e.Up = l.experts("ffn_up_exps", width, ff, m.Count)
	return e
}

// routed returns what mixtures have of all kinds of experts.
func (l *Loader) routed(m Mixture, hidden, width, ff int) Experts {
	e := Experts{
		Mixture:   m,
		Router:    l.Linear("ffn_gate_inp", hidden, m.Count),
		Down:      l.experts("ffn_down_exps", ff, width, m.Count),
		Elsewhere: l.elsewhere,
	}
	if name := "exp_probs_b.bias"; l.Has(name) {
		e.Bias = l.Vector(name, m.Count)
	}
	return e
}

// experts returns the matrices name.weight [in, out, experts], and name.bias [out, experts] if there
// are any. They are packed where that is possible.
func (l *Loader) experts(name string, in, out, experts int) ExpertLinear {
	e := l.ofExperts()
	source, ok := e.source(name+".weight", in, out, experts)
	if !ok {
		return ExpertLinear{}
	}
	weight := e.find(source, []ggml.Op{ggml.OpMulMatID})
	if weight.products == nil && e.packsExperts() {
		weight.products = new(product.Products)
	}
	w := ExpertLinear{Weight: weight.tensor, products: weight.products}
	if e.Has(name + ".bias") {
		w.Bias = e.floats(name+".bias", out, experts)
	}
	return w
}

// ofExperts returns a loader for the weights of a layer's experts, on the device that computes them.
func (l *Loader) ofExperts() *Loader {
	e := *l
	if l.elsewhere != nil {
		e.backend = l.elsewhere
	}
	return &e
}

// Forward maps x [hidden, tokens] to the same shape.
func (e Experts) Forward(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	return e.ForwardRouted(g, x, x)
}

// ForwardRouted is Forward where the router reads something else, routed [hidden, tokens].
func (e Experts) ForwardRouted(g *ggml.Graph, x, routed *ggml.Tensor) *ggml.Tensor {
	return e.forward(g, &input{x: x}, routed)
}

// forward is ForwardRouted for an input that other matrices may share.
func (e Experts) forward(g *ggml.Graph, in *input, routed *ggml.Tensor) *ggml.Tensor {
	chosen, weights := e.route(g, routed) // [used, tokens], [1, used, tokens]
	if e.Elsewhere == nil {
		return e.mix(g, in, chosen, weights)
	}
	mix := func(g *ggml.Graph, received []*ggml.Tensor) *ggml.Tensor {
		return e.mix(g, &input{x: received[0]}, received[1], received[2])
	}
	return g.DetourTo(e.Elsewhere, in.x, mix, in.x, chosen, weights)
}

// mix adds up what the chosen experts make of the input [hidden, tokens], by their weights. Chosen are
// [used, tokens], weights [1, used, tokens]; the result is like the input.
func (e Experts) mix(g *ggml.Graph, in *input, chosen, weights *ggml.Tensor) *ggml.Tensor {
	if e.Down.packed() {
		return e.mixPacked(g, in, chosen, weights)
	}
	x, tokens := in.x, in.x.Ne(1)
	gate, up := e.gateUp(g, g.Reshape3D(x, x.Ne(0), 1, tokens), chosen)
	y := g.Reshape3D(e.between(g, gate, up), up.Ne(0), int64(e.Used), tokens)
	y = e.Down.Forward(g, y, chosen) // [hidden, used, tokens]
	y = g.Mul(y, weights)
	of := func(i int) *ggml.Tensor { return g.View2D(y, y.Ne(0), tokens, y.Nb(2), int64(i)*y.Nb(1)) }
	if e.Used == 1 {
		return g.Cont(of(0))
	}
	sum := g.Add(of(0), of(1))
	for i := 2; i < e.Used; i++ {
		sum = g.Add(sum, of(i))
	}
	return sum
}

// route chooses experts for each token of x: their numbers [used, tokens], and their weights [1,
// used, tokens].
func (e Experts) route(g *ggml.Graph, x *ggml.Tensor) (chosen, weights *ggml.Tensor) {
	scores, tokens := e.Router.Forward(g, x), x.Ne(1) // [experts, tokens]
	probabilities := scores
	switch e.Gating {
	case Softmax:
		probabilities = g.SoftMax(scores, nil, 1)
	case Sigmoid:
		probabilities = g.Sigmoid(scores)
	}
	ranks := probabilities
	if e.Bias != nil {
		ranks = g.Add(probabilities, e.Bias)
	}
	chosen = g.TopK(ranks, e.Used)
	weights = g.GetRows(g.Reshape3D(probabilities, 1, int64(e.Count), tokens), chosen)
	if e.Gating == SoftmaxOfChosen {
		weights = g.SoftMax(g.Reshape2D(weights, int64(e.Used), tokens), nil, 1)
		weights = g.Reshape3D(weights, 1, int64(e.Used), tokens)
	}
	if e.Normalize {
		const least = 1.0 / (1 << 14) // keeps the quotient finite; llama.cpp's
		weights = g.Reshape2D(weights, int64(e.Used), tokens)
		weights = g.Div(weights, g.Clamp(g.SumRows(weights), least, float32(math.Inf(1))))
		weights = g.Reshape3D(weights, 1, int64(e.Used), tokens)
	}
	if e.Scale != 1 {
		weights = g.Scale(weights, e.Scale)
	}
	g.Expand(weights) // devices compute routing as one operation where it stands together
	if e.Scales != nil {
		none := g.Scale(weights, 0) // [1, used, tokens]
		weights = g.Mul(weights, g.AddID(none, g.Reshape2D(e.Scales, 1, int64(e.Count)), chosen))
	}
	return chosen, weights
}

// between returns what the down matrices are multiplied by. gate is nil where there is none.
func (e Experts) between(g *ggml.Graph, gate, up *ggml.Tensor) *ggml.Tensor {
	if e.Ungated != nil {
		return e.Ungated(g, up)
	}
	return applyGLU(g, e.GLU, gate, up)
}

// gateUp returns what the chosen experts' gate and up matrices make of x [hidden, 1, tokens]: [ff,
// used, tokens] each, or [ff, used × tokens] where they are one matrix. gate is nil where there is none.
func (e Experts) gateUp(g *ggml.Graph, x, chosen *ggml.Tensor) (gate, up *ggml.Tensor) {
	if e.GateUp.Weight == nil && e.Gate.Weight == nil {
		return nil, e.Up.Forward(g, x, chosen)
	}
	if e.GateUp.Weight == nil {
		return e.Gate.Forward(g, x, chosen), e.Up.Forward(g, x, chosen)
	}
	y := e.GateUp.Forward(g, x, chosen) // [2 × ff, used, tokens]
	ff := y.Ne(0) / 2
	half := func(i int64) *ggml.Tensor { return g.View2D(y, ff, y.Ne(1)*y.Ne(2), y.Nb(1), i*ff*y.Nb(0)) }
	return half(0), half(1)
}

// SharedExpert is an expert that all tokens go through beside those that a router chooses (Dai et
// al., 2024).
type SharedExpert struct {
	Experts
	Shared SwiGLU
	Gate   *ggml.Tensor // [hidden]: the sigmoid of its product with a token weights the shared expert; nil: 1
}

// SharedExpert returns a layer's experts with the shared one: ffn_gate_shexp, ffn_up_shexp and
// ffn_down_shexp, and its gate ffn_gate_inp_shexp if the file has it.
func (l *Loader) SharedExpert(e Experts, hidden, ff int) SharedExpert {
	s := SharedExpert{Experts: e, Shared: l.SwiGLU("_shexp", hidden, ff)}
	if name := "ffn_gate_inp_shexp.weight"; l.Has(name) {
		s.Gate = l.tensor(name, []ggml.Op{ggml.OpMulMat}, hidden)
	}
	return s
}

// Forward maps x [hidden, tokens] to the same shape.
func (s SharedExpert) Forward(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	in := &input{x: x}
	chosen, shared := s.forward(g, in, x), s.Shared.forward(g, in, nil)
	if s.Gate != nil {
		shared = g.Mul(shared, g.Sigmoid(g.MulMat(s.Gate, x))) // [hidden, tokens] × [1, tokens]
	}
	return g.Add(chosen, shared)
}
