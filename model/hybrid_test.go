package model_test

import (
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

// Files name the recurrent layers one by one, or say how often another comes, or both: then the names
// count.
func TestRecurrentLayersAreMarkedOrCounted(t *testing.T) {
	const every, marks = "qwen35.full_attention_interval", "qwen35.attention.recurrent_layers"
	whole := testmodel.Golden(t, "tiny-qwen35")
	want := []bool{true, true, true, false, true, true, true, false}
	for name, values := range map[string][2]any{
		"counted":        {uint32(4), nil},
		"marked":         {nil, want},
		"both":           {uint32(4), want},
		"both, at odds":  {uint32(3), want},
		"by the default": {nil, nil},
	} {
		c, err := open(t, testmodel.Edit(t, whole, []gguf.KV{{Key: every, Value: values[0]}, {Key: marks, Value: values[1]}}))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []bool
		for _, l := range c.Layers {
			got = append(got, l.State.Values() > 0)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: recurrent layers %v, want %v", name, got, want)
		}
	}
}
