package sample_test

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/sample"
)

// everything asks for every processor.
func everything() sample.Config {
	return sample.Config{
		Temperature: new(0.7), TopK: new(20), TopP: new(0.9), MinP: 0.1, TypicalP: new(0.8), EpsilonCutoff: 0.01, EtaCutoff: 0.02,
		SequenceBias: []sample.Bias{{Tokens: []int32{1}, Bias: 2}}, DiversityPenalty: 1, RepetitionPenalty: 1.2,
		PresencePenalty: 0.5, FrequencyPenalty: 0.1,
		NoRepeatNGramSize: 3, BadWordsIDs: [][]int32{{2}}, MinLength: 4, MinNewTokens: 2, ForcedBOSTokenID: new(int32(0)),
		ForcedEOSTokenID: []int32{3}, RemoveInvalidValues: true,
		ExponentialDecayLengthPenalty: &sample.LengthDecay{Start: 5, Factor: 1.1},
		SuppressTokens:                []int32{4}, BeginSuppressTokens: []int32{5}, RenormalizeLogits: true,
	}
}

func names(c *sample.Chain) (names []string) {
	for _, p := range c.Processors() {
		names = append(names, huggingFaceName(p))
	}
	return names
}

func TestAChainHasHuggingFacesOrder(t *testing.T) {
	custom := sample.Func(func([]int32, []float32) error { return nil })
	setting := sample.Setting{MaxLength: 20, EOS: []int32{3}, Sample: true, Custom: []sample.Processor{custom}}
	all := []string{
		"SequenceBiasLogitsProcessor", "HammingDiversityLogitsProcessor", "RepetitionPenaltyLogitsProcessor",
		"OccurrencePenaltyLogitsProcessor", // OpenAI's
		"NoRepeatNGramLogitsProcessor", "NoBadWordsLogitsProcessor", "MinLengthLogitsProcessor",
		"MinNewTokensLengthLogitsProcessor", "ForcedBOSLogitsProcessor", "ForcedEOSLogitsProcessor",
		"InfNanRemoveLogitsProcessor", "ExponentialDecayLengthPenalty", "SuppressTokensLogitsProcessor",
		"SuppressTokensAtBeginLogitsProcessor", "FuncLogitsProcessor", "TemperatureLogitsWarper", "TopKLogitsWarper",
		"TopPLogitsWarper", "MinPLogitsWarper", "TypicalLogitsWarper", "EpsilonLogitsWarper", "EtaLogitsWarper",
		"LogitNormalization",
	}
	for _, tc := range []struct {
		name    string
		config  sample.Config
		setting sample.Setting
		want    []string
	}{
		{"everything", everything(), setting, all},
		{"nothing", sample.Config{}, sample.Setting{}, nil},
		{"nothing said, sampling", sample.Config{}, sample.Setting{Sample: true}, []string{"TopKLogitsWarper"}},
		{
			"values without effect",
			sample.Config{Temperature: new(1.0), TopK: new(0), TopP: new(1.0), TypicalP: new(1.0), RepetitionPenalty: 1},
			sample.Setting{Sample: true},
			nil,
		},
		{
			"not sampling",
			sample.Config{Temperature: new(0.5), TopP: new(0.5), MinP: 0.1, SuppressTokens: []int32{1}},
			sample.Setting{},
			[]string{"SuppressTokensLogitsProcessor"},
		},
		{"no end of text", sample.Config{MinLength: 3, MinNewTokens: 3}, sample.Setting{}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			chain, err := tc.config.Chain(tc.setting)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(names(chain), tc.want); diff != "" {
				t.Errorf("order (-got +want):\n%s", diff)
			}
		})
	}
}

// A beam search must go on with a beam that has not ended, whichever ends are likely.
func TestBeamsKeepOneTokenMoreThanThereAreEnds(t *testing.T) {
	for _, tc := range []struct {
		beams int
		eos   []int32
		want  int
	}{
		{0, nil, 1}, {1, []int32{1, 2}, 1}, {2, nil, 2}, {2, []int32{1}, 2}, {4, []int32{1, 2, 3}, 4},
	} {
		chain, err := sample.Config{TopK: new(0), TopP: new(1e-9)}.Chain(sample.Setting{Sample: true, NumBeams: tc.beams, EOS: tc.eos})
		if err != nil {
			t.Fatal(err)
		}
		scores := []float32{5, 4, 3, 2, 1, 0}
		if err := chain.Process(nil, scores); err != nil {
			t.Fatal(err)
		}
		if got := len(sample.Best(nil, scores, 9)); got != tc.want {
			t.Errorf("%d beams, ends %v: %d tokens stay, want %d", tc.beams, tc.eos, got, tc.want)
		}
	}
}

