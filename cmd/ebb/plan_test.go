package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

func TestNamedMachinesAreCompleteAndSayTheirSources(t *testing.T) {
	names := machineNames()
	if len(names) < 2 {
		t.Errorf("machines %q, want at least two", names)
	}
	for _, name := range names {
		if m, err := namedMachine(name); err != nil || m.Name == "" || len(m.Sources) < 5 {
			t.Errorf("%s: %v, name %q, %d sources; want a name and a source for each figure", name, err, m.Name, len(m.Sources))
		}
	}
}

func TestBarShowsEveryPartThatTakesBytes(t *testing.T) {
	for _, test := range []struct {
		whole int64
		parts []barPart
		want  string
	}{
		{100, []barPart{{'A', 50}, {'B', 1}, {'C', 20}}, strings.Repeat("A", 25) + "B" + strings.Repeat("C", 9) + strings.Repeat(".", 15)},
		{100, []barPart{{'A', 1000}, {'B', 1}}, strings.Repeat("A", 50)},
		{0, nil, strings.Repeat(".", 50)},
	} {
		if got := bar(test.whole, test.parts...); got != "["+test.want+"]" {
			t.Errorf("%v of %d: %s, want [%s]", test.parts, test.whole, got, test.want)
		}
	}
}

func TestPlanKnowsEveryTypeOfKV(t *testing.T) {
	file, err := gguf.Open("../../testdata/models/tiny-gqa.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, name := range kv.TypeNames() {
		r, s, err := planRequest(file, name)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(s.KVBytes, func(kv kvBytes) bool { return kv.Type == name })
		if got := int64(len(r.Layers)) * r.Layers[0].RowBytes; got != s.KVBytes[i].PerToken {
			t.Errorf("%s: %d bytes a token, want %d", name, got, s.KVBytes[i].PerToken)
		}
	}
}

func TestImpossibleHeadersAreRefusedByPlan(t *testing.T) {
	model, err := os.ReadFile("../../testdata/models/tiny-gqa.gguf")
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]any{
		"llama.block_count": uint32(1 << 31), "llama.embedding_length": uint32(0), "llama.context_length": uint64(1 << 62),
		"llama.attention.head_count_kv": []int32{1, 2}, "llama.attention.key_length": int32(-1), "llama.feed_forward_length": nil,
	} {
		data := testmodel.Edit(t, bytes.Clone(model), []gguf.KV{{Key: key, Value: value}})
		file, err := gguf.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = planRequest(file, "f16")
		if name := strings.TrimPrefix(key, "llama."); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s = %v: %v, want an error that names it", key, value, err)
		}
	}
	// All blocks only draft tokens: no layer is left.
	data := testmodel.Edit(t, model, []gguf.KV{
		{Key: "llama.nextn_predict_layers", Value: uint32(5)}, {Key: "llama.feed_forward_length", Value: slices.Repeat([]uint32{128}, 5)},
	})
	file, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := planRequest(file, "f16"); err == nil || !strings.Contains(err.Error(), "block_count is 0") {
		t.Errorf("no layers: %v, want an error that says so", err)
	}
}

// Of the 8 experts in each of tiny-qwen3moe's layers a token goes through 2.
func TestAStepReadsOnlyTheExpertsThatAreUsed(t *testing.T) {
	file, err := gguf.Open("../../testdata/models/tiny-qwen3moe.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	request, s, err := planRequest(file, "f16")
	if err != nil {
		t.Fatal(err)
	}
	const layers, hidden, ff = 4, 64, 16
	embedding, _ := file.Tensor("token_embd.weight")
	want := s.Bytes - embedding.Size - layers*6*3*hidden*ff*4 // six of the experts of a layer are not read
	if request.StepWeights != want {
		t.Errorf("a step reads %d bytes of weights, want %d", request.StepWeights, want)
	}
	const expert = layers * 3 * hidden * ff * 4 // bytes of one in all layers
	if e := (expertsSummary{Count: 8, Used: 2, FeedForward: ff, Bytes: 8 * expert, ReadBytes: 2 * expert}); s.Experts == nil || *s.Experts != e {
		t.Errorf("got the experts %+v, want %+v", s.Experts, e)
	}
}

func TestAStepReadsNoEmbeddingThatIsNotTheOutputMatrix(t *testing.T) {
	var b bytes.Buffer
	tensor := func(name string, shape ...int64) gguf.TensorData { // 34 bytes for each 32 values
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		return gguf.TensorData{Name: name, Type: gguf.Q8_0, Shape: shape, Data: make([]byte, gguf.Q8_0.RowSize(n))}
	}
	meta := []gguf.KV{{Key: "general.architecture", Value: "llama"}}
	if err := gguf.Write(&b, meta, []gguf.TensorData{tensor("token_embd.weight", 32, 4), tensor("output.weight", 32, 2)}); err != nil {
		t.Fatal(err)
	}
	file, err := gguf.Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := model.StepBytes(file), int64(2*34); got != want {
		t.Errorf("a step reads %d bytes, want those of the output matrix, %d", got, want)
	}
}

// The names in JSON are those that scripts know, and docs/planning.md has them all.
func TestTheJSONOfAPlanKeepsItsNames(t *testing.T) {
	file, err := gguf.Open("../../testdata/models/tiny-gqa.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	f := planFlags{
		model: "m.gguf", kvType: "f16", context: 1 << 18, sequences: 1, beams: 1, machine: "rtx4080",
		deviceMemory: 300 << 20, hostMemory: 100 << 20, hostStated: true, disk: diskPlace{"/d", 1 << 30},
	}
	p, err := f.plan(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.printJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	collectNames(got, "", names)
	want := strings.Fields(`
		beams command context contexts contexts.most contexts.no_disk contexts.resident
		decode decode.compute_seconds decode.depth decode.disk_bytes decode.disk_seconds
		decode.expected decode.expected.compute_seconds decode.expected.disk_seconds decode.expected.limited_by
		decode.expected.link_seconds decode.expected.step_seconds decode.expected.tokens_per_second
		decode.limited_by decode.link_bytes decode.link_seconds decode.read_bytes decode.serial decode.step_seconds decode.tokens_per_second
		device device.budget_bytes device.free_bytes device.resident device.resident_bytes device.resident_layers
		device.slots device.slots_bytes device.step_bytes device.weights_bytes device.windowed_bytes
		disk disk.budget_bytes disk.bytes disk.past_windows_bytes disk.tokens
		host host.budget_bytes host.bytes host.past_windows_bytes host.tokens kv_type
		machine machine.device_memory_bytes machine.device_memory_rate machine.disk_rate machine.host_memory_bytes machine.host_memory_rate machine.link_rate machine.name machine.sources
		model model.architecture model.context model.full_layers model.layers model.name model.shared_layers model.token_bytes model.windowed_layers sequences`)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(names)), want); diff != "" {
		t.Errorf("names (-got +want):\n%s", diff)
	}
	docs, err := os.ReadFile("../../docs/planning.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range names {
		last := name[strings.LastIndex(name, ".")+1:]
		if !bytes.Contains(docs, []byte("`"+last+"`")) {
			t.Errorf("docs/planning.md does not have `%s`", last)
		}
	}
}

// collectNames collects the paths of all fields.
func collectNames(value any, path string, names map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for key, of := range v {
			name := strings.TrimPrefix(path+"."+key, ".")
			names[name] = true
			collectNames(of, name, names)
		}
	case []any:
		for _, of := range v {
			collectNames(of, path, names)
		}
	}
}
