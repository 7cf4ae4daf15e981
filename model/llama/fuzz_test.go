package llama_test

import (
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/llama"
)

// Whatever a file says of its model, opening it ends in a model with sensible numbers or in an
// error.
func FuzzMetadata(f *testing.F) {
	small := testmodel.Llama(testmodel.Options{Layers: 2})
	keys := []string{
		"block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count", "attention.head_count_kv",
		"attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon", "rope.dimension_count", "rope.freq_base",
		"rope.scaling.type", "rope.scaling.factor", "rope.scale_linear", "rope.scaling.original_context_length", "rope.scaling.attn_factor",
		"rope.scaling.yarn_beta_fast", "rope.scaling.yarn_log_multiplier", "attention.causal", "expert_count", "vocab_size",
	}
	for i := range keys {
		f.Add(uint8(i), uint8(i), int64(4), 0.5, "yarn")
	}
	f.Fuzz(func(t *testing.T, key, kind uint8, n int64, x float64, s string) {
		values := []any{n, uint64(n), int8(n), x, float32(x), s, n%2 == 0, []int64{n, n + 1}, []float64{x, x}, []string{s}, uint32(n), []uint8{}}
		meta := []gguf.KV{
			{Key: "llama." + keys[int(key)%len(keys)], Value: values[int(kind)%len(values)]},
			{Key: "llama.rope.scaling.type", Value: []any{"yarn", "linear", nil}[int(kind)%3]},
		}
		if meta[0].Key == meta[1].Key {
			meta = meta[:1]
		}
		file, err := gguf.Parse(testmodel.Edit(t, small, meta))
		if err != nil {
			return
		}
		backend := testmodel.CPU(t, 1)
		m, err := llama.Architecture().Open(model.NewLoader(file, model.Devices{Input: backend, Output: backend}))
		if err != nil {
			return
		}
		if c := m.Config(); c.Context < 1 || len(c.Layers) != 2 || slices.ContainsFunc(c.Layers, func(l model.Layer) bool { return l.Heads < 1 || l.KVHeads < 1 }) {
			t.Errorf("%v: opened with %+v", meta, c)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}
