package model_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/model"
)

// A step of one token reads no block that only drafts tokens, one row of an embedding that scores no
// token, and of a layer's experts those that the token goes through.
func TestStepBytesOfHybridsAreThoseThatAStepReads(t *testing.T) {
	for _, test := range []struct {
		name        string
		layers      int
		drafts      string // the prefix of tensors in blocks that only draft
		used, count int64  // of experts
	}{
		{"tiny-qwen35", 8, "none", 1, 1},
		{"tiny-qwen35-mtp", 4, "blk.4.", 1, 1},
		{"tiny-qwen35moe", 8, "none", 2, 5},
		{"tiny-qwen3next", 8, "none", 2, 5},
		{"tiny-lfm2moe", 4, "none", 2, 8},
		{"tiny-nemotron-latent", 4, "none", 2, 8},
	} {
		file, err := gguf.Parse(testmodel.Golden(t, test.name))
		if err != nil {
			t.Fatal(err)
		}
		var want, experts, drafting int64
		for _, tensor := range file.Tensors() {
			switch {
			case tensor.Name == "token_embd.weight":
			case strings.HasPrefix(tensor.Name, test.drafts):
				drafting++
			case strings.Contains(tensor.Name, "_exps."):
				experts += tensor.Size / test.count * test.used
				want += tensor.Size / test.count * test.used
			default:
				want += tensor.Size
			}
		}
		if got := model.StepBytes(file); got != want {
			t.Errorf("%s: a step reads %d bytes, want %d", test.name, got, want)
		}
		_, read := model.ExpertBytes(file)
		sum := int64(0)
		for _, n := range read {
			sum += n
		}
		if sum != experts || len(read) != test.layers || model.LayerCount(file) != test.layers || (drafting > 0) != (test.drafts != "none") {
			t.Errorf("%s: experts of %d bytes in %d layers, want %d in %d; %d tensors draft", test.name, sum, len(read), experts, test.layers, drafting)
		}
	}
}

// A file may give the KV heads of each layer: 0 of those that carry a state.
func TestHeadsByLayerMayBeNoneInRecurrentLayersAlone(t *testing.T) {
	data := testmodel.Golden(t, "tiny-qwen35")
	plain, err := open(t, data)
	if err != nil {
		t.Fatal(err)
	}
	none, kv := make([]uint32, 8), uint32(plain.Layers[3].KVHeads)
	byLayer := func(attending ...int) gguf.KV {
		heads := slices.Clone(none)
		for _, l := range attending {
			heads[l] = kv
		}
		return gguf.KV{Key: "qwen35.attention.head_count_kv", Value: heads}
	}
	got, err := open(t, testmodel.Edit(t, data, []gguf.KV{byLayer(3, 7)}))
	if err != nil || !slices.Equal(got.Layers, plain.Layers) {
		t.Errorf("got the layers %+v and the error %v, want %+v", got.Layers, err, plain.Layers)
	}
	const want = "layer 7 is not recurrent and has 0 attention heads or KV heads"
	if _, err := open(t, testmodel.Edit(t, data, []gguf.KV{byLayer(3)})); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got the error %v, want one that contains %q", err, want)
	}
}
