package testmodel

import (
	"math"
	"slices"

	"github.com/seed4d217819/ebb/gguf"
)

// keys are the metadata of an architecture that files of some architecture have, without its name.
var keys = []string{
	"attention.causal", "attention.head_count_kv", "attention.key_length", "attention.key_length_swa", "attention.recurrent_layers", "attention.scale",
	"attention.shared_kv_layers", "attention.sliding_window", "attention.sliding_window_pattern", "attention.temperature_scale",
	"attention.value_length", "attention.value_length_swa", "attn_logit_softcapping", "embedding_length_per_layer_input",
	"embedding_scale", "expert_count", "expert_feed_forward_length", "expert_gating_func", "expert_group_count",
	"expert_shared_count", "expert_used_count", "expert_weights_norm", "expert_weights_scale", "final_logit_softcapping", "full_attention_interval",
	"leading_dense_block_count", "moe_latent_size", "nextn_predict_layers", "rope.dimension_count", "rope.dimension_count_swa", "rope.freq_base",
	"rope.freq_base_swa", "rope.scale_linear", "rope.scaling.attn_factor", "rope.scaling.factor",
	"rope.scaling.original_context_length", "rope.scaling.type", "rope.scaling.yarn_beta_fast",
	"rope.scaling.yarn_log_multiplier", "shortconv.l_cache", "ssm.conv_kernel", "ssm.group_count", "ssm.inner_size", "ssm.state_size",
	"ssm.time_step_rank",
}

// Keys returns the metadata keys that a hostile file may change: those of the file, first those of its
// architecture, and then those that files of other architectures have. own is how many are the file's.
func Keys(f *gguf.File) (all []string, own int) {
	prefix := f.Architecture() + "."
	for key := range f.Metadata() {
		all = append(all, key)
	}
	slices.SortStableFunc(all, func(a, b string) int {
		isOf := func(key string) int {
			if len(key) > len(prefix) && key[:len(prefix)] == prefix {
				return 0
			}
			return 1
		}
		return isOf(a) - isOf(b)
	})
	own = len(all)
	for _, key := range keys {
		if !slices.Contains(all, prefix+key) {
			all = append(all, prefix+key)
		}
	}
	return all, own
}

// HostileValues returns values that metadata of a model with some layers should not have, but for a few
// that some key may. The last one is nil: the key is not there.
func HostileValues(layers int) []any {
	return []any{
		uint32(0), int32(-1), uint32(1), uint32(3), uint32(1 << 31), uint64(1 << 40), uint64(1 << 60), uint64(math.MaxUint64),
		float32(math.NaN()), math.Inf(1), float32(-2.5), 1e-300, "", "yarn", "\xff", true, false,
		[]uint32{},
		slices.Repeat([]uint32{1}, layers-1), slices.Repeat([]uint32{2}, layers+1), make([]uint32, layers),
		slices.Repeat([]int64{math.MaxInt64}, layers), slices.Repeat([]bool{true}, layers), make([]bool, layers),
		slices.Repeat([]bool{true}, layers+3),
		[]float32{float32(math.NaN())},
		[]string{"a", ""},
		nil,
	}
}
