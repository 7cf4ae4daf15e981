package testmodel

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
)

// The shape of the delta nets of tiny-qwen35moe.
const (
	deltaHidden, deltaSize    = 64, 16
	deltaKeyHeads, deltaHeads = 2, 4
)

// qwen3next makes a file of qwen35moe one of qwen3next: betas and alphas are one matrix, by key head.
func qwen3next(tb testing.TB) []byte {
	var beta []byte
	meta := []gguf.KV{{Key: "qwen3next.rope.dimension_sections"}}
	return derive(tb, "tiny-qwen35moe", "qwen3next", meta, func(x gguf.TensorData) []gguf.TensorData {
		switch {
		case strings.Contains(x.Name, "ssm_beta"):
			beta = x.Data
			return nil
		case strings.Contains(x.Name, "ssm_alpha"):
			x.Name = strings.Replace(x.Name, "ssm_alpha", "ssm_ba", 1)
			x.Data = byKeyHead(beta, x.Data)
			x.Shape = []int64{deltaHidden, 2 * deltaHeads}
		}
		return []gguf.TensorData{x}
	})
}

// qwen3nextOld is the same model as in old files: queries, keys, values and gates are one matrix, by key
// head.
func qwen3nextOld(tb testing.TB) []byte {
	var q, k, v []byte
	return derive(tb, "tiny-qwen3next", "qwen3next", nil, func(x gguf.TensorData) []gguf.TensorData {
		switch keys := deltaKeyHeads * deltaSize * deltaHidden * 4; {
		case strings.Contains(x.Name, "attn_qkv"):
			q, k, v = x.Data[:keys], x.Data[keys:2*keys], x.Data[2*keys:]
			return nil
		case strings.Contains(x.Name, "attn_gate"):
			x.Name = strings.Replace(x.Name, "attn_gate", "ssm_in", 1)
			x.Data = byKeyHead(q, k, v, x.Data)
			x.Shape = []int64{deltaHidden, 2 * deltaSize * (deltaKeyHeads + deltaHeads)}
		}
		return []gguf.TensorData{x}
	})
}

// byKeyHead returns the rows of matrices that each key head has in one of them and then in the others,
// key head by key head.
func byKeyHead(matrices ...[]byte) (all []byte) {
	for head := range deltaKeyHeads {
		for _, m := range matrices {
			n := len(m) / deltaKeyHeads
			all = slices.Concat(all, m[head*n:(head+1)*n])
		}
	}
	return all
}
