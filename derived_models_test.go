package ebb_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

// derivedModels are models of architectures for which there is no golden model: another one's file
// under their name. The reference of their cases is libllama 0.5.0 with ggml 0.25.1, given the same
// file, on the CPU with f32 K/V.
var derivedModels = map[string]func(t *testing.T) []byte{
	// A file of qwen3moe without the norms of queries and keys is Mixtral's but for what RoPE pairs.
	"tiny-mixtral": func(t *testing.T) []byte {
		meta := []gguf.KV{{Key: "llama.feed_forward_length", Value: uint32(16)}, {Key: "llama.expert_feed_forward_length"}}
		return derive(t, "tiny-qwen3moe", "llama", meta, func(x gguf.TensorData) []gguf.TensorData {
			if strings.Contains(x.Name, "attn_q_norm") || strings.Contains(x.Name, "attn_k_norm") {
				return nil
			}
			return []gguf.TensorData{x}
		})
	},
	// Each token goes through all of eight times as many experts: the most operations that a layer has.
	"tiny-64-experts": func(t *testing.T) []byte {
		meta := []gguf.KV{{Key: "qwen2moe.expert_count", Value: uint32(64)}, {Key: "qwen2moe.expert_used_count", Value: uint32(64)}}
		return derive(t, "tiny-qwen2moe", "qwen2moe", meta, func(x gguf.TensorData) []gguf.TensorData {
			if strings.Contains(x.Name, "_exps.") || strings.Contains(x.Name, "ffn_gate_inp.") {
				x.Shape = slices.Clone(x.Shape)
				x.Shape[len(x.Shape)-1] = 64
				x.Data = slices.Repeat(x.Data, 8)
			}
			return []gguf.TensorData{x}
		})
	},
	"tiny-granite": func(t *testing.T) []byte {
		meta := []gguf.KV{
			{Key: "granite.embedding_scale", Value: float32(1.5)},
			{Key: "granite.residual_scale", Value: float32(0.75)},
			{Key: "granite.attention.scale", Value: float32(0.25)},
			{Key: "granite.logit_scale", Value: float32(0.5)},
		}
		return derive(t, "tiny-gqa", "granite", meta, same)
	},
	"tiny-granite-nope": func(t *testing.T) []byte {
		meta := []gguf.KV{{Key: "granite.rope.scaling.finetuned", Value: false}, {Key: "granite.logit_scale", Value: float32(1)}}
		return derive(t, "tiny-gqa", "granite", meta, same)
	},
	"tiny-smollm3": func(t *testing.T) []byte { return derive(t, "tiny-gqa", "smollm3", nil, same) },
	// Gate and up become one matrix, and each norm has a twin behind its block.
	"tiny-glm4": func(t *testing.T) []byte {
		var gate gguf.TensorData
		meta := []gguf.KV{{Key: "glm4.rope.dimension_count", Value: uint32(16)}}
		return derive(t, "tiny-qwen2", "glm4", meta, func(x gguf.TensorData) []gguf.TensorData {
			twin := x
			switch {
			case strings.Contains(x.Name, "ffn_gate"):
				gate = x
				return nil
			case strings.Contains(x.Name, "ffn_up"):
				x.Shape = []int64{x.Shape[0], 2 * x.Shape[1]}
				x.Data = slices.Concat(gate.Data, x.Data)
			case strings.Contains(x.Name, "attn_norm"):
				twin.Name = strings.Replace(x.Name, "attn_norm", "post_attention_norm", 1)
				return []gguf.TensorData{x, twin}
			case strings.Contains(x.Name, "ffn_norm"):
				twin.Name = strings.Replace(x.Name, "ffn_norm", "post_ffw_norm", 1)
				return []gguf.TensorData{x, twin}
			}
			return []gguf.TensorData{x}
		})
	},
}

func derive(t *testing.T, from, architecture string, meta []gguf.KV, convert func(gguf.TensorData) []gguf.TensorData) []byte {
	t.Helper()
	data, err := os.ReadFile(modelPath(from))
	if err != nil {
		t.Fatal(err)
	}
	return testmodel.Convert(t, data, architecture, meta, convert)
}

func same(x gguf.TensorData) []gguf.TensorData { return []gguf.TensorData{x} }

// goldenPath returns the path of a model's file, which it writes if the model is derived.
func goldenPath(t *testing.T, model string) string {
	t.Helper()
	data, derived := derivedModels[model]
	if !derived {
		return modelPath(model)
	}
	path := filepath.Join(t.TempDir(), model+".gguf")
	if err := os.WriteFile(path, data(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
