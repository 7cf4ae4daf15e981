package testmodel

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
)

// nemotron makes a file of llama one of nemotron_h: of its five layers the first and the last one are
// Mamba-2's, the third one attends, and the others are feed-forwards without gates.
func nemotron(tb testing.TB) []byte {
	return nemotronOf(tb, "tiny-gqa", "nemotron_h", "MFAFM", []gguf.KV{
		{Key: "nemotron_h.attention.head_count_kv", Value: []uint32{0, 0, 2, 0, 0}},
		{Key: "nemotron_h.feed_forward_length", Value: []uint32{0, 128, 0, 128, 0}},
	})
}

// nemotronMoE makes a file of glm4moe one of nemotron_h_moe, whose feed-forwards are experts.
func nemotronMoE(tb testing.TB) []byte {
	const name = "nemotron_h_moe"
	return nemotronOf(tb, "tiny-glm4moe", name, "MFAF", []gguf.KV{
		{Key: name + ".attention.head_count_kv", Value: []uint32{0, 0, 2, 0}},
		{Key: name + ".feed_forward_length", Value: []uint32{0, 24, 0, 24}},
		{Key: name + ".expert_shared_feed_forward_length", Value: uint32(24)},
		{Key: name + ".expert_gating_func"},
		{Key: name + ".leading_dense_block_count"},
	})
}

// nemotronLatent has experts of vectors that are half as wide as the model's.
func nemotronLatent(tb testing.TB) []byte {
	const hidden, latent, ff, count = 64, 32, 24, 8
	meta := []gguf.KV{{Key: "nemotron_h_moe.moe_latent_size", Value: uint32(latent)}}
	return derive(tb, "tiny-nemotron-moe", "nemotron_h_moe", meta, func(x gguf.TensorData) []gguf.TensorData {
		layer, own, _ := strings.Cut(strings.TrimPrefix(x.Name, "blk."), ".")
		layer = "blk." + layer + "."
		switch own {
		case "ffn_up_exps.weight":
			return []gguf.TensorData{
				random(layer+"ffn_latent_down.weight", 0.15, hidden, latent),
				random(layer+"ffn_latent_up.weight", 0.15, latent, hidden),
				random(x.Name, 0.2, latent, ff, count),
			}
		case "ffn_down_exps.weight":
			x = random(x.Name, 0.2, ff, latent, count)
		}
		return []gguf.TensorData{x}
	})
}

// nemotronOf makes each layer of a model what a letter says: M Mamba-2, A attention, F a feed-forward.
func nemotronOf(tb testing.TB, from, architecture, kinds string, meta []gguf.KV) []byte {
	meta = append(meta, mambaMeta(architecture)...)
	meta = append(meta, gguf.KV{Key: architecture + ".attention.layer_norm_epsilon", Value: float32(1e-5)})
	return derive(tb, from, architecture, meta, func(x gguf.TensorData) []gguf.TensorData {
		layer, own, inLayer := strings.Cut(strings.TrimPrefix(x.Name, "blk."), ".")
		if !inLayer || !strings.HasPrefix(x.Name, "blk.") {
			return []gguf.TensorData{x}
		}
		kind := kinds[layer[0]-'0']
		attention := []string{"attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight"}
		switch {
		case own == "attn_norm.weight" && kind == 'M':
			return append(mamba2("blk."+layer+"."), x)
		case own == "attn_norm.weight", kind == 'A' && slices.Contains(attention, own):
			return []gguf.TensorData{x}
		case kind == 'F' && !strings.Contains(own, "gate_exps") && !strings.Contains(own, "gate_shexp") && own != "ffn_gate.weight" &&
			(strings.HasPrefix(own, "ffn_") && own != "ffn_norm.weight" || strings.HasPrefix(own, "exp_probs_b")):
			return []gguf.TensorData{x}
		}
		return nil
	})
}
