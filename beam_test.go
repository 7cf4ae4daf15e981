package ebb_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tokenizer"
)

// goldenBeam is what Hugging Face 4.49 found in a beam search: rows are padded, and the indices of a
// batch are counted through it.
type goldenBeam struct {
	Prompt        []int32
	InputIDs      [][]int32 `json:"input_ids"`
	AttentionMask [][]int   `json:"attention_mask"`
	Params        json.RawMessage
	Steps         int
	Sequences     [][]int32
	Scores        []float64 `json:"sequences_scores"`
	BeamIndices   [][]int32 `json:"beam_indices"`
	Finished      []bool
}

// prompts returns the prompts without padding.
func (c goldenBeam) prompts() [][]int32 {
	if c.Prompt != nil {
		return [][]int32{c.Prompt}
	}
	return unpad(goldenBatch{InputIDs: c.InputIDs, AttentionMask: c.AttentionMask})
}

// config returns the params. Without eos_token_id no token ends a text.
func (c goldenBeam) config(t *testing.T) (g ebb.GenerationConfig) {
	t.Helper()
	if err := json.Unmarshal(c.Params, &g); err != nil {
		t.Fatal(err)
	}
	if g.EOSTokenID == nil {
		g.EOSTokenID = endless
	}
	return g
}

// ids returns a row without what fills it up.
func (c goldenBeam) ids(row int, eos []int32) []int32 {
	ids := c.Sequences[row]
	if c.Finished[row] {
		ids = ids[:slices.Index(ids, eos[0])+1]
	}
	return ids
}

// search runs a search for each prompt, all in one batch whose prompts are computed at once.
func search(t *testing.T, e *ebb.Engine, prompts [][]int32, c ebb.GenerationConfig) (found [][]ebb.Completion, steps int) {
	t.Helper()
	before := e.Stats().Cache.Steps
	b := e.NewBatch(ebb.BatchOptions{StepTime: -1})
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	var generations []*ebb.Generation
	for _, p := range prompts {
		g, err := b.Add(ebb.Request{Prompt: p, Config: c})
		if err != nil {
			t.Fatal(err)
		}
		generations = append(generations, g)
	}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, g := range generations {
		if err := g.Err(); err != nil {
			t.Fatal(err)
		}
		found = append(found, g.Completions())
	}
	return found, e.Stats().Cache.Steps - before
}

// compareBeams compares a search with Hugging Face's. Groups after the first have no reliable
// indices there: see rule 12.
func compareBeams(t *testing.T, name string, e *ebb.Engine, c goldenBeam) {
	t.Helper()
	config := c.config(t)
	found, steps := search(t, e, c.prompts(), config)
	if steps != c.Steps {
		t.Errorf("%s: %d steps, want %d", name, steps, c.Steps)
	}
	returned := max(config.NumReturnSequences, 1)
	for p, sequences := range found {
		if len(sequences) != returned {
			t.Errorf("%s, prompt %d: %d sequences, want %d", name, p, len(sequences), returned)
			continue
		}
		for i, s := range sequences {
			row := p*returned + i
			if diff := cmp.Diff(s.IDs, c.ids(row, config.EOSTokenID)); diff != "" {
				t.Errorf("%s, sequence %d (-got +want):\n%s", name, row, diff)
			}
			if want := c.Scores[row]; math.Abs(s.Score-want) > 1e-4*max(1, math.Abs(want)) {
				t.Errorf("%s, sequence %d: score %v, want %v", name, row, s.Score, want)
			}
			if config.NumBeamGroups > 1 && c.Finished[row] {
				continue
			}
			want := slices.Clone(c.BeamIndices[row][:len(s.IDs)])
			for j := range want {
				want[j] -= int32(p * config.NumBeams)
			}
			if diff := cmp.Diff(s.BeamIndices, want); diff != "" {
				t.Errorf("%s, sequence %d: beam indices (-got +want):\n%s", name, row, diff)
			}
		}
	}
}

// beamModels have golden beam searches.
var beamModels = []string{"tiny-gqa", "tiny-mha", "tiny-one", "tiny-two"}

// The software Vulkan device is left out: a beam search turns on the smallest of differences.
func TestBeamSearchEqualsHuggingFace(t *testing.T) {
	for i, p := range cpuPlaces {
		for j, model := range beamModels {
			for k, policy := range policies {
				if (i+j+k)%2 > 0 && !testAll {
					continue // each pair is there
				}
				t.Run(p.name+"/"+model+"/"+policy.String(), func(t *testing.T) {
					e := p.open(t, modelPath(model), ebb.Options{Cache: policy, KVType: "f32"})
					for _, kind := range []string{"beam", "diverse"} {
						for i, c := range golden[goldenBeam](t, kind+"_"+model) {
							compareBeams(t, fmt.Sprintf("%s %d", kind, i), e, c)
						}
					}
				})
			}
		}
	}
}

