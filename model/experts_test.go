package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

// The shape of the tests' mixtures.
const (
	expertHidden = 32
	expertFF     = 64
	expertCount  = 5
	expertTokens = 7
)

// expertWeights are the weights of one layer, by tensor, made of sines.
type expertWeights map[string][]float32

func makeExpertWeights() expertWeights {
	w := expertWeights{}
	for seed, t := range []struct {
		name string
		n    int
	}{
		{"ffn_gate_inp.weight", expertHidden * expertCount},
		{"exp_probs_b.bias", expertCount},
		{"ffn_gate_exps.weight", expertHidden * expertFF * expertCount},
		{"ffn_up_exps.weight", expertHidden * expertFF * expertCount},
		{"ffn_down_exps.weight", expertHidden * expertFF * expertCount},
		{"ffn_gate_shexp.weight", expertHidden * expertFF},
		{"ffn_up_shexp.weight", expertHidden * expertFF},
		{"ffn_down_shexp.weight", expertHidden * expertFF},
		{"ffn_gate_inp_shexp.weight", expertHidden},
		{"ffn_gate_exps.bias", expertFF * expertCount},
		{"ffn_up_exps.bias", expertFF * expertCount},
		{"ffn_down_exps.bias", expertHidden * expertCount},
		{"ffn_down_exps.scale", expertCount},
	} {
		w[t.name] = sines(seed, t.n)
	}
	return w
}

func sines(seed, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(math.Sin(float64(i*i%1009) + 100*float64(seed)))
	}
	return s
}

// file returns a file with metadata and some of the weights.
func (w expertWeights) file(t *testing.T, meta []gguf.KV, names ...string) *gguf.File {
	t.Helper()
	return w.fileOf(t, func(string) ggml.Type { return ggml.F32 }, meta, names...)
}

