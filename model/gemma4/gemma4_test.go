package gemma4_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/gemma4"
)

// A model whose layers share keys and values computes what transformers does, without a cache: each
// layer attends to those that its configuration names.
func TestLayersThatShareKeysAndValuesEqualHuggingFace(t *testing.T) {
	backend := testmodel.CPU(t, 1)
	m := open(t, backend, readModel(t, "tiny-gemma4-e"))
	for i, l := range m.Config().Layers {
		if want := i >= 3; l.SharesKV != want {
			t.Errorf("layer %d: it shares keys and values: %v, want %v", i, l.SharesKV, want)
		}
	}
	data, err := os.ReadFile("../../testdata/cases/logits_tiny-gemma4-e.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Prompt []int32
			Logits [][]float32 `json:"logits_f16_gelu"`
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	const window = 16 // within which all layers see the same
	prompts := 0
	for _, c := range file.Cases {
		if len(c.Prompt) > window {
			continue
		}
		prompts++
		got := logits(t, backend, m, c.Prompt)
		for i, want := range c.Logits {
			row := got[len(c.Prompt)-len(c.Logits)+i]
			for id := range want {
				if d := math.Abs(float64(row[id] - want[id])); !(d <= 2e-2) {
					t.Fatalf("prompt of %d: logit %d of row %d is %g, want %g", len(c.Prompt), id, i, row[id], want[id])
				}
			}
		}
	}
	if prompts == 0 {
		t.Error("no prompt is as short as the window")
	}
}

func TestFilesThatMakeNoSenseAreErrorsThatSayWhatIsWrong(t *testing.T) {
	pattern := func(all ...bool) gguf.KV { return gguf.KV{Key: "gemma4.attention.sliding_window_pattern", Value: all} }
	key := func(name string, value any) gguf.KV { return gguf.KV{Key: "gemma4." + name, Value: value} }
	for _, test := range []struct {
		model string
		meta  gguf.KV
		want  string
	}{
		{"tiny-gemma4", key("attention.sliding_window", nil), "metadata gemma4.attention.sliding_window is missing"},
		{"tiny-gemma4", key("attention.sliding_window", uint32(0)), "gemma4.attention.sliding_window is 0: want a whole number from 1"},
		{"tiny-gemma4", key("attention.sliding_window", "16"), "gemma4.attention.sliding_window"},
		{"tiny-gemma4", key("attention.sliding_window_pattern", nil), "metadata gemma4.attention.sliding_window_pattern is missing"},
		{"tiny-gemma4", pattern(true, true, false, true, true, false, true), "sliding_window_pattern has 7 values: want one for each of the 6 layers"},
		{"tiny-gemma4", pattern(true, true, true, true, true, false), "tensor blk.2.attn_v.weight is missing"},
		{"tiny-gemma4", key("attention.key_length_swa", nil), "metadata gemma4.attention.key_length_swa is missing"},
		{"tiny-gemma4", key("attention.key_length_swa", uint32(48)), "tensor blk.0.attn_q.weight has the shape [64 128]: want [64 192]"},
		{"tiny-gemma4", key("attention.value_length", uint32(32)), "keys of 64 values serve as values of 32: want equally many"},
		{"tiny-gemma4", key("rope.dimension_count_swa", uint32(33)), "gemma4.rope.dimension_count_swa is 33: want an even number up to the head dimension, 32"},
		{"tiny-gemma4", key("rope.freq_base_swa", float32(0)), "gemma4.rope.freq_base_swa is 0: want a positive number"},
		{"tiny-gemma4", key("final_logit_softcapping", float32(-30)), "gemma4.final_logit_softcapping is -30: want a positive number"},
		{"tiny-gemma4", key("attention.shared_kv_layers", uint32(7)), "gemma4.attention.shared_kv_layers is 7: want a whole number from 0 to 6"},
		{"tiny-gemma4", key("attention.shared_kv_layers", int32(-1)), "gemma4.attention.shared_kv_layers is -1: want a whole number from 0 to 6"},
		{"tiny-gemma4", key("attention.shared_kv_layers", uint32(6)), "gemma4.attention.shared_kv_layers is 6: layer 0 has no keys and values of its own then"},
		{"tiny-gemma4-e", key("attention.shared_kv_layers", uint32(5)), "gemma4.attention.shared_kv_layers is 5: layer 2 has no keys and values of its own then"},
		{"tiny-gemma4-e", key("attention.head_count_kv", []uint32{1, 1, 1, 2, 2, 2}), "layer 3 attends to the keys and values of layer 1, and has 2 KV heads"},
		{"tiny-gemma4-e", key("embedding_length_per_layer_input", uint32(32)), "tensor per_layer_token_embd.weight has the shape [96 264]: want [192 264]"},
		{"tiny-gemma4-e", key("embedding_length_per_layer_input", uint32(0)), "not supported"},
		{"tiny-gemma4-e", key("embedding_length_per_layer_input", uint32(1<<16+1)), "gemma4.embedding_length_per_layer_input is 65537: want a whole number from 0 to 65536"},
		{"tiny-gemma4-moe", key("expert_used_count", uint32(9)), "gemma4.expert_used_count is 9: want at most 8, of 8 experts"},
		{"tiny-gemma4-moe", key("expert_count", nil), "not supported"},
		{"tiny-gemma4-moe", key("expert_feed_forward_length", nil), "metadata gemma4.expert_feed_forward_length is missing"},
	} {
		f, err := gguf.Parse(testmodel.Edit(t, readModel(t, test.model), []gguf.KV{test.meta}))
		if err != nil {
			t.Fatal(err)
		}
		backend := testmodel.CPU(t, 1)
		m, err := gemma4.Architecture().Open(model.NewLoader(f, model.Devices{Input: backend, Output: backend}))
		if m != nil || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s with %v = %v: got the model %v and the error %v, want one with %q", test.model, test.meta.Key, test.meta.Value, m, err, test.want)
		}
	}
}

