package model_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/gemma3"
	"github.com/seed4d217819/ebb/model/glm4moe"
	"github.com/seed4d217819/ebb/model/llama"
	"github.com/seed4d217819/ebb/model/mistral3"
	"github.com/seed4d217819/ebb/model/phi3"
	"github.com/seed4d217819/ebb/model/qwen2"
	"github.com/seed4d217819/ebb/model/qwen2moe"
	"github.com/seed4d217819/ebb/model/qwen3"
	"github.com/seed4d217819/ebb/model/qwen3moe"
)

// known are the architectures that have a small model in testdata, which goldens names.
var (
	known = []model.Architecture{
		llama.Architecture(), mistral3.Architecture(), phi3.Architecture(), glm4moe.Architecture(),
		qwen2.Architecture(), qwen3.Architecture(), qwen2moe.Architecture(), qwen3moe.Architecture(),
		gemma3.Architecture(),
	}
	goldens = []string{"tiny-one", "tiny-mistral3", "tiny-longrope", "tiny-glm4moe", "tiny-qwen2", "tiny-qwen3", "tiny-qwen2moe", "tiny-qwen3moe", "tiny-gemma3"}
)

func readGolden(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", "models", name+".gguf"))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// open opens a model, and returns its configuration.
func open(tb testing.TB, data []byte) (model.Config, error) {
	tb.Helper()
	file, err := gguf.Parse(data)
	if err != nil {
		return model.Config{}, err
	}
	architecture, err := model.Find(file.Architecture(), known)
	if err != nil {
		return model.Config{}, err
	}
	backend := testmodel.CPU(tb, 1)
	m, err := architecture.Open(model.NewLoader(file, model.Devices{Input: backend, Output: backend}))
	if err != nil {
		if m != nil { // a caller would close it
			tb.Errorf("got the model %v beside the error %v, want none", m, err)
		}
		return model.Config{}, err
	}
	return m.Config(), m.Close()
}

// optional reports whether models of the same architecture exist without the tensor. Biases of
// projections are what some have and others do not; but a model that had a bias is another one
// without it, which no reader of the file can know.
func optional(name string) bool {
	return name == "output.weight" || strings.HasSuffix(name, ".bias") && !strings.Contains(name, "exp_probs_b")
}

func TestAModelOfAnyArchitectureThatLacksATensorIsAnErrorThatNamesIt(t *testing.T) {
	for _, name := range goldens {
		data := readGolden(t, name)
		file, err := gguf.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range file.Tensors() {
			if optional(tensor.Name) || strings.HasPrefix(tensor.Name, "blk.") && !strings.HasPrefix(tensor.Name, "blk.0.") && !strings.Contains(tensor.Name, "exp") {
				continue // the other layers are as the first one
			}
			without := testmodel.Convert(t, data, file.Architecture(), nil, func(x gguf.TensorData) []gguf.TensorData {
				if x.Name == tensor.Name {
					return nil
				}
				return []gguf.TensorData{x}
			})
			missing := strings.Replace(tensor.Name, "attn_qkv", "attn_q", 1) // one or three matrices
			if _, err := open(t, without); err == nil || !strings.Contains(err.Error(), "tensor "+missing+" is missing") {
				t.Errorf("%s without %s: got the error %v, want one that says that it is missing", name, tensor.Name, err)
			}
		}
	}
}

// Whatever a file says of its model, opening it ends in a model with sensible numbers or in an
// error.
func FuzzMetadataOfAnyArchitecture(f *testing.F) {
	data := map[string][]byte{}
	keys := map[string][]string{}
	for i, name := range goldens {
		data[name] = readGolden(f, name)
		file, err := gguf.Parse(data[name])
		if err != nil {
			f.Fatal(err)
		}
		for key := range file.Metadata() {
			if strings.HasPrefix(key, file.Architecture()+".") {
				keys[name] = append(keys[name], key)
			}
		}
		keys[name] = append(keys[name], file.Architecture()+".nextn_predict_layers", file.Architecture()+".expert_gating_func")
		for k := range keys[name] {
			f.Add(uint8(i), uint8(k), uint8(k), int64(3), 0.5)
		}
	}
	f.Fuzz(func(t *testing.T, golden, key, kind uint8, n int64, x float64) {
		name := goldens[int(golden)%len(goldens)]
		values := []any{n, uint64(n), int8(n), x, float32(x), "", n%2 == 0, []int64{n, n + 1, n, n}, []float64{x, x}, []string{}, uint32(n), nil}
		meta := []gguf.KV{{Key: keys[name][int(key)%len(keys[name])], Value: values[int(kind)%len(values)]}}
		c, err := open(t, testmodel.Edit(t, data[name], meta))
		if err == nil && (c.Context < 1 || len(c.Layers) == 0 || slices.ContainsFunc(c.Layers, func(l model.Layer) bool { return l.Heads < 1 || l.KVHeads < 1 || l.ExpertsUsed < 0 })) {
			t.Errorf("%s with %v: opened with %+v", name, meta, c)
		}
	})
}
