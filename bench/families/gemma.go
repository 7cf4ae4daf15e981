package families

import "github.com/seed4d217819/ebb/ggml"

// gemma3 has a window in its first layer and none in its second; in the member five of six layers have
// one.
func gemma3(m *file, f Family) {
	m.key("attention.sliding_window", uint32(f.Window))
	m.key("attention.sliding_window_pattern", windowedFirst(f.Layers))
	m.key("rope.freq_base_swa", float32(10000))
	m.layers(f, func(l layer) {
		l.attention()
		l.headNorms()
		l.sandwich()
		l.feedForwardNorm()
		l.feedForward("", f.FF)
	})
}

// windowedFirst is a pattern of layers in which every second sees all tokens.
func windowedFirst(layers int) []bool {
	pattern := make([]bool, layers)
	for i := range pattern {
		pattern[i] = i%2 == 0
	}
	return pattern
}

// sandwich adds the norms behind attention and behind the feed-forward network.
func (l layer) sandwich() {
	l.norm(l.name("post_attention_norm.weight"), l.of.Hidden)
	l.norm(l.name("post_ffw_norm.weight"), l.of.Hidden)
}

// gemma4 has a window in its first layer. In its second, keys are wider and serve as values too.
func gemma4(m *file, f Family) {
	pattern := windowedFirst(f.Layers)
	kvHeads := make([]uint32, f.Layers)
	for i, windowed := range pattern {
		kvHeads[i] = uint32(f.FullKVHeads)
		if windowed {
			kvHeads[i] = uint32(f.KVHeads)
		}
	}
	m.key("attention.sliding_window", uint32(f.Window))
	m.key("attention.sliding_window_pattern", pattern)
	m.key("attention.head_count_kv", kvHeads)
	m.key("attention.key_length", uint32(f.FullHeadDim))
	m.key("attention.value_length", uint32(f.FullHeadDim))
	m.key("attention.key_length_swa", uint32(f.HeadDim))
	m.key("attention.value_length_swa", uint32(f.HeadDim))
	m.key("attention.shared_kv_layers", uint32(0))
	m.key("embedding_length_per_layer_input", uint32(0))
	m.key("rope.dimension_count", uint32(f.FullHeadDim))
	m.key("rope.dimension_count_swa", uint32(f.HeadDim))
	m.key("rope.freq_base_swa", float32(10000))
	m.key("final_logit_softcapping", float32(30))
	m.vector("rope_freqs.weight", quarter(f.FullHeadDim/2), f.FullHeadDim/2)
	m.layers(f, func(l layer) {
		if !pattern[l.index] {
			l.of.HeadDim, l.of.KVHeads = f.FullHeadDim, f.FullKVHeads
		}
		q, kv := l.of.Heads*l.of.HeadDim, l.of.KVHeads*l.of.HeadDim
		l.norm(l.name("attn_norm.weight"), f.Hidden)
		l.linear("attn_q", ggml.Q4_K, f.Hidden, q)
		l.linear("attn_k", ggml.Q4_K, f.Hidden, kv)
		if pattern[l.index] {
			l.linear("attn_v", l.fine(), f.Hidden, kv)
		}
		l.linear("attn_output", ggml.Q4_K, q, f.Hidden)
		l.headNorms()
		l.sandwich()
		l.feedForwardNorm()
		l.feedForward("", f.FF)
		l.vector(l.name("layer_output_scale.weight"), []float32{1}, 1)
		if f.Experts > 0 {
			l.besideExperts()
		}
	})
}

// besideExperts adds the experts that stand beside a layer's dense network.
func (l layer) besideExperts() {
	f := l.of
	l.normals(l.name("ffn_gate_inp.weight"), 1, f.Hidden, f.Experts)
	l.norm(l.name("ffn_gate_inp.scale"), f.Hidden)
	l.matrix(l.name("ffn_gate_up_exps.weight"), ggml.Q4_K, f.Hidden, 2*f.ExpertFF, f.Experts)
	l.matrix(l.name("ffn_down_exps.weight"), l.fine(), f.ExpertFF, f.Hidden, f.Experts)
	l.norm(l.name("ffn_down_exps.scale"), f.Experts)
	l.norm(l.name("pre_ffw_norm_2.weight"), f.Hidden)
	l.norm(l.name("post_ffw_norm_1.weight"), f.Hidden)
	l.norm(l.name("post_ffw_norm_2.weight"), f.Hidden)
}

// quarter is what frequencies are divided by so that a quarter of the pairs turns.
func quarter(pairs int) []float32 {
	factors := make([]float32, pairs)
	for i := range factors {
		factors[i] = 1e30
		if i < pairs/4 {
			factors[i] = 1
		}
	}
	return factors
}
