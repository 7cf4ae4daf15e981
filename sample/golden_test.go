package sample_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/sample"
)

// golden is ../testdata/cases/processors.json: what Hugging Face's processors make of rows of
// scores.
type golden struct {
	Input    [][]number   `json:"input"`
	InputIDs [][]int32    `json:"input_ids"`
	Cases    []goldenCase `json:"cases"`
}

type goldenCase struct {
	Processor    string          `json:"processor"`
	Params       json.RawMessage `json:"params"`
	Input        [][]number      `json:"input"`     // nil: the file's
	InputIDs     [][]int32       `json:"input_ids"` // nil: the file's
	PromptLength int             `json:"prompt_len"`
	Order        []string        `json:"order"`
	Output       [][]number      `json:"output"`
	Probs        [][]number      `json:"probs"`
	TieSplitRows []bool          `json:"tie_split_rows"`
}

// number is a float32: null is -Inf, and what JSON has no numbers for is a string.
type number float32

func (n *number) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case "null":
		*n = number(math.Inf(-1))
	case `"inf"`:
		*n = number(math.Inf(1))
	case `"-inf"`:
		*n = number(math.Inf(-1))
	case `"nan"`:
		*n = number(math.NaN())
	default:
		return json.Unmarshal(data, (*float32)(n))
	}
	return nil
}

func readGolden(t *testing.T) golden {
	t.Helper()
	data, err := os.ReadFile("../testdata/cases/processors.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Cases) == 0 {
		t.Fatal("no cases")
	}
	for i := range g.Cases {
		c := &g.Cases[i]
		if c.Input == nil {
			c.Input = g.Input
		}
		if c.InputIDs == nil {
			c.InputIDs = g.InputIDs
		}
	}
	return g
}

// params are the arguments of Hugging Face's processors, and fields of its GenerationConfig.
type params struct {
	Temperature      float64             `json:"temperature"`
	TopK             *int                `json:"top_k"`
	TopP             float64             `json:"top_p"`
	MinP             float64             `json:"min_p"`
	Mass             float64             `json:"mass"`
	TypicalP         float64             `json:"typical_p"`
	Epsilon          float64             `json:"epsilon"`
	EpsilonCutoff    float64             `json:"epsilon_cutoff"`
	EtaCutoff        float64             `json:"eta_cutoff"`
	MinTokensToKeep  int                 `json:"min_tokens_to_keep"`
	Penalty          float64             `json:"penalty"`
	Repetition       float64             `json:"repetition_penalty"`
	NGramSize        int                 `json:"ngram_size"`
	NoRepeatNGram    int                 `json:"no_repeat_ngram_size"`
	MinLength        int                 `json:"min_length"`
	MinNewTokens     int                 `json:"min_new_tokens"`
	PromptLength     int                 `json:"prompt_length_to_skip"`
	EOS              json.RawMessage     `json:"eos_token_id"`
	BOS              int32               `json:"bos_token_id"`
	MaxLength        int                 `json:"max_length"`
	BadWords         [][]int32           `json:"bad_words_ids"`
	SequenceBias     []sample.Bias       `json:"sequence_bias"`
	Suppress         []int32             `json:"suppress_tokens"`
	BeginSuppress    []int32             `json:"begin_suppress_tokens"`
	BeginIndex       int                 `json:"begin_index"`
	Decay            *sample.LengthDecay `json:"exponential_decay_length_penalty"`
	SeqLength        int                 `json:"input_ids_seq_length"`
	DiversityPenalty float64             `json:"diversity_penalty"`
	NumBeams         int                 `json:"num_beams"`
	NumBeamGroups    int                 `json:"num_beam_groups"`
	CurrentTokens    []int32             `json:"current_tokens"`
	Group            int                 `json:"beam_group_idx"`
	DoSample         bool                `json:"do_sample"`
	Renormalize      bool                `json:"renormalize_logits"`
}

func (p params) eos() []int32 {
	var ids []int32
	if json.Unmarshal(p.EOS, &ids) == nil {
		return ids
	}
	var id int32
	if json.Unmarshal(p.EOS, &id) == nil {
		return []int32{id}
	}
	return nil
}

