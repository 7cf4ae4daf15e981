package families

import (
	"fmt"

	"github.com/seed4d217819/ebb/ggml"
)

// layer names a layer's tensors.
type layer struct {
	*file
	of    Family
	index int
}

func (m *file) layers(f Family, add func(layer)) {
	for i := range f.Layers {
		add(layer{m, f, i})
	}
}

func (l layer) name(s string) string { return fmt.Sprintf("blk.%d.%s", l.index, s) }

// fine is the type of the matrices that files of type Q4_K_M have in more bits in some layers: those
// of values, and the last of a feed-forward network. Here it is the first layer.
func (l layer) fine() ggml.Type {
	if l.index == 0 {
		return ggml.Q6_K
	}
	return ggml.Q4_K
}

func (l layer) linear(name string, typ ggml.Type, in, out int) {
	l.matrix(l.name(name+".weight"), typ, in, out)
}

func (l layer) bias(name string, n int) { l.normals(l.name(name+".bias"), 0.1, n) }

// attention adds the matrices of attention, and the norm before them.
func (l layer) attention() {
	f := l.of
	q, kv := f.Heads*f.HeadDim, f.KVHeads*f.HeadDim
	l.norm(l.name("attn_norm.weight"), f.Hidden)
	l.linear("attn_q", ggml.Q4_K, f.Hidden, q)
	l.linear("attn_k", ggml.Q4_K, f.Hidden, kv)
	l.linear("attn_v", l.fine(), f.Hidden, kv)
	l.linear("attn_output", ggml.Q4_K, q, f.Hidden)
}

// biases adds the biases of queries, keys and values.
func (l layer) biases() {
	l.bias("attn_q", l.of.Heads*l.of.HeadDim)
	l.bias("attn_k", l.of.KVHeads*l.of.HeadDim)
	l.bias("attn_v", l.of.KVHeads*l.of.HeadDim)
}

// headNorms adds the norms of each head's query and key.
func (l layer) headNorms() {
	l.norm(l.name("attn_q_norm.weight"), l.of.HeadDim)
	l.norm(l.name("attn_k_norm.weight"), l.of.HeadDim)
}

// feedForward adds a feed-forward network with a gate.
func (l layer) feedForward(suffix string, ff int) {
	l.linear("ffn_gate"+suffix, ggml.Q4_K, l.of.Hidden, ff)
	l.linear("ffn_up"+suffix, ggml.Q4_K, l.of.Hidden, ff)
	l.linear("ffn_down"+suffix, l.fine(), ff, l.of.Hidden)
}

func (l layer) feedForwardNorm() { l.norm(l.name("ffn_norm.weight"), l.of.Hidden) }

func qwen2(m *file, f Family) {
	m.layers(f, func(l layer) {
		l.attention()
		l.biases()
		l.feedForwardNorm()
		l.feedForward("", f.FF)
	})
}

func qwen3(m *file, f Family) {
	m.layers(f, func(l layer) {
		l.attention()
		l.headNorms()
		l.feedForwardNorm()
		l.feedForward("", f.FF)
	})
}

// mistral3 has YaRN's frequencies, and a temperature that grows with the position.
func mistral3(m *file, f Family) {
	m.key("rope.scaling.type", "yarn")
	m.key("rope.scaling.factor", float32(16))
	m.key("rope.scaling.original_context_length", uint32(16384))
	m.key("rope.scaling.yarn_log_multiplier", float32(1))
	m.key("attention.temperature_scale", float32(0.1))
	m.llama(f)
}

func smollm3(m *file, f Family) { m.llama(f) }

func granite(m *file, f Family) {
	m.key("embedding_scale", float32(12))
	m.key("residual_scale", float32(0.22))
	m.key("attention.scale", float32(0.0078125))
	m.key("logit_scale", float32(16))
	m.llama(f)
}

// llama adds layers of attention and a feed-forward network without more.
func (m *file) llama(f Family) {
	m.layers(f, func(l layer) {
		l.attention()
		l.feedForwardNorm()
		l.feedForward("", f.FF)
	})
}

// phi3 has one matrix for queries, keys and values, and one for gate and up.
func phi3(m *file, f Family) {
	m.layers(f, func(l layer) {
		q, kv := f.Heads*f.HeadDim, f.KVHeads*f.HeadDim
		l.norm(l.name("attn_norm.weight"), f.Hidden)
		l.linear("attn_qkv", ggml.Q5_K, f.Hidden, q+2*kv)
		l.linear("attn_output", ggml.Q4_K, q, f.Hidden)
		l.feedForwardNorm()
		l.linear("ffn_up", ggml.Q4_K, f.Hidden, 2*f.FF)
		l.linear("ffn_down", l.fine(), f.FF, f.Hidden)
	})
}
