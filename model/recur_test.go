package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

const recurHidden = 8

// recurrent is a layer of a few heads with random weights.
type recurrent struct {
	forward func(g *ggml.Graph, x *ggml.Tensor, recur Recur) *ggml.Tensor
	state   State
}

// randomTensors returns a file with f32 tensors of these shapes. Decays are negative.
func randomTensors(t *testing.T, shapes map[string][]int64) *gguf.File {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var tensors []gguf.TensorData
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		shape, n := shapes[name], int64(1)
		for _, d := range shape {
			n *= d
		}
		var data []byte
		for range n {
			v := random.Float64() - 0.5
			if name == "ssm_a" {
				v = -1 - v
			}
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(v)))
		}
		tensors = append(tensors, gguf.TensorData{Name: name, Type: gguf.F32, Shape: shape, Data: data})
	}
	var b bytes.Buffer
	if err := gguf.Write(&b, []gguf.KV{{Key: "general.architecture", Value: "test"}}, tensors); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// deltaOf returns a gated delta net of a shape, whose weights live until the test ends.
func deltaOf(t *testing.T, b *ggml.Backend, s DeltaShape) recurrent {
	size, heads, channels := int64(s.Size), int64(s.Heads), int64(s.Channels())
	l := NewLoader(randomTensors(t, map[string][]int64{
		"attn_qkv.weight": {recurHidden, channels}, "attn_gate.weight": {recurHidden, size * heads},
		"ssm_alpha.weight": {recurHidden, heads}, "ssm_beta.weight": {recurHidden, heads},
		"ssm_conv1d.weight": {int64(s.Kernel), channels}, "ssm_dt.bias": {heads}, "ssm_a": {heads},
		"ssm_norm.weight": {size}, "ssm_out.weight": {size * heads, recurHidden},
	}), Devices{Input: b, Output: b})
	d := l.DeltaNet(s, recurHidden, 1e-6)
	loadFor(t, l)
	return recurrent{d.Forward, s.State()}
}

// mambaOf returns a layer of Mamba-2 of a shape, whose weights live until the test ends.
func mambaOf(t *testing.T, b *ggml.Backend, s Mamba2Shape) recurrent {
	inner, heads, groups, channels := int64(s.Inner), int64(s.Heads), int64(s.Groups), int64(s.channels())
	l := NewLoader(randomTensors(t, map[string][]int64{
		"ssm_in.weight":     {recurHidden, inner + channels + heads},
		"ssm_conv1d.weight": {int64(s.Kernel), channels}, "ssm_conv1d.bias": {channels},
		"ssm_dt.bias": {heads}, "ssm_a": {1, heads}, "ssm_d": {1, heads},
		"ssm_norm.weight": {inner / groups, groups}, "ssm_out.weight": {inner, recurHidden},
	}), Devices{Input: b, Output: b})
	m := l.Mamba2(s, recurHidden, 1e-6)
	loadFor(t, l)
	return recurrent{m.Forward, s.State()}
}

