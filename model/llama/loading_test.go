package llama_test

import (
	"math"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/llama"
)

// openEdited opens a model with other metadata and further tensors.
func openEdited(t *testing.T, meta []gguf.KV, tensors ...gguf.TensorData) (model.Config, []string, error) {
	t.Helper()
	backend := testmodel.CPU(t, 1)
	file, err := gguf.Parse(testmodel.Edit(t, testmodel.Llama(testmodel.Options{}), meta, tensors...))
	if err != nil {
		t.Fatal(err)
	}
	loader := model.NewLoader(file, model.Devices{Input: backend, Output: backend})
	m, err := llama.Architecture().Open(loader)
	if err != nil {
		return model.Config{}, nil, err
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	return m.Config(), loader.Notes(), nil
}

func TestWhatAFileHasAndNobodyReadsIsAnErrorThatNamesIt(t *testing.T) {
	for _, test := range []struct {
		key   string
		value any
		want  string
	}{
		{"llama.attention.causal", false, "metadata llama.attention.causal is false, which is not supported for architecture llama"},
		{"llama.attention.sliding_window", uint32(64), "llama.attention.sliding_window is 64"},
		{"llama.logit_scale", float32(0.5), "llama.logit_scale is 0.5"},
		{"llama.expert_count", uint32(8), "llama.expert_used_count is missing"},
		{"llama.expert_shared_count", uint32(1), "llama.expert_shared_count is 1"},
		{"llama.expert_group_count", uint32(8), "llama.expert_group_count is 8"},
		{"llama.nextn_predict_layers", uint32(5), "llama.nextn_predict_layers is 5: want less than the 5 blocks"},
		{"llama.use_parallel_residual", true, "llama.use_parallel_residual is true"},
		{"llama.tensor_data_layout", "other", "llama.tensor_data_layout is other"},
		{"llama.something.new", []float32{1}, "llama.something.new is [1]float32"},
		{"general.type", "adapter", `metadata general.type is "adapter": want a file with a whole model`},
	} {
		_, _, err := openEdited(t, []gguf.KV{{Key: test.key, Value: test.value}})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s = %v: got the error %v, want one that contains %q", test.key, test.value, err, test.want)
		}
	}
}

func TestUnreadMetadataThatChangesNothingIsAccepted(t *testing.T) {
	_, notes, err := openEdited(t, []gguf.KV{
		{Key: "llama.attention.causal", Value: true},
		{Key: "llama.attention.sliding_window", Value: uint32(512)}, // the whole context
		{Key: "llama.logit_scale", Value: float32(1)},
		{Key: "llama.expert_count", Value: uint32(0)},
		{Key: "llama.expert_used_count", Value: uint32(0)},
		{Key: "llama.expert_group_count", Value: uint32(1)},
		{Key: "llama.nextn_predict_layers", Value: uint32(0)},
		{Key: "llama.use_parallel_residual", Value: false},
		{Key: "llama.rope.scaling.finetuned", Value: true},
		{Key: "llama.tensor_data_layout", Value: "Meta AI original pth"},
		{Key: "llama.name", Value: "x"},
		{Key: "general.type", Value: "model"},
		{Key: "general.new", Value: "x"},
		{Key: "mistral.attention.causal", Value: false},
	})
	if err != nil || len(notes) != 0 {
		t.Errorf("got the error %v and the notes %q, want none", err, notes)
	}
}

func TestATensorThatTheArchitectureDoesNotUseIsAnErrorThatNamesIt(t *testing.T) {
	_, _, err := openEdited(t, nil, testmodel.Vector("blk.0.attn_q_norm.weight", 32))
	if err == nil || !strings.Contains(err.Error(), "tensor blk.0.attn_q_norm.weight of the file is not supported for architecture llama") {
		t.Errorf("got the error %v, want one that names the tensor", err)
	}
	_, _, err = openEdited(t, []gguf.KV{{Key: "llama.block_count", Value: uint32(3)}})
	if err == nil || !strings.Contains(err.Error(), "tensors blk.3.attn_norm.weight, blk.3.attn_q.weight, blk.3.attn_k.weight and 15 more of the file are not") {
		t.Errorf("layers above the count: got the error %v, want one that names their tensors", err)
	}
}