func TestBeamsHaveTheBitsOfStaticUnderEveryPolicy(t *testing.T) {
	for _, p := range allPlaces {
		t.Run(p.name, func(t *testing.T) {
			requireDevice(t, p.device)
			steps, beams, lengths := 12, 4, []int{1, 250, 300}
			if p.short() {
				steps, beams, lengths = 4, 2, []int{254} // across the border of a block
			}
			run := func(policy kv.Policy) (all [][]ebb.Completion) {
				e := p.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: policy, KVType: "f32", Context: 512})
				for i, n := range lengths {
					c := ebb.GenerationConfig{
						MaxNewTokens: steps, NumBeams: beams, NumReturnSequences: beams, EOSTokenID: ebb.TokenIDs{7, 30},
						EarlyStopping: generate.StopWhenEnough,
					}
					if i%2 == 0 && beams > 2 {
						c.NumBeamGroups, c.DiversityPenalty = 2, 1
					}
					found, _ := search(t, e, [][]int32{prompt(i, n)}, c)
					all = append(all, found...)
				}
				return all
			}
			want := run(kv.Static)
			for _, policy := range p.policies() {
				if diff := cmp.Diff(run(policy), want); diff != "" { // scores are equal to the last bit
					t.Errorf("%v (-got +want):\n%s", policy, diff)
				}
			}
		})
	}
}

// This is the case that offloaded caches began with (Hugging Face's tests): prompt, parameters and
// claim.
func TestDiverseBeamsHaveTheBitsOfStaticInLessMemory(t *testing.T) {
	path := smolLM2(t)
	requireDevice(t, "cpu")
	c := ebb.GenerationConfig{
		MaxNewTokens: 20, NumBeams: 4, NumBeamGroups: 2, NumReturnSequences: 4, DiversityPenalty: 1,
		EarlyStopping: generate.StopWhenEnough,
	}
	if testAll {
		c.MaxNewTokens = 50
	}
	var want [][]ebb.Completion
	peak := map[kv.Policy]int64{}
	for _, policy := range []kv.Policy{kv.Static, kv.Dynamic, kv.Offloaded, kv.OffloadedStatic} {
		e := cpuCopies.open(t, path, ebb.Options{Cache: policy, Context: 512})
		ids, err := e.Tokenizer().Encode("Fun fact:", tokenizer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		found, _ := search(t, e, [][]int32{ids}, c)
		if want == nil {
			want = found
		}
		if diff := cmp.Diff(found, want); diff != "" {
			t.Errorf("%v (-got +want):\n%s", policy, diff)
		}
		peak[policy] = e.Stats().Cache.DeviceBytesPeak
	}
	for _, offloaded := range []kv.Policy{kv.Offloaded, kv.OffloadedStatic} {
		for _, resident := range []kv.Policy{kv.Static, kv.Dynamic} {
			if peak[offloaded] >= peak[resident] {
				t.Errorf("%v took %d bytes on the device, %v %d; want fewer", offloaded, peak[offloaded], resident, peak[resident])
			}
		}
	}
	if len(want[0]) != 4 || want[0][0].Text == want[0][2].Text {
		t.Errorf("texts %+v, want 4 of which those of different groups differ", want[0])
	}
}

// A step fetches the earlier rows of each streamed layer once, whatever the number of beams, and
// stores the new rows. Reordering beams moves nothing.
func TestAStepOfBeamsMovesThePrefixOnceAndTheNewRows(t *testing.T) {
	requireDevice(t, "cpu")
	const layers, slots = 5, 2
	rowBytes := int64(2 * 2 * 32 * 4) // K and V, heads, dims, f32
	for _, policy := range []kv.Policy{kv.Offloaded, kv.OffloadedStatic} {
		e := cpuCopies.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: policy, KVType: "f32", Context: 1280})
		for _, beams := range []int{2, 4, 16} {
			for _, n := range []int{1, 255, 256, 257, 1000} {
				t.Run(fmt.Sprint(policy, " ", beams, " beams after ", n), func(t *testing.T) {
					b := e.NewBatch(ebb.BatchOptions{})
					defer func() {
						if err := b.Close(); err != nil {
							t.Error(err)
						}
					}()
					g, err := b.Add(ebb.Request{Prompt: prompt(beams, n), Config: ebb.GenerationConfig{
						MaxNewTokens: 8, NumBeams: beams, NumReturnSequences: beams, EOSTokenID: endless,
					}})
					if err != nil {
						t.Fatal(err)
					}
					start, before := e.Stats().Cache, e.Stats().Cache
					rows, most := int64(0), int64(0) // that are there, and that were to be fetched
					for step := range 8 {
						if _, err := b.Step(t.Context()); err != nil {
							t.Fatal(err)
						}
						added := int64(beams)
						if step == 0 {
							added = int64(n)
						}
						after := e.Stats().Cache
						if got, want := after.StoredBytes-before.StoredBytes, layers*added*rowBytes; got != want {
							t.Errorf("step %d: %d bytes stored, want the new rows: %d", step, got, want)
						}
						before, most, rows = after, most+layers*rows, rows+added
						// The slots may be filled for the next step already.
						if got, want := after.FetchedBytes-start.FetchedBytes, (most+slots*rows)*rowBytes; got > want {
							t.Errorf("up to step %d: %d bytes fetched, want at most the rows before each step once: %d", step, got, want)
						}
					}
					// Rows change cells when a block is sealed, and at no other time: here after
					// 255 tokens alone.
					if moved := before.MovedBytes - start.MovedBytes; moved > 0 && n != 255 || moved > layers*2*kv.Block*rowBytes {
						t.Errorf("%d bytes moved between cells by reordering beams", moved)
					}
					reordered := false
					for _, s := range g.Completions() {
						reordered = reordered || slices.ContainsFunc(s.BeamIndices, func(i int32) bool { return i > 0 })
					}
					if !reordered {
						t.Error("all texts are of the first beam: nothing was reordered")
					}
				})
			}
		}
	}
}
