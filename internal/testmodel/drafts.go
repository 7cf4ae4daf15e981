package testmodel

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
)

// draftShare is what is left of what the layers of a model add that drafts: about half of its
// drafts are right then. With random weights alone none ever is.
const draftShare = 0.05

// drafts is a model whose block drafts tokens that follow: its layers add little to the embedding
// of the last token, and the block passes an embedding on as it is.
func drafts(tb testing.TB) []byte {
	return derive(tb, "tiny-qwen35-mtp", "qwen35", nil, func(x gguf.TensorData) []gguf.TensorData {
		if strings.Contains(x.Name, "nextn.shared_head_norm.") {
			return nil // so that it is the model's
		}
		return []gguf.TensorData{drafting(x, "blk.4.")}
	})
}

// draftsOfExperts is the same as a mixture of experts: a copy of its last layer is the block.
func draftsOfExperts(tb testing.TB) []byte {
	meta := []gguf.KV{{Key: "qwen35moe.block_count", Value: uint32(9)}, {Key: "qwen35moe.nextn_predict_layers", Value: uint32(1)}}
	return derive(tb, "tiny-qwen35moe", "qwen35moe", meta, func(x gguf.TensorData) []gguf.TensorData {
		all := []gguf.TensorData{drafting(x, "blk.8.")}
		if name, ok := strings.CutPrefix(x.Name, "blk.7."); ok {
			x.Name = "blk.8." + name
			all = append(all, drafting(x, "blk.8."))
		}
		if x.Name == "output_norm.weight" {
			hidden := x.Shape[0]
			for _, name := range []string{"enorm", "hnorm"} {
				all = append(all, drafting(gguf.TensorData{Name: "blk.8.nextn." + name + ".weight", Type: gguf.F32, Shape: x.Shape, Data: x.Data}, "blk.8."))
			}
			all = append(all, drafting(gguf.TensorData{
				Name: "blk.8.nextn.eh_proj.weight", Type: gguf.F32, Shape: []int64{2 * hidden, hidden}, Data: make([]byte, 4*2*hidden*hidden),
			}, "blk.8."))
		}
		return all
	})
}

// drafting returns a tensor as it is in a model whose block has some prefix and drafts tokens that
// follow.
func drafting(x gguf.TensorData, block string) gguf.TensorData {
	const adds = "attn_output. ssm_out. ffn_down. ffn_down_exps. ffn_down_shexp."
	_, name, _ := strings.Cut(strings.TrimPrefix(x.Name, "blk."), ".")
	kind, _, _ := strings.Cut(name, ".")
	switch {
	case kind != "" && slices.Contains(strings.Fields(adds), kind+"."):
		share := float32(draftShare)
		if strings.HasPrefix(x.Name, block) {
			share = 0
		}
		x.Data = floats(x, func(_ int, v float32) float32 { return v * share })
	case strings.Contains(x.Name, "nextn.eh_proj."):
		in := int(x.Shape[0]) // of which the first half is the embedding
		x.Data = floats(x, func(i int, _ float32) float32 {
			if i%in == i/in {
				return 1
			}
			return 0
		})
	case strings.Contains(x.Name, "nextn.enorm."):
		x.Data = floats(x, func(int, float32) float32 { return 1 })
	}
	return x
}

// floats returns the bytes of an f32 tensor with other values.
func floats(x gguf.TensorData, of func(i int, v float32) float32) []byte {
	data := slices.Clone(x.Data)
	for i := range len(data) / 4 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(of(i, v)))
	}
	return data
}