func TestTensorsThatNobodyMissesAreNamedOnce(t *testing.T) {
	_, notes, err := openEdited(t, nil, testmodel.Vector("blk.0.attn_rot_embd", 16), testmodel.Vector("blk.1.attn_rot_embd", 16),
		testmodel.Vector("optimizer.adam.first_moments", 1))
	want := "tensors blk.0.attn_rot_embd, blk.1.attn_rot_embd, optimizer.adam.first_moments of the file are not used"
	if err != nil || len(notes) != 1 || !strings.Contains(notes[0], want) {
		t.Errorf("got the error %v and the notes %q, want one with %q", err, notes, want)
	}
}

func TestMetadataOfAnotherTypeIsConvertedOrAnError(t *testing.T) {
	if _, _, err := openEdited(t, []gguf.KV{
		{Key: "llama.rope.freq_base", Value: uint32(500000)},
		{Key: "llama.block_count", Value: float32(5)},
		{Key: "llama.attention.layer_norm_rms_epsilon", Value: 1e-5},
		{Key: "llama.rope.scaling.factor", Value: uint8(2)},
	}); err != nil {
		t.Errorf("numbers of another type: got the error %v, want none", err)
	}
	for _, test := range []struct {
		key   string
		value any
		want  string
	}{
		{"llama.rope.freq_base", "10000", `metadata "llama.rope.freq_base" is the string "10000": want a number`},
		{"llama.rope.freq_base", uint32(1<<24 + 1), "llama.rope.freq_base is uint32 16777217: want a finite number that a float32 holds"},
		{"llama.rope.freq_base", math.Inf(1), "llama.rope.freq_base is float64 +Inf: want a finite number"},
		{"llama.rope.freq_base", float32(-1), "llama.rope.freq_base is -1: want a positive number"},
		{"llama.rope.scaling.type", uint32(1), `metadata "llama.rope.scaling.type" is uint32 1: want a string`},
		{"llama.block_count", 4.5, `metadata "llama.block_count" is float64 4.5: want a whole number`},
		{"llama.block_count", []uint32{5}, `metadata "llama.block_count" is an array of 1 values of type uint32: want a whole number`},
		{"llama.context_length", int32(-1), "llama.context_length is -1: want a whole number from 1 to 16777216"},
		{"llama.attention.head_count_kv", []uint32{2, 2}, "llama.attention.head_count_kv has 2 numbers: want one for each of the 5 layers"},
		{"llama.attention.head_count_kv", []uint32{2, 2, 0, 2, 2}, "llama.attention.head_count_kv is 0: want a whole number from 1"},
		{"llama.attention.head_count_kv", []uint32{2, 2, 3, 2, 2}, "layer 2: 4 attention heads are not a multiple of 3 KV heads"},
		{"llama.attention.head_count", nil, "metadata llama.attention.head_count is missing"},
	} {
		_, _, err := openEdited(t, []gguf.KV{{Key: test.key, Value: test.value}})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s = %v: got the error %v, want one that contains %q", test.key, test.value, err, test.want)
		}
	}
}

func TestCountsMayBeGivenByLayer(t *testing.T) {
	config, _, err := openEdited(t, []gguf.KV{
		{Key: "llama.attention.head_count", Value: []uint32{4, 4, 4, 4, 4}},
		{Key: "llama.attention.head_count_kv", Value: []int32{2, 2, 2, 2, 2}},
		{Key: "llama.feed_forward_length", Value: []uint64{128, 128, 128, 128, 128}},
	})
	if err != nil || len(config.Layers) != 5 || config.Layers[3].Heads != 4 || config.Layers[4].KVHeads != 2 {
		t.Errorf("got %+v and the error %v, want 5 layers with 4 heads and 2 KV heads", config, err)
	}
}