func TestForcedBOSPutsOffWhatIsSuppressedAtTheBeginning(t *testing.T) {
	config := sample.Config{ForcedBOSTokenID: new(int32(0)), BeginSuppressTokens: []int32{1}}
	for prompt, want := range map[int]int{1: 2, 3: 3} {
		chain, err := config.Chain(sample.Setting{PromptLength: prompt})
		if err != nil {
			t.Fatal(err)
		}
		for length := 2; length < 5; length++ {
			scores := []float32{0, 0}
			if err := chain.Process(make([]int32, length), scores); err != nil {
				t.Fatal(err)
			}
			if got := scores[1] == -inf; got != (length == want) {
				t.Errorf("prompt of %d, %d tokens: suppressed %t, want %t", prompt, length, got, length == want)
			}
		}
	}
}

func TestAGroupSeesWhatEarlierGroupsChose(t *testing.T) {
	chain, err := sample.Config{DiversityPenalty: 0.5, RepetitionPenalty: 2}.Chain(sample.Setting{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		chosen []int32
		want   []float32
	}{
		{nil, []float32{1, 1, 0.5}},
		{[]int32{2, 1, 2}, []float32{1, 0.5, 0}},
		{[]int32{0}, []float32{0.5, 1, 0.5}},
	} {
		scores := []float32{1, 1, 1}
		if err := chain.ProcessGroup(tc.chosen, []int32{2}, scores); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(scores, tc.want); diff != "" {
			t.Errorf("chosen %v: scores (-got +want):\n%s", tc.chosen, diff)
		}
	}
}

func drawConfig(t *rapid.T) sample.Config {
	some := func(name string, values ...float64) float64 { return rapid.SampledFrom(values).Draw(t, name) }
	set := func(name string, values ...float64) *float64 { return new(some(name, values...)) }
	return sample.Config{
		Temperature:       set("temperature", 1, 0.3, 1.7),
		TopK:              new(rapid.SampledFrom([]int{0, 1, 3, 50, 5000}).Draw(t, "top_k")),
		TopP:              set("top_p", 1, 0, 0.3, 0.95),
		MinP:              some("min_p", 0, 0.05),
		TypicalP:          set("typical_p", 1, 0.9),
		EpsilonCutoff:     some("epsilon_cutoff", 0, 0.001),
		EtaCutoff:         some("eta_cutoff", 0, 0.001),
		SuppressTokens:    []int32{1},
		RenormalizeLogits: rapid.Bool().Draw(t, "renormalize_logits"),
	}
}

// A chain looks at the vocabulary once for several filters and scales after it has cut; the result
// is the same.
func TestAChainIsItsProcessorsOneAfterTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chain, err := drawConfig(t).Chain(sample.Setting{Sample: true, NumBeams: rapid.IntRange(1, 2).Draw(t, "beams")})
		if err != nil {
			t.Fatal(err)
		}
		sampler := sample.NewSampler(1)
		for range 2 { // the second time with scratch
			got := drawScores(t, 10_000)
			want, drawn := slices.Clone(got), slices.Clone(got)
			for _, p := range chain.Processors() {
				if err = p.Process(nil, want); err != nil {
					break
				}
			}
			if gotErr := chain.Process(nil, got); !sameError(gotErr, err) {
				t.Fatalf("the chain's error is %v, want %v", gotErr, err)
			}
			if err != nil {
				return
			}
			for id := range want {
				// Sums over the same tokens may be rounded otherwise.
				if math.Abs(float64(got[id]-want[id])) > 1e-6*math.Abs(float64(want[id])) || (got[id] == -inf) != (want[id] == -inf) {
					t.Fatalf("token %d has the score %v, want %v", id, got[id], want[id])
				}
			}
			id, err := chain.Draw(sampler, nil, drawn)
			if err != nil || got[id] == -inf {
				t.Fatalf("drew token %d with score %v, error %v", id, got[id], err)
			}
			if diff := cmp.Diff(drawn, got); diff != "" {
				t.Fatalf("Draw leaves other scores than Process (-got +want):\n%s", diff)
			}
		}
	})
}