// fileOf is file with types for the experts' matrices.
func (w expertWeights) fileOf(t *testing.T, typeOf func(name string) ggml.Type, meta []gguf.KV, names ...string) *gguf.File {
	t.Helper()
	shapes := map[string][]int64{
		"ffn_gate_inp.weight": {expertHidden, expertCount}, "exp_probs_b.bias": {expertCount},
		"ffn_gate_exps.weight": {expertHidden, expertFF, expertCount}, "ffn_up_exps.weight": {expertHidden, expertFF, expertCount},
		"ffn_gate_up_exps.weight": {expertHidden, 2 * expertFF, expertCount}, "ffn_down_exps.weight": {expertFF, expertHidden, expertCount},
		"ffn_gate_shexp.weight": {expertHidden, expertFF}, "ffn_up_shexp.weight": {expertHidden, expertFF},
		"ffn_down_shexp.weight": {expertFF, expertHidden}, "ffn_gate_inp_shexp.weight": {expertHidden},
		"ffn_gate_exps.bias": {expertFF, expertCount}, "ffn_up_exps.bias": {expertFF, expertCount}, "ffn_down_exps.bias": {expertHidden, expertCount},
		"ffn_gate_up_exps.bias": {2 * expertFF, expertCount},
		"ffn_down_exps.scale":   {expertCount},
	}
	var tensors []gguf.TensorData
	for _, name := range names {
		values := w[name]
		if what, ok := strings.CutPrefix(name, "ffn_gate_up_exps"); ok {
			gate, up := w["ffn_gate_exps"+what], w["ffn_up_exps"+what]
			values = nil
			n := len(gate) / expertCount
			for e := range expertCount {
				values = append(append(values, gate[e*n:][:n]...), up[e*n:][:n]...)
			}
		}
		var data []byte
		for _, x := range values {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
		}
		of := ggml.F32
		if strings.HasSuffix(name, "_exps.weight") {
			of = typeOf(name)
		}
		if of != ggml.F32 {
			var err error
			if data, err = ggml.Quantize(of, values, shapes[name][0]); err != nil {
				t.Fatal(err)
			}
		}
		tensors = append(tensors, gguf.TensorData{Name: "blk.0." + name, Type: gguf.Type(of), Shape: shapes[name], Data: data})
	}
	var b bytes.Buffer
	if err := gguf.Write(&b, append([]gguf.KV{{Key: "general.architecture", Value: "test"}}, meta...), tensors); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// times returns the products of x with the rows of matrix number e.
func times(w, x []float32, e int) []float64 {
	rows := len(w) / len(x)
	if e >= 0 {
		rows = len(w) / expertCount / len(x)
		w = w[e*rows*len(x):]
	}
	y := make([]float64, rows)
	for r := range y {
		for i := range x {
			y[r] += float64(w[r*len(x)+i]) * float64(x[i])
		}
	}
	return y
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// swiGLU is one expert, or with e = -1 the shared one.
func (w expertWeights) swiGLU(suffix string, x []float32, e int, biased bool) []float64 {
	product := func(name string, x []float32) []float64 {
		y := times(w[name+suffix+".weight"], x, e)
		for i := range y {
			if biased {
				y[i] += float64(w[name+suffix+".bias"][e*len(y)+i])
			}
		}
		return y
	}
	gate, up := product("ffn_gate", x), product("ffn_up", x)
	h := make([]float32, len(gate))
	for i := range h {
		h[i] = float32(gate[i] * sigmoid(gate[i]) * up[i])
	}
	return product("ffn_down", h)
}

// mixture says in plain Go what a mixture computes for one token, with a bias for choosing, and with
// biased experts.
func (w expertWeights) mixture(m Mixture, bias, biased bool, x []float32) []float64 {
	weights := times(w["ffn_gate_inp.weight"], x, -1)
	sum := 0.0
	for i := range weights {
		if m.Gating == Sigmoid {
			weights[i] = sigmoid(weights[i])
		} else {
			weights[i] = math.Exp(weights[i])
			sum += weights[i]
		}
	}
	ranks := make([]float64, len(weights))
	order := make([]int, len(weights))
	for i := range weights {
		if m.Gating == Softmax {
			weights[i] /= sum
		}
		order[i], ranks[i] = i, weights[i]
		if bias {
			ranks[i] += float64(w["exp_probs_b.bias"][i])
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		if ranks[a] > ranks[b] {
			return -1
		}
		return 1
	})
	total := 1.0
	if m.Normalize || m.Gating == SoftmaxOfChosen {
		total = 0
		for _, e := range order[:m.Used] {
			total += weights[e]
		}
	}
	y := make([]float64, len(x))
	for _, e := range order[:m.Used] {
		for i, v := range w.swiGLU("_exps", x, e, biased) {
			y[i] += v * weights[e] / total * float64(m.Scale)
		}
	}
	return y
}

// forward computes a feed-forward that load makes, for the tests' tokens.
func forward(t *testing.T, f *gguf.File, load func(*Loader) FeedForward) []float32 {
	t.Helper()
	b := testmodel.CPU(t, 2)
	return forwardOn(t, f, Devices{Input: b, Output: b}, load)
}

// forwardOn computes it on the first device and, where that makes a detour, on another.
func forwardOn(t *testing.T, f *gguf.File, devices Devices, load func(*Loader) FeedForward) []float32 {
	t.Helper()
	b := devices.Input
	l := NewLoader(f, devices).Block(0)
	network := load(l)
	w, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	meta := ggml.NewContext(4)
	defer meta.Close()
	place := func(b *ggml.Backend, x *ggml.Tensor) {
		memory, err := b.Alloc(b.BufferType(), b.BufferType().AllocSize(x), ggml.Activations)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(memory.Close)
		memory.Place(x, 0)
	}
	x := meta.New(ggml.F32, expertHidden, expertTokens)
	place(b, x)
	ggml.SetSlice(x, sines(99, expertHidden*expertTokens), 0)
	g, scratch := b.NewGraph(64), b.NewScratch()
	defer scratch.Close()
	defer g.Close()
	y := network.Forward(g, x)
	g.Expand(y)
	g.Output(y)
	d, start := g.Detour(), 0
	if d != nil {
		place(b, d.Result)
	}
	if _, err := scratch.Alloc(g); err != nil {
		t.Fatal(err)
	}
	if d != nil {
		if err := b.Compute(g.Part(0, d.After)); err != nil {
			t.Fatal(err)
		}
		start = d.After
		detour(t, d, meta, place)
	}
	if start < g.Nodes() {
		if err := b.Compute(g.Part(start, g.Nodes())); err != nil {
			t.Fatal(err)
		}
	}
	values := make([]float32, expertHidden*expertTokens)
	ggml.GetSlice(y, values, 0)
	return values
}

// detour computes a graph's detour.
func detour(t *testing.T, d *ggml.Detour, meta *ggml.Context, place func(*ggml.Backend, *ggml.Tensor)) {
	t.Helper()
	var received []*ggml.Tensor
	for _, from := range d.Sent {
		to := meta.New(from.Type(), from.Ne(0), from.Ne(1), from.Ne(2))
		place(d.Backend, to)
		row, rows := to.Nb(1), to.Ne(1)*to.Ne(2)
		data := make([]byte, row*rows)
		from.Get2D(data, 0, row, int(rows), from.Nb(1), row)
		to.Set(data, 0)
		received = append(received, to)
	}
	g, scratch := d.Backend.NewGraph(64), d.Backend.NewScratch()
	defer scratch.Close()
	defer g.Close()
	y := d.Build(g, received)
	g.Expand(y)
	if _, err := scratch.Alloc(g); err != nil {
		t.Fatal(err)
	}
	if err := d.Backend.Compute(g); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, y.Bytes())
	y.Get(data, 0)
	d.Result.Set(data, 0)
}

func TestExpertsElsewhereGiveTheSameBitsAndTakeTheirWeightsThere(t *testing.T) {
	w := makeExpertWeights()
	tensors := []string{
		"ffn_gate_inp.weight", "ffn_gate_up_exps.weight", "ffn_down_exps.weight", "ffn_down_exps.bias", "exp_probs_b.bias",
		"ffn_gate_shexp.weight", "ffn_up_shexp.weight", "ffn_down_shexp.weight",
	}
	m := Mixture{Count: expertCount, Used: 2, Gating: Sigmoid, Normalize: true, Scale: 1.5}
	load := func(l *Loader) FeedForward {
		return l.SharedExpert(l.Experts(m, expertHidden, expertFF), expertHidden, expertFF)
	}
	want := forward(t, w.file(t, nil, tensors...), load)
	layer, other := testmodel.CPU(t, 2), testmodel.CPU(t, 2)
	devices := Devices{Input: layer, Output: layer, Layers: []*ggml.Backend{layer}, Experts: []*ggml.Backend{other}}
	if got := forwardOn(t, w.file(t, nil, tensors...), devices, load); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got[:4], want[:4])
	}
	const experts = (3*expertHidden*expertFF + expertHidden) * expertCount * 4
	if got := other.Usage().Peak[ggml.Weights]; got != experts {
		t.Errorf("%d bytes of weights beside the layer's device, want %d: those of the experts", got, experts)
	}
	const rest = (expertHidden*expertCount + expertCount + 3*expertHidden*expertFF) * 4
	if got := layer.Usage().Peak[ggml.Weights]; got < rest || got >= rest+experts {
		t.Errorf("%d bytes of weights on the layer's device, want %d: all but the experts'", got, rest)
	}
}

