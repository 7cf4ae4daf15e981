package testmodel

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
)

// Golden returns the GGUF file of a small model that the module has reference results for: one of
// testdata/models, or one that is derived from such a file.
func Golden(tb testing.TB, name string) []byte {
	tb.Helper()
	if derive, ok := derived()[name]; ok {
		return derive(tb)
	}
	data, err := os.ReadFile(filepath.Join(root(tb), "testdata", "models", name+".gguf"))
	if err != nil {
		tb.Fatalf("testmodel: %v", err)
	}
	return data
}

// root returns the folder of the module. Tests run in the folder of their package.
func root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatalf("testmodel: %v", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "testdata", "models")); err == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			tb.Fatal("testmodel: no folder above this one has testdata/models")
		}
		dir = filepath.Dir(dir)
	}
}

// derived returns how to make models of architectures for which there is no golden model: another one's file
// under their name. The reference of their cases is libllama 0.5.0 with ggml 0.25.1, given the same
// file, on the CPU with f32 K/V.
func derived() map[string]func(tb testing.TB) []byte {
	return map[string]func(tb testing.TB) []byte{
		// A file of qwen3moe without the norms of queries and keys is Mixtral's but for what RoPE pairs.
		"tiny-mixtral": func(tb testing.TB) []byte {
			meta := []gguf.KV{{Key: "llama.feed_forward_length", Value: uint32(16)}, {Key: "llama.expert_feed_forward_length"}}
			return derive(tb, "tiny-qwen3moe", "llama", meta, func(x gguf.TensorData) []gguf.TensorData {
				if strings.Contains(x.Name, "attn_q_norm") || strings.Contains(x.Name, "attn_k_norm") {
					return nil
				}
				return []gguf.TensorData{x}
			})
		},
		// Each token goes through all of eight times as many experts: the most operations that a layer has.
		"tiny-64-experts": func(tb testing.TB) []byte {
			meta := []gguf.KV{{Key: "qwen2moe.expert_count", Value: uint32(64)}, {Key: "qwen2moe.expert_used_count", Value: uint32(64)}}
			return derive(tb, "tiny-qwen2moe", "qwen2moe", meta, func(x gguf.TensorData) []gguf.TensorData {
				if strings.Contains(x.Name, "_exps.") || strings.Contains(x.Name, "ffn_gate_inp.") {
					x.Shape = slices.Clone(x.Shape)
					x.Shape[len(x.Shape)-1] = 64
					x.Data = slices.Repeat(x.Data, 8)
				}
				return []gguf.TensorData{x}
			})
		},
		// As Phi-3 mini, whose layers have a window, but with one layer.
		"tiny-phi3": func(tb testing.TB) []byte {
			meta := []gguf.KV{{Key: "phi3.block_count", Value: uint32(1)}, {Key: "phi3.attention.sliding_window", Value: uint32(8)}}
			return derive(tb, "tiny-longrope", "phi3", meta, func(x gguf.TensorData) []gguf.TensorData {
				if strings.HasPrefix(x.Name, "blk.") && !strings.HasPrefix(x.Name, "blk.0.") {
					return nil
				}
				return []gguf.TensorData{x}
			})
		},
		"tiny-granite": func(tb testing.TB) []byte {
			meta := []gguf.KV{
				{Key: "granite.embedding_scale", Value: float32(1.5)},
				{Key: "granite.residual_scale", Value: float32(0.75)},
				{Key: "granite.attention.scale", Value: float32(0.25)},
				{Key: "granite.logit_scale", Value: float32(0.5)},
			}
			return derive(tb, "tiny-gqa", "granite", meta, same)
		},
		"tiny-granite-nope": func(tb testing.TB) []byte {
			meta := []gguf.KV{{Key: "granite.rope.scaling.finetuned", Value: false}, {Key: "granite.logit_scale", Value: float32(1)}}
			return derive(tb, "tiny-gqa", "granite", meta, same)
		},
		"tiny-granitehybrid":     granitehybrid,
		"tiny-granitehybrid-moe": granitehybridMoE,
		"tiny-nemotron":          nemotron,
		"tiny-nemotron-moe":      nemotronMoE,
		"tiny-nemotron-latent":   nemotronLatent,
		"tiny-lfm2":              lfm2,
		"tiny-lfm2moe":           lfm2moe,
		"tiny-qwen3next":         qwen3next,
		"tiny-qwen3next-old":     qwen3nextOld,
		"tiny-qwen35-drafts":     drafts,
		"tiny-qwen35moe-drafts":  draftsOfExperts,
		"tiny-smollm3":           func(tb testing.TB) []byte { return derive(tb, "tiny-gqa", "smollm3", nil, same) },
		// Gate and up become one matrix, and each norm has a twin behind its block.
		"tiny-glm4": func(tb testing.TB) []byte {
			var gate gguf.TensorData
			meta := []gguf.KV{{Key: "glm4.rope.dimension_count", Value: uint32(16)}}
			return derive(tb, "tiny-qwen2", "glm4", meta, func(x gguf.TensorData) []gguf.TensorData {
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
}

func derive(tb testing.TB, from, architecture string, meta []gguf.KV, convert func(gguf.TensorData) []gguf.TensorData) []byte {
	tb.Helper()
	return Convert(tb, Golden(tb, from), architecture, meta, convert)
}

func same(x gguf.TensorData) []gguf.TensorData { return []gguf.TensorData{x} }
