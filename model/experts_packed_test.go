package model

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/product"
)

// Packed experts give what ggml's products give, and are computed by the device that has them.
func TestPackedExpertsEqualGGMLsProducts(t *testing.T) {
	w := makeExpertWeights()
	split := []string{"ffn_gate_inp.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight"}
	merged := []string{"ffn_gate_inp.weight", "ffn_gate_up_exps.weight", "ffn_down_exps.weight"}
	shared := []string{"ffn_gate_shexp.weight", "ffn_up_shexp.weight", "ffn_down_shexp.weight"}
	m := Mixture{Count: expertCount, Used: 2, Gating: Softmax, Normalize: true, Scale: 1}
	with := func(glu product.GLU) func(l *Loader) FeedForward {
		return func(l *Loader) FeedForward {
			e := l.Experts(m, expertHidden, expertFF)
			e.GLU = glu
			return e
		}
	}
	for _, test := range []struct {
		name    string
		load    func(l *Loader) FeedForward
		tensors []string
	}{
		{"split", with(SiLU), split},
		{"merged", with(SiLU), merged},
		{"GELU", with(GELU), merged},
		{"biased", with(ClampedSiLU), append(slices.Clone(split), "ffn_gate_exps.bias", "ffn_up_exps.bias", "ffn_down_exps.bias")},
		{"merged and biased", with(ClampedSiLU), append(slices.Clone(merged), "ffn_gate_up_exps.bias")},
		{"one of both is biased", with(GELU), append(slices.Clone(split), "ffn_up_exps.bias")},
		{"no gate", func(l *Loader) FeedForward {
			return l.UngatedExperts(m, expertHidden, expertHidden, expertFF, (*ggml.Graph).SquaredReLU)
		}, []string{"ffn_gate_inp.weight", "ffn_up_exps.weight", "ffn_down_exps.weight"}},
		{"shared", func(l *Loader) FeedForward {
			return l.SharedExpert(l.Experts(m, expertHidden, expertFF), expertHidden, expertFF)
		}, append(slices.Clone(split), shared...)},
	} {
		for _, typ := range []ggml.Type{ggml.Q8_0, ggml.Q4_0} {
			t.Run(fmt.Sprintf("%s of %v", test.name, typ), func(t *testing.T) {
				all := func(string) ggml.Type { return typ }
				want := forward(t, w.fileOf(t, all, nil, test.tensors...), test.load)
				b := testmodel.CPU(t, 2)
				p := product.On(b.Device(), isa.Go)
				packed := func(l *Loader) FeedForward {
					f := test.load(l)
					if l.found.weights[1].products == nil {
						t.Error("the experts are not to be packed")
					}
					return f
				}
				got := forwardOn(t, w.fileOf(t, all, nil, test.tensors...), Devices{Input: b, Output: b, Products: p}, packed)
				if best := product.On(b.Device(), isa.Best); best.Any() {
					machine := forwardOn(t, w.fileOf(t, all, nil, test.tensors...), Devices{Input: b, Output: b, Products: best}, packed)
					if !slices.Equal(machine, got) {
						t.Errorf("in machine code: %v, want %v", machine[:4], got[:4])
					}
				}
				other := testmodel.CPU(t, 2)
				away := Devices{Input: b, Output: b, Layers: []*ggml.Backend{b}, Experts: []*ggml.Backend{other}, Products: p}
				if elsewhere := forwardOn(t, w.fileOf(t, all, nil, test.tensors...), away, packed); !slices.Equal(elsewhere, got) {
					t.Errorf("elsewhere: %v, want %v", elsewhere[:4], got[:4])
				}
				diff, size := 0.0, 0.0
				for i := range want {
					diff += math.Pow(float64(got[i]-want[i]), 2)
					size += math.Pow(float64(want[i]), 2)
				}
				// Both round activations to 8 bits, in other units.
				if e := math.Sqrt(diff / size); !(e < 0.02) {
					t.Errorf("the relative error is %g", e)
				}
			})
		}
	}
}

// A mixture one of whose matrices has a type that ebb does not multiply by is ggml's as a whole.
func TestMixturesArePackedAsAWhole(t *testing.T) {
	w := makeExpertWeights()
	f := w.fileOf(t, func(name string) ggml.Type {
		if name == "ffn_down_exps.weight" {
			return ggml.F16
		}
		return ggml.Q8_0
	}, nil, "ffn_gate_inp.weight", "ffn_gate_up_exps.weight", "ffn_down_exps.weight")
	b := testmodel.CPU(t, 1)
	l := NewLoader(f, Devices{Input: b, Output: b, Products: product.On(b.Device(), isa.Go)}).Block(0)
	l.Experts(Mixture{Count: expertCount, Used: 2, Gating: Softmax, Scale: 1}, expertHidden, expertFF)
	for _, w := range l.found.weights {
		if w.packable() {
			t.Errorf("%s is to be packed", w.source.Name)
		}
	}
	l.found.meta.Close()
}
