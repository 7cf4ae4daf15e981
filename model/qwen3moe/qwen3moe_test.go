package qwen3moe_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/qwen3moe"
)

func TestAModelThatLacksATensorIsAnErrorThatNamesIt(t *testing.T) {
	backend := testmodel.CPU(t, 1)
	data, err := os.ReadFile("../../testdata/models/tiny-qwen3moe.gguf")
	if err != nil {
		t.Fatal(err)
	}
	const tensor = "blk.0.ffn_up_exps.weight"
	file, err := gguf.Parse(bytes.Replace(data, []byte(tensor), bytes.Repeat([]byte("x"), len(tensor)), 1))
	if err != nil {
		t.Fatal(err)
	}
	m, err := qwen3moe.Architecture().Open(model.NewLoader(file, model.Devices{Input: backend, Output: backend}))
	if m != nil || err == nil || !strings.Contains(err.Error(), "tensor "+tensor+" is missing") {
		t.Errorf("got the model %v and the error %v, want one that says that %s is missing", m, err, tensor)
	}
}
