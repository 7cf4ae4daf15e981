package testmodel

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
)

// lfm2 makes a file of qwen3 one of lfm2: of its four layers only the third one still attends, and the
// others have a short convolution over three tokens.
func lfm2(tb testing.TB) []byte { return shortConvolutions(tb, "tiny-qwen3", "lfm2") }

// lfm2moe makes a file of glm4moe one of lfm2moe in the same way: experts are chosen with a bias, and the
// first layer has none.
func lfm2moe(tb testing.TB) []byte { return shortConvolutions(tb, "tiny-glm4moe", "lfm2moe") }

func shortConvolutions(tb testing.TB, from, architecture string) []byte {
	const hidden, headDim, kernel, attends = 64, 32, 3, "blk.2."
	meta := []gguf.KV{
		{Key: architecture + ".attention.head_count_kv", Value: []uint32{0, 0, 1, 0}},
		{Key: architecture + ".attention.head_count", Value: uint32(hidden / headDim)}, // libllama wants it so
		{Key: architecture + ".shortconv.l_cache", Value: uint32(kernel)},
		{Key: architecture + ".rope.dimension_count"},
		{Key: architecture + ".expert_shared_count"},
		{Key: architecture + ".expert_weights_scale"}, // libllama does not read it
		{Key: architecture + ".expert_weights_norm"},
	}
	return derive(tb, from, architecture, meta, func(x gguf.TensorData) []gguf.TensorData {
		layer, own, _ := strings.Cut(strings.TrimPrefix(x.Name, "blk."), ".")
		layer = "blk." + layer + "."
		switch {
		case x.Name == "output_norm.weight":
			x.Name = "token_embd_norm.weight"
		case strings.Contains(own, "_shexp"), strings.HasPrefix(own, "attn_") && strings.HasSuffix(own, ".bias"):
			return nil
		case own == "post_attention_norm.weight":
			x.Name = layer + "ffn_norm.weight"
		case strings.HasPrefix(own, "attn_") && own != "attn_norm.weight" && layer != attends:
			if own != "attn_q.weight" {
				return nil
			}
			return []gguf.TensorData{
				random(layer+"shortconv.in_proj.weight", 0.25, hidden, 3*hidden),
				random(layer+"shortconv.conv.weight", 0.5, kernel, hidden),
				random(layer+"shortconv.out_proj.weight", 0.125, hidden, hidden),
			}
		case own == "attn_q.weight":
			x = rows(x, hidden)
		case own == "attn_k.weight", own == "attn_v.weight":
			x = rows(x, headDim)
		case own == "attn_output.weight":
			x = random(x.Name, 0.125, hidden, hidden)
		}
		return []gguf.TensorData{x}
	})
}

// rows returns the first n rows of a matrix.
func rows(x gguf.TensorData, n int64) gguf.TensorData {
	x.Data = x.Data[:int64(len(x.Data))/x.Shape[1]*n]
	x.Shape = []int64{x.Shape[0], n}
	return x
}

// random returns a tensor of f32 numbers that depend on its name alone, with mean 0.
func random(name string, deviation float64, shape ...int64) gguf.TensorData {
	return randomFrom(name, 0, deviation, shape...)
}

// randomFrom is random with a mean.
func randomFrom(name string, mean float32, deviation float64, shape ...int64) gguf.TensorData {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	var data []byte
	for _, v := range normals(1, name, int(n), deviation) {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(mean+v))
	}
	return gguf.TensorData{Name: name, Type: gguf.F32, Shape: slices.Clone(shape), Data: data}
}
