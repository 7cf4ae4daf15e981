package gptoss_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/gptoss"
)

// open opens the small model with other metadata and with tensors as convert makes them, and returns
// its layers and the lengths of their sinks.
func open(t *testing.T, meta []gguf.KV, convert func(gguf.TensorData) []gguf.TensorData) (layers []model.Layer, sinks []int64, err error) {
	t.Helper()
	if convert == nil {
		convert = func(x gguf.TensorData) []gguf.TensorData { return []gguf.TensorData{x} }
	}
	file, err := gguf.Parse(testmodel.Convert(t, testmodel.Golden(t, "tiny-gptoss"), "gpt-oss", meta, convert))
	if err != nil {
		t.Fatal(err)
	}
	backend := testmodel.CPU(t, 1)
	m, err := gptoss.Architecture().Open(model.NewLoader(file, model.Devices{Input: backend, Output: backend}))
	if err != nil {
		return nil, nil, err
	}
	layers = m.Config().Layers
	for l := range layers {
		sinks = append(sinks, m.(model.WithSinks).Sinks(l).Ne(0))
	}
	return layers, sinks, m.Close()
}

func TestEveryOtherLayerHasAWindowAndAllHaveSinks(t *testing.T) {
	layers, sinks, err := open(t, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var windows []int
	for _, l := range layers {
		windows = append(windows, l.Window)
		if l.ExpertsUsed != 2 {
			t.Errorf("%d experts used in a layer, want 2", l.ExpertsUsed)
		}
	}
	if want := []int{8, 0, 8, 0}; !slices.Equal(windows, want) {
		t.Errorf("windows %v, want %v", windows, want)
	}
	if want := []int64{4, 4, 4, 4}; !slices.Equal(sinks, want) {
		t.Errorf("sinks %v, want one for each of 4 heads in each layer", sinks)
	}
}

func TestFilesThatAreNoGPTOSSAreErrorsThatSayWhatIsWrong(t *testing.T) {
	key := func(name string, value any) []gguf.KV { return []gguf.KV{{Key: "gpt-oss." + name, Value: value}} }
	sinks := func(change func(*gguf.TensorData)) func(gguf.TensorData) []gguf.TensorData {
		return func(x gguf.TensorData) []gguf.TensorData {
			if x.Name != "blk.2.attn_sinks.weight" {
				return []gguf.TensorData{x}
			}
			if change == nil {
				return nil
			}
			change(&x)
			return []gguf.TensorData{x}
		}
	}
	for _, test := range []struct {
		what    string
		meta    []gguf.KV
		convert func(gguf.TensorData) []gguf.TensorData
		want    string
	}{
		{"a window of no tokens", key("attention.sliding_window", uint32(0)), nil, "gpt-oss.attention.sliding_window is 0: want a whole number from 1"},
		{"no window", key("attention.sliding_window", nil), nil, "gpt-oss.attention.sliding_window is missing"},
		{"more experts used than there are", key("expert_used_count", uint32(6)), nil, "gpt-oss.expert_used_count is 6: want at most 5, of 5 experts"},
		{"no experts", key("expert_count", nil), nil, "gpt-oss.expert_count is missing"},
		{"a pattern for other layers", key("attention.sliding_window_pattern", []bool{true, false}), nil, "has 2 values: want one for each of the 4 layers"},
		{"no sinks", nil, sinks(nil), "tensor blk.2.attn_sinks.weight is missing"},
		{"a sink less", nil, sinks(func(x *gguf.TensorData) { x.Shape, x.Data = []int64{3}, x.Data[:12] }), "tensor blk.2.attn_sinks.weight has the shape [3]: want [4]"},
		{"sinks of two rows", nil, sinks(func(x *gguf.TensorData) { x.Shape = []int64{2, 2} }), "tensor blk.2.attn_sinks.weight has the shape [2 2]: want [4]"},
		{"sinks in f16", nil, sinks(func(x *gguf.TensorData) { x.Type, x.Data = gguf.F16, x.Data[:8] }), "tensor blk.2.attn_sinks.weight is f16: want f32"},
	} {
		if _, _, err := open(t, test.meta, test.convert); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got the error %v, want one that contains %q", test.what, err, test.want)
		}
	}
}
