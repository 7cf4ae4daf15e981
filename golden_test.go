package ebb_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
)

// goldenModels are models of all architectures.
var goldenModels = []string{
	"tiny-gqa", "tiny-mha", "tiny-mqa", "tiny-one", "tiny-two", "tiny-yarn", "tiny-yarn-af", "tiny-qwen2", "tiny-qwen3",
	"tiny-qwen2moe", "tiny-qwen3moe", "tiny-glm4moe", "tiny-mistral3",
	"tiny-mixtral", "tiny-granite", "tiny-granite-nope", "tiny-smollm3", "tiny-glm4",
	"tiny-gemma3", "tiny-gemma4", "tiny-gemma4-e", "tiny-gemma4-moe", "tiny-gptoss",
	"tiny-qwen35", "tiny-qwen35-mtp", "tiny-qwen35moe", "tiny-qwen3next", "tiny-qwen3next-old",
	"tiny-lfm2", "tiny-lfm2moe", "tiny-granitehybrid", "tiny-granitehybrid-moe",
	"tiny-nemotron", "tiny-nemotron-moe", "tiny-nemotron-latent",
}

// tolerance is how far logits may be from Hugging Face's with f32 weights and K/V: on the CPU
// another order of summation (1e-3 where 4e-5 was measured). The software Vulkan device multiplies
// matrices of more than 8 rows in half precision: 5e-3 of the largest logits, which are near 10
// (3.6e-2 was measured, and 3e-6 for a prompt of one token).
func (p place) tolerance() float64 {
	if p.device == "cpu" {
		return 1e-3
	}
	return 5e-2
}

// toleranceOf is the tolerance for a model. Experts are three products more in half precision, behind
// those of a router, whose weights are rounded with them (5.1e-2 was measured). The CPU's GELU has
// steps, over which a difference of 1e-6 jumps (2.6e-3 was measured, and 5e-3 for Gemma 4). The norm
// behind a delta net magnifies rounding where its output is small.
func (p place) toleranceOf(model string) float64 {
	if p.device == "cpu" && strings.HasPrefix(model, "tiny-gemma") {
		return 2e-2
	}
	if p.device == "cpu" && (strings.HasPrefix(model, "tiny-qwen35") || strings.HasPrefix(model, "tiny-qwen3next")) {
		return 2e-3
	}
	if p.device != "cpu" && strings.HasSuffix(model, "moe") {
		return 8e-2
	}
	return p.tolerance()
}

type goldenLogits struct {
	Prompt    []int32
	Logits    [][]float32
	TableGELU [][]float32 `json:"logits_f16_gelu"` // with the GELU of ggml's CPU, a table in half precision; nil: the model has none
}

// in returns the logits for a place.
func (c goldenLogits) in(p place) [][]float32 {
	if p.device == "cpu" && c.TableGELU != nil {
		return c.TableGELU
	}
	return c.Logits
}

type goldenGreedy struct {
	Prompt, IDs []int32
	Margins     []float64
}

type goldenBatch struct {
	InputIDs      [][]int32 `json:"input_ids"`
	AttentionMask [][]int   `json:"attention_mask"`
	EOS           *int32    `json:"eos_token_id"`
	IDs           [][]int32
	Margins       [][]float64
}

// onEach runs a test for each model, place and policy; where only short tests run, for each policy
// with one model, on the CPU with copies.
func onEach(t *testing.T, models []string, run func(t *testing.T, model string, p place, e *ebb.Engine)) {
	for _, p := range allPlaces {
		for _, model := range models {
			if p.device != "cpu" && model != "tiny-gqa" && !testAll {
				continue // shaders of other shapes take minutes to compile
			}
			if p.shared && model == "tiny-gemma4-e" {
				continue // one device must compute the layers that share K/V, and those whose they are
			}
			if testing.Short() && (p != cpuCopies || model != "tiny-gqa") {
				continue
			}
			for _, policy := range p.policies() {
				t.Run(p.name+"/"+model+"/"+policy.String(), func(t *testing.T) {
					run(t, model, p, p.openShort(t, goldenPath(t, model), ebb.Options{Cache: policy, KVType: "f32"}))
				})
			}
		}
	}
}

func TestLogitsEqualHuggingFace(t *testing.T) {
	onEach(t, goldenModels, func(t *testing.T, model string, p place, e *ebb.Engine) {
		for _, c := range golden[goldenLogits](t, "logits_"+model) {
			if !p.prompt(len(c.Prompt)) {
				continue
			}
			s, want := e.NewSeq(), p.rows(c.in(p))
			if d := worst(t, forward(t, e, s, c.Prompt, len(want)), want); d > p.toleranceOf(model) {
				t.Errorf("prompt of %d: logits differ by %g; want at most %g", len(c.Prompt), d, p.toleranceOf(model))
			}
			closeSeq(t, s)
		}
	})
}

