package glm4moe_test

import (
	"os"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/glm4moe"
)

// A file with a block that only drafts tokens is the model without it.
func TestBlocksThatOnlyDraftTokensAreLeftOut(t *testing.T) {
	backend := testmodel.CPU(t, 1)
	data, err := os.ReadFile("../../testdata/models/tiny-glm4moe.gguf")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	want := model.StepBytes(plain)
	draft := []gguf.TensorData{testmodel.Vector("blk.4.attn_norm.weight", 64), testmodel.Vector("blk.4.nextn.enorm.weight", 64)}
	open := func(meta ...gguf.KV) (model.Config, []string, error) {
		file, err := gguf.Parse(testmodel.Edit(t, data, meta, draft...))
		if err != nil {
			t.Fatal(err)
		}
		if n := model.LayerCount(file); n != 4 && len(meta) == 3 {
			t.Errorf("%d layers, want 4", n)
		}
		if got := model.StepBytes(file); got != want && len(meta) == 3 {
			t.Errorf("a step reads %d bytes, want the %d of the file without the block", got, want)
		}
		l := model.NewLoader(file, model.Devices{Input: backend, Output: backend})
		m, err := glm4moe.Architecture().Open(l)
		if err != nil {
			return model.Config{}, nil, err
		}
		return m.Config(), l.Notes(), m.Close()
	}
	blocks := gguf.KV{Key: "glm4moe.block_count", Value: uint32(5)}
	drafting := gguf.KV{Key: "glm4moe.nextn_predict_layers", Value: uint32(1)}
	byBlock := gguf.KV{Key: "glm4moe.attention.head_count_kv", Value: []uint32{2, 2, 2, 2, 1}}
	config, notes, err := open(blocks, drafting, byBlock)
	if err != nil || len(config.Layers) != 4 || config.Layers[3].KVHeads != 2 {
		t.Errorf("got %+v and the error %v, want 4 layers", config, err)
	}
	if want := "tensors blk.4.attn_norm.weight, blk.4.nextn.enorm.weight of the file are not used"; len(notes) != 1 || !strings.Contains(notes[0], want) {
		t.Errorf("got the notes %q, want one with %q", notes, want)
	}
	if _, _, err := open(); err == nil || !strings.Contains(err.Error(), "tensors blk.4.attn_norm.weight, blk.4.nextn.enorm.weight of the file are not supported") {
		t.Errorf("without the number of such blocks: got the error %v, want one that names their tensors", err)
	}
}