func TestExpertsEqualTheirDefinition(t *testing.T) {
	w := makeExpertWeights()
	split := []string{"ffn_gate_inp.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight"}
	merged := []string{"ffn_gate_inp.weight", "ffn_gate_up_exps.weight", "ffn_down_exps.weight"}
	biased := append(slices.Clone(split), "ffn_gate_exps.bias", "ffn_up_exps.bias", "ffn_down_exps.bias")
	for _, test := range []struct {
		mixture Mixture
		tensors []string
	}{
		{Mixture{Used: 2, Gating: Softmax, Normalize: true, Scale: 1}, split},
		{Mixture{Used: 2, Gating: Softmax, Normalize: true, Scale: 1}, merged},
		{Mixture{Used: 3, Gating: Softmax, Scale: 1}, split},
		{Mixture{Used: 3, Gating: Softmax, Scale: 1}, biased},
		{Mixture{Used: 2, Gating: SoftmaxOfChosen, Scale: 1}, biased},
		{Mixture{Used: 1, Gating: SoftmaxOfChosen, Scale: 1}, split},
		{Mixture{Used: 1, Gating: Softmax, Scale: 1}, split},
		{Mixture{Used: 1, Gating: Softmax, Scale: 1}, merged},
		{Mixture{Used: 5, Gating: Softmax, Scale: 2.5}, split},
		{Mixture{Used: 2, Gating: Sigmoid, Normalize: true, Scale: 1.5}, split},
		{Mixture{Used: 2, Gating: Sigmoid, Normalize: true, Scale: 1.5}, append(slices.Clone(split), "exp_probs_b.bias")},
	} {
		test.mixture.Count = expertCount
		t.Run(fmt.Sprintf("%+v of %d tensors", test.mixture, len(test.tensors)), func(t *testing.T) {
			got := forward(t, w.file(t, nil, test.tensors...), func(l *Loader) FeedForward {
				return l.Experts(test.mixture, expertHidden, expertFF)
			})
			bias, biased := slices.Contains(test.tensors, "exp_probs_b.bias"), slices.Contains(test.tensors, "ffn_up_exps.bias")
			for token := range expertTokens {
				x := sines(99, expertHidden*expertTokens)[token*expertHidden:][:expertHidden]
				for i, want := range w.mixture(test.mixture, bias, biased, x) {
					if d := math.Abs(float64(got[token*expertHidden+i]) - want); d > 1e-4*max(1, math.Abs(want)) {
						t.Fatalf("token %d: got %g, want %g", token, got[token*expertHidden+i], want)
					}
				}
			}
		})
	}
}

