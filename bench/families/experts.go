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
