package model_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/gemma3"
	"github.com/seed4d217819/ebb/model/gemma4"
	"github.com/seed4d217819/ebb/model/glm4"
	"github.com/seed4d217819/ebb/model/glm4moe"
	"github.com/seed4d217819/ebb/model/gptoss"
	"github.com/seed4d217819/ebb/model/granite"
	"github.com/seed4d217819/ebb/model/granitehybrid"
	"github.com/seed4d217819/ebb/model/lfm2"
	"github.com/seed4d217819/ebb/model/llama"
	"github.com/seed4d217819/ebb/model/mistral3"
	"github.com/seed4d217819/ebb/model/nemotronh"
	"github.com/seed4d217819/ebb/model/phi3"
	"github.com/seed4d217819/ebb/model/qwen2"
	"github.com/seed4d217819/ebb/model/qwen2moe"
	"github.com/seed4d217819/ebb/model/qwen3"
	"github.com/seed4d217819/ebb/model/qwen35"
	"github.com/seed4d217819/ebb/model/qwen35moe"
	"github.com/seed4d217819/ebb/model/qwen3moe"
	"github.com/seed4d217819/ebb/model/qwen3next"
	"github.com/seed4d217819/ebb/model/smollm3"
)

// known are all architectures, and goldens a small model of each. One more of llama has experts.
var (
	known = []model.Architecture{
		llama.Architecture(), mistral3.Architecture(), phi3.Architecture(), glm4moe.Architecture(),
		qwen2.Architecture(), qwen3.Architecture(), qwen2moe.Architecture(), qwen3moe.Architecture(),
		smollm3.Architecture(), granite.Architecture(), glm4.Architecture(), gemma3.Architecture(), gemma4.Architecture(), gptoss.Architecture(),
		qwen35.Architecture(), qwen35moe.Architecture(), qwen3next.Architecture(), lfm2.Architecture(), granitehybrid.Architecture(), nemotronh.Architecture(),
	}
	goldens = []string{
		"tiny-one", "tiny-mistral3", "tiny-longrope", "tiny-glm4moe", "tiny-qwen2", "tiny-qwen3", "tiny-qwen2moe", "tiny-qwen3moe",
		"tiny-smollm3", "tiny-granite", "tiny-glm4", "tiny-mixtral", "tiny-gemma3", "tiny-gemma4", "tiny-gemma4-e", "tiny-gemma4-moe",
		"tiny-gptoss", "tiny-qwen35", "tiny-qwen35-mtp", "tiny-qwen35moe", "tiny-qwen3next", "tiny-qwen3next-old",
		"tiny-lfm2", "tiny-lfm2moe", "tiny-granitehybrid", "tiny-granitehybrid-moe",
		"tiny-nemotron", "tiny-nemotron-moe", "tiny-nemotron-latent",
	}
)

// open opens a model, and returns its configuration. What its header says of the K/V must be the same.
func open(tb testing.TB, data []byte) (model.Config, error) {
	tb.Helper()
	file, err := gguf.Parse(data)
	if err != nil {
		return model.Config{}, err
	}
	model.StepBytes(file)
	header, headerErr := model.ReadConfig(file, known)
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
	if got, want := header.Layers, m.Config().Layers; headerErr != nil || !slices.EqualFunc(got, want, sameCache) || header.Vocab != m.Config().Vocab {
		tb.Errorf("the header has %d layers, %+v, and the error %v; the model has %d layers, %+v", len(got), got, headerErr, len(want), want)
	}
	return m.Config(), m.Close()
}

// sameCache reports whether layers keep the same in a cache.
func sameCache(a, b model.Layer) bool {
	return a.KVHeads == b.KVHeads && a.KeyDim == b.KeyDim && a.ValueDim == b.ValueDim && a.Window == b.Window && a.SharesKV == b.SharesKV && a.KVOf == b.KVOf &&
		a.State == b.State
}

// optional reports whether models of the same architecture exist without the tensor. Biases of
// projections are what some have and others do not; but a model that had a bias is another one
// without it, which no reader of the file can know.
func optional(name string) bool {
	return name == "output.weight" || strings.HasSuffix(name, ".layer_output_scale.weight") || strings.HasSuffix(name, ".bias") && !strings.Contains(name, "exp_probs_b") && !strings.Contains(name, "ssm_dt")
}

// asBefore reports whether an earlier layer has the same tensor, or the model does without the layer's.
// Experts may begin in any layer.
func asBefore(file *gguf.File, name string) bool {
	var layer int
	if _, err := fmt.Sscanf(name, "blk.%d.", &layer); err != nil || layer < model.LayerCount(file) && strings.Contains(name, "exp") {
		return false
	}
	_, own, _ := strings.Cut(strings.TrimPrefix(name, "blk."), ".")
	for l := range layer {
		if _, there := file.Tensor(fmt.Sprintf("blk.%d.%s", l, own)); there {
			return true
		}
	}
	return layer >= model.LayerCount(file)
}

func TestAModelOfAnyArchitectureThatLacksATensorIsAnErrorThatNamesIt(t *testing.T) {
	for _, name := range goldens {
		data := testmodel.Golden(t, name)
		file, err := gguf.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range file.Tensors() {
			if optional(tensor.Name) || asBefore(file, tensor.Name) {
				continue
			}
			without := testmodel.Convert(t, data, file.Architecture(), nil, func(x gguf.TensorData) []gguf.TensorData {
				if x.Name == tensor.Name {
					return nil
				}
				return []gguf.TensorData{x}
			})
			missing := func(name string) string { return "tensor " + name + " is missing" }
			several := strings.NewReplacer("attn_qkv", "attn_q", "ffn_gate_up_exps", "ffn_gate_exps", "ssm_in", "attn_qkv")
			instead := several.Replace(tensor.Name) // of one matrix
			if _, err := open(t, without); err == nil || !strings.Contains(err.Error(), missing(tensor.Name)) && !strings.Contains(err.Error(), missing(instead)) {
				t.Errorf("%s without %s: got the error %v, want one that says that it is missing", name, tensor.Name, err)
			}
		}
	}
}