// processor returns the processor of a case for one of its rows.
func processor(t *testing.T, name string, p params, row int) sample.Processor {
	t.Helper()
	keep := p.MinTokensToKeep
	switch name {
	case "Temperature":
		return sample.Temperature{Temperature: p.Temperature}
	case "TopK":
		return &sample.TopK{K: *p.TopK, MinTokensToKeep: keep}
	case "TopP":
		return &sample.TopP{P: p.TopP, MinTokensToKeep: keep}
	case "MinP":
		return &sample.MinP{P: p.MinP, MinTokensToKeep: keep}
	case "Typical":
		return &sample.Typical{Mass: p.Mass, MinTokensToKeep: keep}
	case "EpsilonCutoff":
		return &sample.EpsilonCutoff{Epsilon: p.Epsilon, MinTokensToKeep: keep}
	case "EtaCutoff":
		return &sample.EtaCutoff{Epsilon: p.Epsilon, MinTokensToKeep: keep}
	case "RepetitionPenalty":
		return &sample.RepetitionPenalty{Penalty: p.Penalty}
	case "NoRepeatNGram":
		return sample.NoRepeatNGram{Size: p.NGramSize}
	case "MinLength":
		return sample.MinLength{Length: p.MinLength, EOS: p.eos()}
	case "MinNewTokens":
		return sample.MinNewTokens{PromptLength: p.PromptLength, Tokens: p.MinNewTokens, EOS: p.eos()}
	case "NoBadWords":
		return sample.NoBadWords{Words: p.BadWords, EOS: p.eos()}
	case "SequenceBias":
		return &sample.SequenceBias{Biases: p.SequenceBias}
	case "SuppressTokens":
		return sample.SuppressTokens{Tokens: p.Suppress}
	case "SuppressTokensAtBegin":
		return sample.SuppressTokensAtBegin{Tokens: p.BeginSuppress, Begin: p.BeginIndex}
	case "ForcedBOS":
		return sample.ForcedBOS{Token: p.BOS}
	case "ForcedEOS":
		return sample.ForcedEOS{MaxLength: p.MaxLength, Tokens: p.eos()}
	case "ExponentialDecayLengthPenalty":
		return sample.ExponentialDecayLengthPenalty{Decay: *p.Decay, PromptLength: p.SeqLength, EOS: p.eos()}
	case "LogitNormalization":
		return sample.LogitNormalization{}
	case "InfNanRemove":
		return sample.InfNanRemove{}
	case "HammingDiversity":
		// The file has a row for each beam of the group, prompt by prompt.
		size := p.NumBeams / p.NumBeamGroups
		first := row / size * p.NumBeams
		return sample.HammingDiversity{Penalty: p.DiversityPenalty, Chosen: p.CurrentTokens[first : first+p.Group*size]}
	}
	t.Fatalf("no processor called %s", name)
	return nil
}

func TestProcessorsEqualHuggingFace(t *testing.T) {
	for i, c := range readGolden(t).Cases {
		if c.Processor == "chain" {
			continue
		}
		t.Run(fmt.Sprintf("%d %s %s", i, c.Processor, c.Params), func(t *testing.T) {
			var p params
			if err := json.Unmarshal(c.Params, &p); err != nil {
				t.Fatal(err)
			}
			for row := range c.Input {
				scores := floats(c.Input[row])
				// Twice with other scores between, for what a processor keeps.
				pr := processor(t, c.Processor, p, row)
				for _, warm := range [][]float32{floats(c.Input[(row+1)%len(c.Input)]), slices.Clone(scores)} {
					if err := pr.Process(c.InputIDs[row], warm); err != nil {
						t.Fatal(err)
					}
				}
				if err := pr.Process(c.InputIDs[row], scores); err != nil {
					t.Fatal(err)
				}
				compare(t, row, c, scores)
			}
		})
	}
}

// given returns a parameter as a field, nil where the case does not give it.
func given(x float64) *float64 {
	if x == 0 {
		return nil
	}
	return &x
}