func TestTheScalesOfExpertsStayWithTheRouter(t *testing.T) {
	f, err := gguf.Parse(readModel(t, "tiny-gemma4-moe"))
	if err != nil {
		t.Fatal(err)
	}
	const one, experts, used = 3 * 64 * 16 * 4, 8, 2
	whole, read := model.ExpertBytes(f)
	for l := range whole {
		if whole[l] != experts*one || read[l] != used*one {
			t.Errorf("layer %d: experts of %d bytes, of which a token reads %d; want %d and %d", l, whole[l], read[l], experts*one, used*one)
		}
	}
}

// Layers that share keys and values were trained with matrices of their own, which a file may have.
func TestMatricesThatLayersDoWithoutAreNotUsed(t *testing.T) {
	backend := testmodel.CPU(t, 1)
	data := testmodel.Edit(t, readModel(t, "tiny-gemma4-e"), nil, testmodel.Vector("blk.3.attn_k.weight", 64*32), testmodel.Vector("blk.3.attn_k_norm.weight", 32))
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	l := model.NewLoader(f, model.Devices{Input: backend, Output: backend})
	m, err := gemma4.Architecture().Open(l)
	if err != nil {
		t.Fatal(err)
	}
	if notes := l.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "blk.3.attn_k.weight, blk.3.attn_k_norm.weight of the file are not used") {
		t.Errorf("got the notes %q, want one that names both tensors", notes)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// Layers on several devices have the tables that all share on each of them.
func TestLayersOnSeveralDevicesHaveTheTablesOfTheirEmbeddings(t *testing.T) {
	first, second := testmodel.CPU(t, 1), testmodel.CPU(t, 1)
	f, err := gguf.Parse(readModel(t, "tiny-gemma4-e"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := gemma4.Architecture().Open(model.NewLoader(f, model.Devices{
		Input: first, Layers: []*ggml.Backend{first, first, first, second, second, second}, Output: second,
	}))
	if err != nil {
		t.Fatal(err)
	}
	const tables = 264 * (64 + 96) * 4
	for i, b := range []*ggml.Backend{first, second} {
		if n := b.Usage().Current[ggml.Weights]; n < tables {
			t.Errorf("device %d has %d bytes of weights, less than the tables, %d", i, n, tables)
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// A layer reads its own part of the rows of the table, whatever their type, if its embedding is whole
// blocks.
func TestEmbeddingsOfLayersMayBeQuantised(t *testing.T) {
	backend := testmodel.CPU(t, 1)
	prompt := []int32{1, 50, 100, 263}
	for _, test := range []struct {
		typ ggml.Type
		dim int
	}{{ggml.Q8_0, 32}, {ggml.Q6_K, 256}} {
		var exact []byte // the numbers of the table as f32
		quantised := widen(t, test.dim, func(x gguf.TensorData) gguf.TensorData {
			values := floats(x.Data)
			data, err := ggml.Quantize(test.typ, values, x.Shape[0])
			if err != nil {
				t.Fatal(err)
			}
			exact = bytesOf(ggml.Dequantize(test.typ, data, len(values)))
			x.Type, x.Data = gguf.Type(test.typ), data
			return x
		})
		plain := widen(t, test.dim, func(x gguf.TensorData) gguf.TensorData {
			x.Data = exact
			return x
		})
		got, want := logits(t, backend, open(t, backend, quantised), prompt), logits(t, backend, open(t, backend, plain), prompt)
		for i := range want {
			if !slices.Equal(got[i], want[i]) {
				t.Errorf("%v: row %d differs from that of the same numbers as f32", test.typ, i)
			}
		}
	}
	f, err := gguf.Parse(widen(t, 16, func(x gguf.TensorData) gguf.TensorData {
		x.Type = gguf.Type(ggml.Q8_0)
		x.Data = make([]byte, 264*3*34)
		return x
	}))
	if err != nil {
		t.Fatal(err)
	}
	m, err := gemma4.Architecture().Open(model.NewLoader(f, model.Devices{Input: backend, Output: backend}))
	if want := "per_layer_token_embd.weight is q8_0, which has blocks of 32 values, and a layer has 16"; m != nil || err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("embeddings of half a block: got the model %v and the error %v, want one with %q", m, err, want)
	}
}

// widen returns tiny-gemma4-e with embeddings of dim values for each layer, and another table of them.
func widen(t *testing.T, dim int, table func(gguf.TensorData) gguf.TensorData) []byte {
	t.Helper()
	const was = 16
	meta := []gguf.KV{{Key: "gemma4.embedding_length_per_layer_input", Value: uint32(dim)}}
	return testmodel.Convert(t, readModel(t, "tiny-gemma4-e"), "gemma4", meta, func(x gguf.TensorData) []gguf.TensorData {
		at := map[string]int{"per_layer_token_embd.weight": 0, "per_layer_model_proj.weight": 1, "per_layer_proj_norm.weight": 0}
		axis, wider := at[x.Name]
		switch {
		case strings.HasSuffix(x.Name, ".inp_gate.weight"):
			axis, wider = 1, true
		case strings.HasSuffix(x.Name, ".proj.weight"):
			axis, wider = 0, true
		}
		if wider {
			x.Shape = slices.Clone(x.Shape)
			x.Shape[axis] *= int64(dim / was)
			x.Data = slices.Repeat(x.Data, dim/was)
		}
		if x.Name == "per_layer_token_embd.weight" {
			x = table(x)
		}
		return []gguf.TensorData{x}
	})
}

func floats(data []byte) []float32 {
	all := make([]float32, len(data)/4)
	for i := range all {
		all[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return all
}

func bytesOf(values []float32) (data []byte) {
	for _, x := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return data
}

func readModel(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "models", name+".gguf"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open(t *testing.T, backend *ggml.Backend, data []byte) model.Model {
	t.Helper()
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	m, err := gemma4.Architecture().Open(model.NewLoader(f, model.Devices{Input: backend, Output: backend}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// logits computes the scores behind each token of a prompt, in one graph. All layers see all tokens
// up to their own.
func logits(t *testing.T, backend *ggml.Backend, m model.Model, prompt []int32) [][]float32 {
	t.Helper()
	n := int64(len(prompt))
	inputs := ggml.NewContext(4)
	defer inputs.Close()
	ids, positions, mask := inputs.New(ggml.I32, n), inputs.New(ggml.I32, n), inputs.New(ggml.F32, n, n)
	out := inputs.New(ggml.F32, int64(m.Config().Vocab), n)
	defer place(t, backend, ids, positions, mask, out).Close()
	var order []int32
	var sees []float32
	for i := range prompt {
		order = append(order, int32(i))
		for j := range prompt {
			if sees = append(sees, 0); j > i {
				sees[len(sees)-1] = float32(math.Inf(-1))
			}
		}
	}
	ggml.SetSlice(ids, prompt, 0)
	ggml.SetSlice(positions, order, 0)
	ggml.SetSlice(mask, sees, 0)

	layers := m.Config().Layers
	g := backend.NewGraph(100 * len(layers))
	defer g.Close()
	x := m.Embed(g, ids)
	keys, values := make([]*ggml.Tensor, len(layers)), make([]*ggml.Tensor, len(layers))
	for l, c := range layers {
		x = m.Layer(g, l, x, model.Tokens{IDs: ids, Positions: positions}, func(q, k, v *ggml.Tensor) *ggml.Tensor {
			of := l
			if c.SharesKV {
				of = c.KVOf
			} else {
				keys[l] = g.Cont(g.Permute(k, 0, 2, 1, 3))   // [headDim, tokens, kvHeads]
				values[l] = g.Cont(g.Permute(v, 1, 2, 0, 3)) // [tokens, headDim, kvHeads]
			}
			scores := g.SoftMax(g.MulMat(keys[of], g.Permute(q, 0, 2, 1, 3)), mask, c.Scale)
			sums := g.MulMat(values[of], scores) // [headDim, tokens, heads]
			return g.Reshape2D(g.Cont(g.Permute(sums, 0, 2, 1, 3)), int64(c.ValueDim*c.Heads), n)
		}, nil)
	}
	g.Expand(g.Cpy(m.Logits(g, x), out))
	scratch := backend.NewScratch()
	defer scratch.Close()
	if _, err := scratch.Alloc(g); err != nil {
		t.Fatal(err)
	}
	if err := backend.Compute(g); err != nil {
		t.Fatal(err)
	}
	rows := make([][]float32, n)
	for i := range rows {
		rows[i] = make([]float32, m.Config().Vocab)
		ggml.GetSlice(out, rows[i], int64(i)*out.Nb(1))
	}
	return rows
}

// place gives tensors memory.
func place(t *testing.T, backend *ggml.Backend, tensors ...*ggml.Tensor) *ggml.Buffer {
	t.Helper()
	size := int64(0)
	kind := backend.BufferType()
	align := kind.Alignment()
	var offsets []int64
	for _, x := range tensors {
		offsets = append(offsets, size)
		size += (kind.AllocSize(x) + align - 1) / align * align
	}
	b, err := backend.Alloc(kind, size, ggml.Inputs)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range tensors {
		b.Place(x, offsets[i])
	}
	return b
}