// loadFor gives the weights that a loader was asked for their memory until the test ends.
func loadFor(t *testing.T, l *Loader) {
	t.Helper()
	w, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

// stateValues are the states of some sequences.
type stateValues struct{ memory, inputs []float32 }

// step computes tokens of some sequences, x [hidden, tokens, sequences], from their states: the result
// like x, and the states after each of the last tokens.
func (r recurrent) step(t *testing.T, b *ggml.Backend, x []float32, from stateValues, tokens, seqs, keep int) (y []float32, to []stateValues) {
	t.Helper()
	meta := ggml.NewContext(3)
	defer meta.Close()
	memory, err := b.Alloc(b.BufferType(), 1<<16, ggml.Activations)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	at := int64(0)
	place := func(values []float32, ne ...int64) *ggml.Tensor {
		tensor := meta.New(ggml.F32, ne...)
		memory.Place(tensor, at)
		at += (tensor.Bytes() + 63) / 64 * 64
		ggml.SetSlice(tensor, values, 0)
		return tensor
	}
	n := int64(seqs)
	in := place(x, recurHidden, int64(tokens)*n)
	states := States{place(from.memory, int64(r.state.Memory), n), place(from.inputs, int64(r.state.Inputs), n)}

	g, scratch := b.NewGraph(128), b.NewScratch()
	defer scratch.Close()
	defer g.Close()
	var after []States
	out := r.forward(g, in, func(inputs []*ggml.Tensor, mix Mix) *ggml.Tensor {
		these := make([]*ggml.Tensor, len(inputs))
		for i, t := range inputs {
			these[i] = g.View3D(t, t.Ne(0), int64(tokens), n, t.Nb(1), int64(tokens)*t.Nb(1), 0)
		}
		y, to := mix(states, these, keep)
		for _, s := range to {
			s = States{g.Cont(s.Memory), g.Cont(s.Inputs)}
			g.Expand(s.Memory)
			g.Expand(s.Inputs)
			g.Output(s.Memory)
			g.Output(s.Inputs)
			after = append(after, s)
		}
		return y
	})
	g.Expand(out)
	g.Output(out)
	if _, err := scratch.Alloc(g); err != nil {
		t.Fatal(err)
	}
	if err := b.Compute(g); err != nil {
		t.Fatal(err)
	}
	values := func(t *ggml.Tensor) []float32 {
		all := make([]float32, t.Elements())
		ggml.GetSlice(t, all, 0)
		return all
	}
	for _, s := range after {
		to = append(to, stateValues{values(s.Memory), values(s.Inputs)})
	}
	return values(out), to
}

// Two sequences computed at once, with the state after each token, are the same as token by token, for
// the least shapes and for heads that are no power of two.
func TestRecurrencesOfAnyShapeGoOnFromTheirStates(t *testing.T) {
	b := testmodel.CPU(t, 2)
	const tokens, seqs = 3, 2
	layers := map[string]func() recurrent{}
	for _, s := range []DeltaShape{{1, 1, 1, 2, false}, {1, 1, 2, 2, true}, {3, 2, 6, 3, false}, {3, 2, 6, 3, true}, {16, 1, 3, 4, true}} {
		layers[fmt.Sprintf("delta net %+v", s)] = func() recurrent { return deltaOf(t, b, s) }
	}
	for _, s := range []Mamba2Shape{{1, 1, 1, 1, 2}, {5, 18, 6, 3, 3}, {16, 32, 4, 1, 4}, {2, 3, 3, 3, 2}} {
		layers[fmt.Sprintf("Mamba-2 %+v", s)] = func() recurrent { return mambaOf(t, b, s) }
	}
	for name, open := range layers {
		r := open()
		random := rand.New(rand.NewPCG(3, 4))
		values := func(n int) (all []float32) {
			for range n {
				all = append(all, float32(random.NormFloat64()))
			}
			return all
		}
		x := values(recurHidden * tokens * seqs)
		from := stateValues{values(r.state.Memory * seqs), values(r.state.Inputs * seqs)}
		got, to := r.step(t, b, x, from, tokens, seqs, tokens)
		for i := range tokens {
			var one, same []float32
			for s := range seqs {
				token := (s*tokens + i) * recurHidden
				one, same = append(one, x[token:token+recurHidden]...), append(same, got[token:token+recurHidden]...)
			}
			y, after := r.step(t, b, one, from, 1, seqs, 1)
			from = after[0]
			kept := to[tokens-1-i]
			if d := max(apart(same, y), apart(kept.memory, from.memory), apart(kept.inputs, from.inputs)); !(d <= 1e-4) {
				t.Errorf("%s, token %d: the result or the state differs by %g", name, i, d)
			}
		}
	}
}

// apart returns the largest difference of numbers; NaN if one is none.
func apart(a, b []float32) (worst float64) {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	for i := range a {
		worst = max(worst, math.Abs(float64(a[i])-float64(b[i])))
	}
	return worst
}