func TestChainsEqualHuggingFace(t *testing.T) {
	chains := 0
	for _, c := range readGolden(t).Cases {
		if c.Processor != "chain" {
			continue
		}
		chains++
		t.Run(string(c.Params), func(t *testing.T) {
			var p params
			if err := json.Unmarshal(c.Params, &p); err != nil {
				t.Fatal(err)
			}
			config := sample.Config{
				Temperature: given(p.Temperature), TopK: p.TopK, TopP: given(p.TopP), MinP: p.MinP, TypicalP: given(p.TypicalP),
				EpsilonCutoff: p.EpsilonCutoff, EtaCutoff: p.EtaCutoff, RepetitionPenalty: p.Repetition,
				NoRepeatNGramSize: p.NoRepeatNGram, BadWordsIDs: p.BadWords, SequenceBias: p.SequenceBias,
				SuppressTokens: p.Suppress, MinNewTokens: p.MinNewTokens, RenormalizeLogits: p.Renormalize,
			}
			chain, err := config.Chain(sample.Setting{
				PromptLength: c.PromptLength, EOS: p.eos(), Sample: p.DoSample, NumBeams: p.NumBeams,
			})
			if err != nil {
				t.Fatal(err)
			}
			var order []string
			for _, p := range chain.Processors() {
				order = append(order, huggingFaceName(p))
			}
			if diff := cmp.Diff(order, c.Order); diff != "" {
				t.Errorf("order (-got +want):\n%s", diff)
			}
			for row := range c.Input {
				scores := floats(c.Input[row])
				if err := chain.Process(c.InputIDs[row], scores); err != nil {
					t.Fatal(err)
				}
				compare(t, row, c, scores)
				if slices.Contains(c.TieSplitRows, true) && c.TieSplitRows[row] {
					continue
				}
				if err := sample.LogSoftmax(scores); err != nil {
					t.Fatal(err)
				}
				for id, x := range scores {
					if got, want := math.Exp(float64(x)), float64(c.Probs[row][id]); !near(got, want) {
						t.Errorf("row %d: token %d has the probability %v, want %v", row, id, got, want)
					}
				}
			}
		})
	}
	if chains == 0 {
		t.Error("no chains in the file")
	}
}

// huggingFaceName returns what Hugging Face calls a processor.
func huggingFaceName(p sample.Processor) string {
	v := reflect.Indirect(reflect.ValueOf(p))
	switch name := v.Type().Name(); name {
	case "Temperature", "TopK", "TopP", "MinP", "Typical":
		return name + "LogitsWarper"
	case "EpsilonCutoff":
		return "EpsilonLogitsWarper"
	case "EtaCutoff":
		return "EtaLogitsWarper"
	case "MinNewTokens":
		return "MinNewTokensLengthLogitsProcessor"
	case "LogitNormalization", "ExponentialDecayLengthPenalty":
		return name
	default:
		return name + "LogitsProcessor"
	}
}

// compare checks one row of a case. Where equal scores lie on both sides of a cut, Hugging Face's
// sort decides, by no rule, which of them stay: there only how many stay, and their scores, can be
// compared.
func compare(t *testing.T, row int, c goldenCase, got []float32) {
	t.Helper()
	want := floats(c.Output[row])
	if len(c.TieSplitRows) > row && c.TieSplitRows[row] {
		got, want = slices.Clone(got), slices.Clone(want)
		slices.Sort(got)
		slices.Sort(want)
	}
	for id := range want {
		if !near(float64(got[id]), float64(want[id])) {
			t.Errorf("row %d: token %d has the score %v, want %v", row, id, got[id], want[id])
		}
	}
}

// near allows 1e-5 of want: Hugging Face computes softmax and sums in float32.
func near(got, want float64) bool {
	if math.IsNaN(want) || math.IsInf(want, 0) || math.IsInf(got, 0) {
		return got == want || math.IsNaN(want) && math.IsNaN(got)
	}
	return math.Abs(got-want) <= 1e-5*math.Abs(want)
}

func floats(row []number) []float32 {
	scores := make([]float32, len(row))
	for i, x := range row {
		scores[i] = float32(x)
	}
	return scores
}
