package ebb_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
)

// goldenBeam is what Hugging Face 4.49 found in a beam search, by the rules of ../shared/golden's README: rows are padded,
// and the indices of a batch are counted through it.
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

// search runs a search for each prompt, all in one batch.
func search(t *testing.T, e *ebb.Engine, prompts [][]int32, c ebb.GenerationConfig) (found [][]ebb.Sequence, steps int) {
	t.Helper()
	before := e.Stats().Cache.Steps
	b := e.NewBatch()
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
		found = append(found, g.Sequences())
	}
	return found, e.Stats().Cache.Steps - before
}

// compareBeams compares a search with Hugging Face's. Groups after the first have no reliable indices there: see rule 12.
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

func TestBeamSearchEqualsHuggingFace(t *testing.T) {
	onEach(t, []string{"tiny-gqa", "tiny-mha", "tiny-one", "tiny-two"}, func(t *testing.T, model string, p place, e *ebb.Engine) {
		for _, kind := range []string{"beam", "diverse"} {
			for i, c := range golden[goldenBeam](t, kind+"_"+model) {
				compareBeams(t, fmt.Sprintf("%s %d", kind, i), e, c)
			}
		}
	})
}