// routed is a mixture whose router reads a third of its input, and whose experts have scales.
type routed struct{ Experts }

func (r routed) Forward(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	return r.ForwardRouted(g, x, g.Scale(x, 1.0/3))
}

func TestARouterMayReadAnotherInputAndExpertsMayHaveScales(t *testing.T) {
	w := makeExpertWeights()
	m := Mixture{Count: expertCount, Used: 3, Gating: Softmax, Normalize: true, Scale: 1}
	tensors := []string{"ffn_gate_inp.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight", "ffn_down_exps.scale"}
	got := forward(t, w.file(t, nil, tensors...), func(l *Loader) FeedForward {
		e := l.Experts(m, expertHidden, expertFF)
		e.Scales = l.Vector("ffn_down_exps.scale", expertCount)
		return routed{e}
	})
	for i := range w["ffn_gate_inp.weight"] { // the router's product is linear
		w["ffn_gate_inp.weight"][i] /= 3
	}
	for e, scale := range w["ffn_down_exps.scale"] { // and so is the last one of an expert
		for i := range expertFF * expertHidden {
			w["ffn_down_exps.weight"][e*expertFF*expertHidden+i] *= scale
		}
	}
	for token := range expertTokens {
		x := sines(99, expertHidden*expertTokens)[token*expertHidden:][:expertHidden]
		for i, want := range w.mixture(m, false, false, x) {
			if d := math.Abs(float64(got[token*expertHidden+i]) - want); d > 1e-4*max(1, math.Abs(want)) {
				t.Fatalf("token %d: got %g, want %g", token, got[token*expertHidden+i], want)
			}
		}
	}
}

