package families

import "github.com/seed4d217819/ebb/ggml"

// experts adds a router with the experts that it chooses from.
func (l layer) experts() {
	f := l.of
	l.normals(l.name("ffn_gate_inp.weight"), root(f.Hidden), f.Hidden, f.Experts)
	l.matrix(l.name("ffn_gate_exps.weight"), ggml.Q4_K, f.Hidden, f.ExpertFF, f.Experts)
	l.matrix(l.name("ffn_up_exps.weight"), ggml.Q4_K, f.Hidden, f.ExpertFF, f.Experts)
	l.matrix(l.name("ffn_down_exps.weight"), l.fine(), f.ExpertFF, f.Hidden, f.Experts)
}

func qwen3moe(m *file, f Family) {
	m.layers(f, func(l layer) {
		l.attention()
		l.headNorms()
		l.feedForwardNorm()
		l.experts()
	})
}

// glm4moe has an expert that all tokens go through, and rotates half of a head.
func glm4moe(m *file, f Family) {
	m.key("rope.dimension_count", uint32(f.HeadDim/2))
	m.key("leading_dense_block_count", uint32(f.Dense))
	m.key("expert_shared_count", uint32(1))
	m.key("expert_weights_norm", true)
	m.key("expert_gating_func", uint32(2))
	m.layers(f, func(l layer) {
		l.attention()
		l.biases()
		l.norm(l.name("post_attention_norm.weight"), f.Hidden)
		if l.index < f.Dense {
			l.feedForward("", f.FF)
			return
		}
		l.experts()
		l.bias("exp_probs_b", f.Experts)
		l.feedForward("_shexp", f.ExpertFF)
	})
}

// gptoss has sinks, a window in every other layer, experts in MXFP4, and all other matrices in Q8_0 as
// their rows are no multiples of the blocks of Q4_K.
func gptoss(m *file, f Family) {
	m.key("attention.sliding_window", uint32(f.Window))
	m.key("rope.scaling.type", "yarn")
	m.key("rope.scaling.factor", float32(32))
	m.key("rope.scaling.original_context_length", uint32(4096))
	q, kv := f.Heads*f.HeadDim, f.KVHeads*f.HeadDim
	m.layers(f, func(l layer) {
		l.norm(l.name("attn_norm.weight"), f.Hidden)
		l.linear("attn_q", ggml.Q8_0, f.Hidden, q)
		l.linear("attn_k", ggml.Q8_0, f.Hidden, kv)
		l.linear("attn_v", ggml.Q8_0, f.Hidden, kv)
		l.linear("attn_output", ggml.Q8_0, q, f.Hidden)
		l.biases()
		l.bias("attn_output", f.Hidden)
		l.normals(l.name("attn_sinks.weight"), 1, f.Heads)
		l.norm(l.name("post_attention_norm.weight"), f.Hidden)
		l.normals(l.name("ffn_gate_inp.weight"), root(f.Hidden), f.Hidden, f.Experts)
		l.bias("ffn_gate_inp", f.Experts)
		for _, e := range []struct {
			name    string
			in, out int
		}{{"ffn_gate_exps", f.Hidden, f.ExpertFF}, {"ffn_up_exps", f.Hidden, f.ExpertFF}, {"ffn_down_exps", f.ExpertFF, f.Hidden}} {
			l.matrix(l.name(e.name+".weight"), ggml.MXFP4, e.in, e.out, f.Experts)
			l.normals(l.name(e.name+".bias"), 0.1, e.out, f.Experts)
		}
	})
}
