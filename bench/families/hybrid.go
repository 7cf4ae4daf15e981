package families

import "github.com/seed4d217819/ebb/ggml"

// Recurrence is the shape of the gated delta nets that most layers of a hybrid have in place of attention.
type Recurrence struct {
	Size     int // of a head's key and value
	KeyHeads int
	Heads    int // of values
}

// fullInterval says that every fourth layer of a hybrid has attention.
const fullInterval = 4

// kernel is how many tokens the convolution of a recurrent layer spans.
const kernel = 4

// Hybrid reports whether most layers are recurrent.
func (f Family) Hybrid() bool { return f.Recurrence.Heads > 0 }

func qwen35(m *file, f Family) {
	m.hybrid(f, func(l layer) { l.feedForward("", f.FF) })
}

// qwen35moe has a shared expert, which a gate weights.
func qwen35moe(m *file, f Family) {
	m.key("expert_shared_feed_forward_length", uint32(f.ExpertFF))
	m.hybrid(f, func(l layer) {
		l.experts()
		l.normals(l.name("ffn_gate_inp_shexp.weight"), root(f.Hidden), f.Hidden)
		l.feedForward("_shexp", f.ExpertFF)
	})
}

// hybrid adds layers that are recurrent or have attention, each with a feed-forward network.
func (m *file) hybrid(f Family, feedForward func(layer)) {
	r := f.Recurrence
	m.key("full_attention_interval", uint32(fullInterval))
	m.key("rope.dimension_count", uint32(f.HeadDim/4))
	pairs := int32(f.HeadDim / 4 / 2)
	m.key("rope.dimension_sections", []int32{pairs - 2*(pairs/3), pairs / 3, pairs / 3, 0})
	m.key("ssm.conv_kernel", uint32(kernel))
	m.key("ssm.state_size", uint32(r.Size))
	m.key("ssm.group_count", uint32(r.KeyHeads))
	m.key("ssm.time_step_rank", uint32(r.Heads))
	m.key("ssm.inner_size", uint32(r.Size*r.Heads))
	m.layers(f, func(l layer) {
		if (l.index+1)%fullInterval == 0 {
			l.gatedAttention()
		} else {
			l.deltaNet()
		}
		l.norm(l.name("post_attention_norm.weight"), f.Hidden)
		feedForward(l)
	})
}

// gatedAttention adds attention whose queries come with gates of the result.
func (l layer) gatedAttention() {
	f := l.of
	q, kv := f.Heads*f.HeadDim, f.KVHeads*f.HeadDim
	l.norm(l.name("attn_norm.weight"), f.Hidden)
	l.linear("attn_q", ggml.Q4_K, f.Hidden, 2*q)
	l.linear("attn_k", ggml.Q4_K, f.Hidden, kv)
	l.linear("attn_v", l.fine(), f.Hidden, kv)
	l.linear("attn_output", ggml.Q4_K, q, f.Hidden)
	l.headNorms()
}

// deltaNet adds a gated delta net. A head of values forgets at a rate of its own.
func (l layer) deltaNet() {
	f, r := l.of, l.of.Recurrence
	channels, inner := r.Size*(2*r.KeyHeads+r.Heads), r.Size*r.Heads
	l.norm(l.name("attn_norm.weight"), f.Hidden)
	l.linear("attn_qkv", ggml.Q5_K, f.Hidden, channels)
	l.linear("attn_gate", ggml.Q4_K, f.Hidden, inner)
	l.normals(l.name("ssm_conv1d.weight"), root(kernel), kernel, channels)
	l.bias("ssm_dt", r.Heads)
	decay := make([]float32, r.Heads)
	for h := range decay {
		decay[h] = -float32(h+1) / float32(r.Heads)
	}
	l.vector(l.name("ssm_a"), decay, r.Heads)
	l.linear("ssm_beta", ggml.Q4_K, f.Hidden, r.Heads)
	l.linear("ssm_alpha", ggml.Q4_K, f.Hidden, r.Heads)
	l.norm(l.name("ssm_norm.weight"), r.Size)
	l.linear("ssm_out", ggml.Q4_K, inner, f.Hidden)
}