func TestASharedExpertIsAddedWithItsGate(t *testing.T) {
	w := makeExpertWeights()
	m := Mixture{Count: expertCount, Used: 2, Gating: Softmax, Normalize: true, Scale: 1}
	tensors := []string{
		"ffn_gate_inp.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight",
		"ffn_gate_shexp.weight", "ffn_up_shexp.weight", "ffn_down_shexp.weight",
	}
	for _, gated := range []bool{false, true} {
		if gated {
			tensors = append(tensors, "ffn_gate_inp_shexp.weight")
		}
		got := forward(t, w.file(t, nil, tensors...), func(l *Loader) FeedForward {
			return l.SharedExpert(l.Experts(m, expertHidden, expertFF), expertHidden, expertFF)
		})
		for token := range expertTokens {
			x := sines(99, expertHidden*expertTokens)[token*expertHidden:][:expertHidden]
			gate := 1.0
			if gated {
				gate = sigmoid(times(w["ffn_gate_inp_shexp.weight"], x, -1)[0])
			}
			shared := w.swiGLU("_shexp", x, -1, false)
			for i, want := range w.mixture(m, false, false, x) {
				want += gate * shared[i]
				if d := math.Abs(float64(got[token*expertHidden+i]) - want); d > 1e-4*max(1, math.Abs(want)) {
					t.Fatalf("gate %v, token %d: got %g, want %g", gated, token, got[token*expertHidden+i], want)
				}
			}
		}
	}
}

func TestMixturesThatMakeNoSenseAreErrors(t *testing.T) {
	b := testmodel.CPU(t, 1)
	key := func(name string, value any) gguf.KV { return gguf.KV{Key: "test." + name, Value: value} }
	for _, test := range []struct {
		meta []gguf.KV
		want string
	}{
		{[]gguf.KV{key("expert_count", uint32(5)), key("expert_used_count", uint32(6))}, "test.expert_used_count is 6: want at most 5, of 5 experts"},
		{[]gguf.KV{key("expert_count", uint32(500)), key("expert_used_count", uint32(65))}, "test.expert_used_count is 65: want at most 64, of 500 experts"},
		{[]gguf.KV{key("expert_count", uint32(5)), key("expert_used_count", uint32(0))}, "test.expert_used_count is 0: want a whole number from 1"},
		{[]gguf.KV{key("expert_count", uint32(5))}, "test.expert_used_count is missing"},
		{[]gguf.KV{key("expert_count", int64(-3)), key("expert_used_count", uint32(2))}, "test.expert_count is -3: want a whole number from 1"},
		{[]gguf.KV{key("expert_count", int64(1<<40)), key("expert_used_count", uint32(2))}, "test.expert_count is 1099511627776: want a whole number"},
		{[]gguf.KV{key("expert_count", uint32(1025)), key("expert_used_count", uint32(2))}, "test.expert_count is 1025: want at most 1024"},
		{[]gguf.KV{key("expert_count", uint32(5)), key("expert_used_count", []uint32{2, 2})}, "test.expert_used_count has 2 numbers: want one for each of the 3 layers"},
		{
			[]gguf.KV{key("expert_count", uint32(5)), key("expert_used_count", uint32(2)), key("expert_gating_func", uint32(4))},
			"test.expert_gating_func is 4, which is not supported: want 1 (softmax), 2 (sigmoid) or 3 (softmax of the chosen)",
		},
		{
			[]gguf.KV{key("expert_count", uint32(5)), key("expert_used_count", uint32(2)), key("expert_weights_scale", math.NaN())},
			"test.expert_weights_scale is float64 NaN: want a finite number",
		},
	} {
		l := NewLoader(makeExpertWeights().file(t, test.meta, "ffn_gate_inp.weight"), Devices{Input: b, Output: b})
		l.Mixtures(3, Mixture{Gating: Softmax})
		w, err := l.Load()
		if err == nil {
			err = w.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got the error %v, want one that contains %q", test.meta, err, test.want)
		}
	}
}

func TestExpertsOfAnotherShapeAreAnError(t *testing.T) {
	b := testmodel.CPU(t, 1)
	f := makeExpertWeights().file(t, nil, "ffn_gate_inp.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight")
	l := NewLoader(f, Devices{Input: b, Output: b}).Block(0)
	l.Experts(Mixture{Count: 6, Used: 2, Gating: Softmax, Scale: 1}, expertHidden, expertFF)
	_, err := l.Load()
	for _, want := range []string{
		"tensor blk.0.ffn_gate_inp.weight has the shape [32 5]: want [32 6]", "tensor blk.0.ffn_down_exps.weight is missing",
		"tensor blk.0.ffn_up_exps.weight has the shape [32 64 5]: want [32 64 6]",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got the error %v, want one that contains %q", err, want)
		}
	}
}