func sameError(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}

func TestDrawIsProcessAndDraw(t *testing.T) {
	for _, config := range []sample.Config{
		{}, {TopK: new(0)}, {TopK: new(0), TopP: new(0.9)}, {TopP: new(0.9), Temperature: new(0.6), RenormalizeLogits: true},
	} {
		chain, err := config.Chain(sample.Setting{Sample: true})
		if err != nil {
			t.Fatal(err)
		}
		one, two := sample.NewSampler(3), sample.NewSampler(3)
		for range 50 {
			scores := normals(20_000, 3, 5)
			got, err := chain.Draw(one, nil, slices.Clone(scores))
			if err != nil {
				t.Fatal(err)
			}
			if err := chain.Process(nil, scores); err != nil {
				t.Fatal(err)
			}
			if want, err := two.Draw(scores); got != want || err != nil {
				t.Errorf("%+v: Draw gave token %d, want %d, %v", config, got, want, err)
			}
		}
	}
}

func TestFiltersOnlyRemove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scores := drawScores(t, 5000)
		c := drawFilter(t, len(scores))
		once := slices.Clone(scores)
		if err := c.filter().Process(nil, once); err != nil {
			t.Fatal(err)
		}
		left, before := 0, 0
		for id, x := range once {
			if x != scores[id] && x != -inf {
				t.Fatalf("%s: the score of token %d went from %v to %v", c.name, id, scores[id], x)
			}
			if x > -inf {
				left++
			}
			if scores[id] > -inf {
				before++
			}
		}
		if want := min(c.keep, before); left < want {
			t.Fatalf("%s: %d of %d tokens stay, want at least %d", c.name, left, before, want)
		}
	})
}

// Which id a token has makes no difference but among equals.
func TestFiltersDoNotMindTheOrderOfTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scores := drawScores(t, 5000)
		c := drawFilter(t, len(scores))
		order := newRand(rapid.Uint64().Draw(t, "order")).Perm(len(scores))
		shuffled := make([]float32, len(scores))
		for i, id := range order {
			shuffled[i] = scores[id]
		}
		for _, s := range [][]float32{scores, shuffled} {
			if err := c.filter().Process(nil, s); err != nil {
				t.Fatal(err)
			}
			slices.Sort(s)
		}
		if !slices.Equal(scores, shuffled) {
			t.Fatalf("%s leaves other scores when the tokens are shuffled", c.name)
		}
	})
}