// hostile are the ways in which a tensor may be another than its architecture wants.
var hostile = map[string]func(x gguf.TensorData) gguf.TensorData{
	"a row of numbers more": func(x gguf.TensorData) gguf.TensorData {
		last := len(x.Shape) - 1
		x.Data = append(slices.Clone(x.Data), make([]byte, int64(len(x.Data))/x.Shape[last])...)
		x.Shape = slices.Clone(x.Shape)
		x.Shape[last]++
		return x
	},
	"as many numbers in other dimensions": func(x gguf.TensorData) gguf.TensorData {
		if n := int64(len(x.Data) / 4); len(x.Shape) == 1 {
			x.Shape = []int64{1, n}
		} else {
			x.Shape = []int64{n}
		}
		return x
	},
	"whole numbers": func(x gguf.TensorData) gguf.TensorData {
		x.Type = gguf.I32
		return x
	},
}

func TestAModelOfAnyArchitectureWithAnotherTensorIsAnErrorThatNamesIt(t *testing.T) {
	for _, name := range goldens {
		data := testmodel.Golden(t, name)
		file, err := gguf.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range file.Tensors() {
			if asBefore(file, tensor.Name) {
				continue
			}
			for what, change := range hostile {
				if tensor.Name == "token_embd.weight" && what == "a row of numbers more" {
					continue // it says how large the vocabulary is
				}
				if tensor.Size == 4 && what == "as many numbers in other dimensions" {
					continue // one number has no other dimensions
				}
				with := testmodel.Convert(t, data, file.Architecture(), nil, func(x gguf.TensorData) []gguf.TensorData {
					if x.Name == tensor.Name {
						x = change(x)
					}
					return []gguf.TensorData{x}
				})
				if _, err := open(t, with); err == nil || !strings.Contains(err.Error(), tensor.Name) {
					t.Errorf("%s with %s in %s: got the error %v, want one that names the tensor", name, what, tensor.Name, err)
				}
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
		data[name] = testmodel.Golden(f, name)
		file, err := gguf.Parse(data[name])
		if err != nil {
			f.Fatal(err)
		}
		keys[name], _ = testmodel.Keys(file)
		for k := range keys[name] {
			f.Add(uint8(i), uint8(k), uint8(k), int64(3), 0.5)
		}
	}
	f.Fuzz(func(t *testing.T, golden, key, kind uint8, n int64, x float64) {
		name := goldens[int(golden)%len(goldens)]
		values := []any{n, uint64(n), int8(n), x, float32(x), "", n%2 == 0, []int64{n, n + 1, n, n}, []float64{x, x}, []string{}, uint32(n), nil}
		meta := []gguf.KV{{Key: keys[name][int(key)%len(keys[name])], Value: values[int(kind)%len(values)]}}
		c, err := open(t, testmodel.Edit(t, data[name], meta))
		if err == nil && !sensible(c) {
			t.Errorf("%s with %v: opened with %+v", name, meta, c)
		}
	})
}

// sensible reports whether a configuration can be computed with.
func sensible(c model.Config) bool {
	return c.Context > 0 && len(c.Layers) > 0 && !slices.ContainsFunc(c.Layers, func(l model.Layer) bool {
		carries := l.Heads == 0 && l.KVHeads == 0 && l.State.Memory >= 0 && l.State.Inputs >= 0 // a state, or nothing
		return !carries && (l.Heads < 1 || l.KVHeads < 1 && !l.SharesKV || l.State != model.State{}) || l.ExpertsUsed < 0 || l.Window < 0
	})
}

// Whatever the bytes of a file's header are, reading it ends in a model with sensible numbers or in an
// error.
func FuzzHeaderOfAnyArchitecture(f *testing.F) {
	var all [][]byte
	var ends []int
	for i, name := range goldens {
		data := testmodel.Golden(f, name)
		file, err := gguf.Parse(data)
		if err != nil {
			f.Fatal(err)
		}
		end := len(data) // of the header
		for _, tensor := range file.Tensors() {
			end = min(end, int(tensor.Offset))
		}
		all, ends = append(all, data), append(ends, end)
		for _, text := range []string{".block_count", "token_embd.weight", "blk.0.attn_q"} { // the kinds, counts and offsets behind them
			at := bytes.Index(data, []byte(text)) + len(text)
			f.Add(uint8(i), uint32(at+4), []byte{0xff})
			f.Add(uint8(i), uint32(at+8), []byte{0, 0, 0, 0, 0, 0, 0, 0x10})
			f.Add(uint8(i), uint32(at+12), []byte{1, 0, 0, 0, 0, 0, 0, 0x10})
		}
	}
	f.Fuzz(func(t *testing.T, golden uint8, at uint32, with []byte) {
		i := int(golden) % len(goldens)
		data := slices.Clone(all[i])
		copy(data[int(at)%ends[i]:ends[i]], with)
		c, err := open(t, data)
		if err == nil && !sensible(c) {
			t.Errorf("%s with %v at %d: opened with %+v", goldens[i], with, int(at)%ends[i], c)
		}
	})
}
