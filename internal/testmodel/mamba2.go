package testmodel

import (
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
)

// The shape of the Mamba-2 layers of derived models.
const (
	mambaHidden, mambaInner, mambaSize, mambaHeads, mambaGroups, mambaKernel = 64, 128, 16, 8, 2, 4
	mambaChannels                                                            = mambaInner + 2*mambaGroups*mambaSize
)

// mambaMeta is the metadata of such layers.
func mambaMeta(architecture string) []gguf.KV {
	return []gguf.KV{
		{Key: architecture + ".ssm.conv_kernel", Value: uint32(mambaKernel)},
		{Key: architecture + ".ssm.state_size", Value: uint32(mambaSize)},
		{Key: architecture + ".ssm.inner_size", Value: uint32(mambaInner)},
		{Key: architecture + ".ssm.time_step_rank", Value: uint32(mambaHeads)},
		{Key: architecture + ".ssm.group_count", Value: uint32(mambaGroups)},
	}
}

// mamba2 returns the tensors of a layer, whose prefix is such as blk.0.
func mamba2(layer string) []gguf.TensorData {
	return []gguf.TensorData{
		random(layer+"ssm_in.weight", 0.2, mambaHidden, mambaInner+mambaChannels+mambaHeads),
		random(layer+"ssm_conv1d.weight", 0.5, mambaKernel, mambaChannels),
		random(layer+"ssm_conv1d.bias", 0.2, mambaChannels),
		random(layer+"ssm_dt.bias", 0.5, mambaHeads),
		randomFrom(layer+"ssm_a", -1, 0.2, 1, mambaHeads),
		randomFrom(layer+"ssm_d", 1, 0.2, 1, mambaHeads),
		randomFrom(layer+"ssm_norm.weight", 1, 0.1, mambaInner/mambaGroups, mambaGroups),
		random(layer+"ssm_out.weight", 0.1, mambaInner, mambaHidden),
	}
}

// granitehybrid makes a file of llama one of granitehybrid: of its five layers the third one still
// attends, with positions, and the others are Mamba-2's.
func granitehybrid(tb testing.TB) []byte {
	const name = "granitehybrid"
	return graniteHybrid(tb, "tiny-gqa", []gguf.KV{
		{Key: name + ".attention.head_count_kv", Value: []uint32{0, 0, 2, 0, 0}},
		{Key: name + ".embedding_scale", Value: float32(1.5)},
		{Key: name + ".residual_scale", Value: float32(0.75)},
		{Key: name + ".attention.scale", Value: float32(0.25)},
		{Key: name + ".logit_scale", Value: float32(0.5)},
	})
}

// granitehybridMoE has experts beside a shared one without a gate, and encodes no positions.
func granitehybridMoE(tb testing.TB) []byte {
	const name = "granitehybrid"
	return graniteHybrid(tb, "tiny-qwen2moe", []gguf.KV{
		{Key: name + ".attention.head_count_kv", Value: []uint32{0, 0, 1, 0}},
		{Key: name + ".rope.scaling.finetuned", Value: false},
		{Key: name + ".feed_forward_length", Value: uint32(16)},
		{Key: name + ".expert_feed_forward_length"},
	})
}

func graniteHybrid(tb testing.TB, from string, meta []gguf.KV) []byte {
	const architecture, attends = "granitehybrid", "blk.2."
	meta = append(meta, mambaMeta(architecture)...)
	return derive(tb, from, architecture, meta, func(x gguf.TensorData) []gguf.TensorData {
		layer, own, _ := strings.Cut(strings.TrimPrefix(x.Name, "blk."), ".")
		layer = "blk." + layer + "."
		switch {
		case own == "ffn_gate_inp_shexp.weight":
			return nil
		case strings.HasPrefix(own, "attn_") && own != "attn_norm.weight" && layer != attends:
			if own == "attn_q.weight" {
				return mamba2(layer)
			}
			return nil
		}
		return []gguf.TensorData{x}
	})
}