func TestNoAllocationATokenAfterTheFirst(t *testing.T) {
	for name, tc := range map[string]struct {
		config sample.Config
		draw   bool
	}{
		"greedy":     {draw: false},
		"usual":      {sample.Config{Temperature: new(0.7), TopP: new(0.95)}, true},
		"top-p":      {sample.Config{TopK: new(0), TopP: new(0.95)}, true},
		"all":        {sample.Config{TopK: new(0)}, true},
		"all filter": {sample.Config{MinP: 0.01, TypicalP: new(0.9), EpsilonCutoff: 1e-4, EtaCutoff: 1e-4}, true},
		"penalties": {
			sample.Config{
				RepetitionPenalty: 1.1, PresencePenalty: 0.1, FrequencyPenalty: 0.1, NoRepeatNGramSize: 2, BadWordsIDs: [][]int32{{1, 2}, {3}},
				SequenceBias: []sample.Bias{{Tokens: []int32{5}, Bias: 1}}, RenormalizeLogits: true,
			}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			step := newStep(t, tc.config, tc.draw, logits(49_152))
			var err error
			for range 3 { // scratch grows
				err = step()
			}
			if allocs := testing.AllocsPerRun(20, func() { err = errors.Join(err, step()) }); allocs != 0 || err != nil {
				t.Errorf("%v allocations a token, error %v; want none", allocs, err)
			}
		})
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	config := sample.Config{
		Temperature: new(-1.0), TopK: new(-1), TopP: new(1.5), MinP: -0.1, TypicalP: new(math.NaN()), EpsilonCutoff: 1, EtaCutoff: -1,
		SequenceBias:     []sample.Bias{{}, {Tokens: []int32{-2}}, {Tokens: []int32{1}, Bias: nan}, {Tokens: []int32{1}, Bias: inf}},
		DiversityPenalty: -1, RepetitionPenalty: -2, PresencePenalty: -3, FrequencyPenalty: 2.5, NoRepeatNGramSize: -1, BadWordsIDs: [][]int32{{}, {3, -1}}, MinLength: -1,
		MinNewTokens: -1, ForcedBOSTokenID: new(int32(-5)), ForcedEOSTokenID: []int32{-6},
		ExponentialDecayLengthPenalty: &sample.LengthDecay{Start: -1, Factor: 0},
	}
	want := []string{
		"temperature is -1", "top_k is -1", "top_p is 1.5", "min_p is -0.1", "typical_p is NaN", "epsilon_cutoff is 1",
		"eta_cutoff is -1", "sequence_bias[0] has no tokens", "sequence_bias[1] has the token -2",
		"sequence_bias[2] has the bias NaN", "sequence_bias[3] has the bias +Inf", "diversity_penalty is -1",
		"repetition_penalty is -2", "presence_penalty is -3", "frequency_penalty is 2.5", "no_repeat_ngram_size is -1", "bad_words_ids[0] has no tokens",
		"bad_words_ids[1] has the token -1", "min_length is -1", "min_new_tokens is -1", "forced_bos_token_id is -5",
		"forced_eos_token_id has -6", "exponential_decay_length_penalty begins after -1",
		"exponential_decay_length_penalty has the factor 0",
	}
	err := config.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), "sample: "+w) {
			t.Errorf("the error does not say %q", w)
		}
	}
	lines := strings.Split(err.Error(), "\n")
	for _, line := range lines {
		if !strings.Contains(line, ": want ") {
			t.Errorf("%q does not say what would be right", line)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d faults reported, want %d", len(lines), len(want))
	}
	if err := (sample.Config{BadWordsIDs: [][]int32{}, SequenceBias: []sample.Bias{}}).Validate(); err == nil ||
		!strings.Contains(err.Error(), "bad_words_ids is empty") || !strings.Contains(err.Error(), "sequence_bias is empty") {
		t.Errorf("empty lists: error %v", err)
	}
	for _, valid := range []sample.Config{{}, everything()} {
		if err := valid.Validate(); err != nil {
			t.Errorf("a valid config: %v", err)
		}
	}
}

func TestAChainReportsWhatItsSettingLacks(t *testing.T) {
	config := sample.Config{
		TopP: new(2.0), ForcedEOSTokenID: []int32{1}, ExponentialDecayLengthPenalty: &sample.LengthDecay{Start: 1, Factor: 2},
	}
	_, err := config.Chain(sample.Setting{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"top_p is 2", "forced_eos_token_id needs", "exponential_decay_length_penalty makes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestPairsAreHuggingFacesJSON(t *testing.T) {
	var got struct {
		Biases []sample.Bias
		Decay  *sample.LengthDecay
	}
	const text = `{"Biases":[[[15,7],-2.5],[[0],4]],"Decay":[20,1.05]}`
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if back, err := json.Marshal(got); err != nil || string(back) != text {
		t.Errorf("written back: %s, %v; want %s", back, err, text)
	}
	for _, bad := range []string{`[[1],null]`, `[[1]]`, `[1,2]`, `[[1],2,3]`, `{}`, `[[1.5],2]`, `["a",2]`} {
		var b sample.Bias
		if err := json.Unmarshal([]byte(bad), &b); err == nil || !strings.Contains(err.Error(), "want a list of token ids") {
			t.Errorf("bias %s: error %v, want one that says what is wanted", bad, err)
		}
		var d sample.LengthDecay
		if err := json.Unmarshal([]byte(bad), &d); err == nil && bad != "[1,2]" {
			t.Errorf("decay %s: no error", bad)
		}
	}
}