// In AMX's tiles, prompts of more than 16 tokens have Hugging Face's logits too, with K/V in one piece
// and in layers that are streamed.
func TestLogitsInTilesEqualHuggingFace(t *testing.T) {
	requireDevice(t, "cpu")
	if !slices.Contains(isa.All(), isa.AMX) {
		t.Skip("cpu: no AMX here")
	}
	for _, policy := range []kv.Policy{kv.Static, kv.Offloaded} {
		e := cpuCopies.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: policy, KVType: "f32", Attention: attend.Tiles})
		long := 0
		for _, c := range golden[goldenLogits](t, "logits_tiny-gqa") {
			if len(c.Prompt) > 16 {
				long++
			}
			s, want := e.NewSeq(), cpuCopies.rows(c.Logits)
			if d := worst(t, forward(t, e, s, c.Prompt, len(want)), want); d > cpuCopies.tolerance() {
				t.Errorf("%v: prompt of %d: logits differ by %g; want at most %g", policy, len(c.Prompt), d, cpuCopies.tolerance())
			}
			closeSeq(t, s)
		}
		if long == 0 {
			t.Error("no prompt is so long that tiles compute it")
		}
	}
}

func TestGreedyEqualsHuggingFace(t *testing.T) {
	onEach(t, goldenModels, func(t *testing.T, model string, p place, e *ebb.Engine) {
		for _, c := range golden[goldenGreedy](t, "greedy_"+model) {
			if !p.prompt(len(c.Prompt)) {
				continue
			}
			n := firstUnsure(c.Margins, p)
			got, _ := greedy(t, e, c.Prompt, n)
			if !slices.Equal(got, c.IDs[:n]) {
				t.Errorf("prompt of %d:\n got %v\nwant %v", len(c.Prompt), got, c.IDs[:n])
			}
		}
	})
}

// Of models whose operations no other test has on this device, a few short prompts must do: its shaders
// take long to compile. One has a mixture of experts, one layers with windows, and two have both with
// sinks and biases, one of them with experts in MXFP4. Of matrices with up to 8 rows the device rounds
// less, and chunks of two tokens need the fewest shaders.
func TestOtherLayersOnAnotherDeviceEqualHuggingFace(t *testing.T) {
	for model, prompts := range map[string]int{"tiny-qwen3moe": 2, "tiny-gemma3": 3, "tiny-gptoss": 3, "tiny-gptoss-mxfp4": 2} {
		t.Run(model, func(t *testing.T) {
			e := onGPU.open(t, modelPath(model), ebb.Options{Cache: kv.Offloaded, KVType: "f32", ChunkTokens: 2})
			for _, c := range golden[goldenLogits](t, "logits_"+model)[:prompts] {
				s, want := e.NewSeq(), onGPU.rows(c.Logits)
				if d := worst(t, forward(t, e, s, c.Prompt, len(want)), want); d > onGPU.tolerance() {
					t.Errorf("prompt of %d: logits differ by %g; want at most %g", len(c.Prompt), d, onGPU.tolerance())
				}
				closeSeq(t, s)
			}
		})
	}
}

// firstUnsure returns how many steps have a margin that the place's tolerance cannot turn: all of
// them on the CPU. Behind the first other one the contexts may differ. Of the slow device's steps
// the first ones must do.
func firstUnsure(margins []float64, p place) int {
	if p.device == "cpu" {
		return len(margins)
	}
	const slow = 12
	for i, m := range margins {
		if m <= 2*p.tolerance() || i == slow && !testAll {
			return i
		}
	}
	return len(margins)
}

func TestBatchWithoutPaddingEqualsHuggingFace(t *testing.T) {
	onEach(t, []string{"tiny-gqa", "tiny-mha", "tiny-qwen3moe", "tiny-gptoss", "tiny-qwen35", "tiny-qwen35moe"}, func(t *testing.T, model string, p place, e *ebb.Engine) {
		var margins [][]float64 // a case with an eos has those of its twin before it
		for i, c := range golden[goldenBatch](t, "batch_"+model) {
			if c.Margins != nil {
				margins = c.Margins
			}
			prompts := unpad(c)
			if p.short() {
				prompts = prompts[:2]
			}
			steps := make([]int, len(prompts))
			for r := range prompts {
				steps[r] = firstUnsure(margins[r], p)
			}
			got := greedyBatch(t, e, prompts, slices.Max(steps))
			for r, n := range steps {
				if c.EOS != nil { // rows that end are filled with padding
					if end := slices.Index(c.IDs[r], *c.EOS); end >= 0 {
						n = min(n, end+1)
					}
				}
				if !slices.Equal(got[r][:n], c.IDs[r][:n]) {
					t.Errorf("case %d, row %d:\n got %v\nwant %v", i, r, got[r][:n], c.IDs[r][:n])
				}
			}
		}
	})
}

// unpad returns the prompts of a left-padded batch.
func unpad(c goldenBatch) (prompts [][]int32) {
	for r, ids := range c.InputIDs {
		first := slices.Index(c.AttentionMask[r], 1)
		prompts = append(prompts, ids[first:])
	}
	return prompts
}

// greedyBatch continues several prompts together, each n times.
func greedyBatch(t *testing.T, e *ebb.Engine, prompts [][]int32, n int) [][]int32 {
	t.Helper()
	batch := make([]kv.Work, len(prompts))
	ids := make([][]int32, len(prompts))
	for i, p := range prompts {
		s := e.NewSeq()
		defer closeSeq(t, s)
		batch[i] = kv.Work{Seq: s, Tokens: p, Logits: 1}
	}
	for range n {
		out, err := e.Forward(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for i := range batch {
			ids[i] = append(ids[i], best(out[i][0]))
			batch[i].Tokens = ids[i][len(ids[i])-1:]
		}
	}
	return ids
}
