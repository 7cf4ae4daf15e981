package ebb_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
)

// smolLM2 returns where the real model is: $EBB_TEST_MODEL or the cache folder.
func smolLM2(t testing.TB) string {
	t.Helper()
	path := os.Getenv("EBB_TEST_MODEL")
	if path == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			t.Skipf("no cache folder: %v", err)
		}
		path = filepath.Join(dir, "ebb", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("SmolLM2 is not in the cache: run make model")
	}
	return path
}

// goldenSmol is a case of smollm2.json; the beam cases have no ids.
type goldenSmol struct {
	Kind         string
	PromptIDs    []int32   `json:"prompt_ids"`
	InputIDs     [][]int32 `json:"input_ids"`
	IDs          any
	LlamaIDs     any `json:"llama_ids"`
	Margins      any
	LlamaMargins any `json:"llama_margins"`
}

// row is one prompt and its continuation by Hugging Face with the weights dequantised, and by
// libllama with the file's own.
type row struct {
	prompt       []int32
	hf, llama    []int32
	hfMargins    []float64
	llamaMargins []float64
}

// smolRows returns the greedy rows of smollm2.json.
func smolRows(t *testing.T) (rows []row) {
	for _, c := range golden[goldenSmol](t, "smollm2") {
		switch c.Kind {
		case "beam":
		case "batch_greedy":
			for i, prompt := range c.InputIDs { // both are of one length: no padding
				rows = append(rows, row{
					prompt: prompt,
					hf:     numbers[int32](c.IDs.([]any)[i]), hfMargins: numbers[float64](c.Margins.([]any)[i]),
					llama: numbers[int32](c.LlamaIDs.([]any)[i]), llamaMargins: numbers[float64](c.LlamaMargins.([]any)[i]),
				})
			}
		default:
			rows = append(rows, row{
				prompt: c.PromptIDs,
				hf:     numbers[int32](c.IDs), hfMargins: numbers[float64](c.Margins),
				llama: numbers[int32](c.LlamaIDs), llamaMargins: numbers[float64](c.LlamaMargins),
			})
		}
	}
	if len(rows) != 9 {
		t.Fatalf("%d greedy rows; want 9", len(rows))
	}
	return rows
}

func numbers[T int32 | float64](list any) (out []T) {
	for _, v := range list.([]any) {
		out = append(out, T(v.(float64)))
	}
	return out
}

// sure returns how many steps have a margin of 1 or more: what Q4_1's products with 8-bit
// activations cannot turn.
func sure(margins []float64) int {
	if i := slices.IndexFunc(margins, func(m float64) bool { return m < 1 }); i >= 0 {
		return i
	}
	return len(margins)
}

func TestSmolLM2EqualsTheReferencesWhereTheyAreSure(t *testing.T) {
	path := smolLM2(t)
	requireDevice(t, "cpu")
	compared := 0
	for _, policy := range []kv.Policy{kv.Dynamic, kv.Offloaded} {
		e := cpuCopies.open(t, path, ebb.Options{Cache: policy, Context: 512})
		for i, r := range smolRows(t) {
			hf, llama := sure(r.hfMargins), sure(r.llamaMargins)
			got, _ := greedy(t, e, r.prompt, max(hf, llama, 1))
			if !slices.Equal(got[:hf], r.hf[:hf]) {
				t.Errorf("%v, row %d: got %v; Hugging Face %v", policy, i, got[:hf], r.hf[:hf])
			}
			if !slices.Equal(got[:llama], r.llama[:llama]) {
				t.Errorf("%v, row %d: got %v; libllama %v", policy, i, got[:llama], r.llama[:llama])
			}
			compared += hf + llama
		}
	}
	if compared < 40 {
		t.Errorf("%d tokens were compared; want at least 40", compared)
	}
}

func TestDequantisedSmolLM2EqualsHuggingFaceExactly(t *testing.T) {
	path := smolLM2(t)
	requireDevice(t, "cpu")
	e := cpuCopies.open(t, testmodel.Dequantized(t, path), ebb.Options{Cache: kv.Offloaded, KVType: "f32", Context: 512, Threads: 2})
	for i, r := range smolRows(t) {
		got, _ := greedy(t, e, r.prompt, len(r.hf))
		if !slices.Equal(got, r.hf) {
			t.Errorf("row %d:\n got %v\nwant %v", i, got, r.hf)
		}
	}
}

func TestSmolLM2GivesTheBitsOfStaticUnderEveryPolicy(t *testing.T) {
	path := smolLM2(t)
	requireDevice(t, "cpu")
	var want [][]float32
	for _, policy := range []kv.Policy{kv.Static, kv.Dynamic, kv.Offloaded, kv.OffloadedStatic} {
		for _, p := range cpuPlaces {
			e := p.open(t, path, ebb.Options{Cache: policy, Context: 512})
			ids, rows := greedy(t, e, smolRows(t)[2].prompt, 8)
			if want == nil {
				want = rows
			}
			if err := sameBits(rows, want); err != nil {
				t.Errorf("%v, %s: %v (ids %v)", policy, p.name, err, ids)
			}
		}
	}
}
