package llama_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/llama"
)

// openWithout opens a model in which one tensor has another name.
func openWithout(t *testing.T, tensor string) (model.Model, error) {
	t.Helper()
	backend := testmodel.CPU(t, 1)
	renamed := strings.Repeat("x", len(tensor))
	file, err := gguf.Parse(bytes.Replace(testmodel.Llama(testmodel.Options{}), []byte(tensor), []byte(renamed), 1))
	if err != nil {
		t.Fatal(err)
	}
	return llama.Architecture().Open(model.NewLoader(file, model.Devices{Input: backend, Output: backend}))
}

func TestAModelThatLacksATensorIsAnErrorAndNoModel(t *testing.T) {
	const tensor = "blk.0.attn_q.weight"
	m, err := openWithout(t, tensor)
	if m != nil { // a caller would close it
		t.Errorf("got the model %v, want none", m)
	}
	if err == nil || !strings.Contains(err.Error(), "tensor "+tensor+" is missing") {
		t.Errorf("got the error %v, want one that says that %s is missing", err, tensor)
	}
}
