package sample_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/sample"
)

// What the golden data does not say.
func TestProcessorsAtTheirBorders(t *testing.T) {
	decay := func(start int, factor float64) sample.Processor {
		return sample.ExponentialDecayLengthPenalty{
			Decay: sample.LengthDecay{Start: start, Factor: factor}, PromptLength: 1, EOS: []int32{0, 1},
		}
	}
	for _, tc := range []struct {
		name string
		p    sample.Processor
		ids  []int32
		in   []float32
		want []float32
	}{
		{
			"the last of two biases of the same tokens counts",
			&sample.SequenceBias{Biases: []sample.Bias{{[]int32{1}, 5}, {[]int32{0}, 1}, {[]int32{1}, 2}}},
			nil,
			[]float32{0, 0},
			[]float32{1, 2},
		},
		{
			"biases of one token add up",
			&sample.SequenceBias{Biases: []sample.Bias{{[]int32{1}, 5}, {[]int32{0, 1}, 2}, {[]int32{1, 1}, 3}}},
			[]int32{1, 0},
			[]float32{0, 0},
			[]float32{0, 7},
		},
		{
			"a run as long as the sequence and one more is left out, as in Hugging Face",
			&sample.SequenceBias{Biases: []sample.Bias{{[]int32{0, 1}, 2}}},
			[]int32{0},
			[]float32{0, 0},
			[]float32{0, 0},
		},
		{
			"a bad word that is an end is left out",
			sample.NoBadWords{Words: [][]int32{{0}, {1}, {1, 0}}, EOS: []int32{0}},
			[]int32{2, 1},
			[]float32{3, 3, 3},
			[]float32{-inf, -inf, 3},
		},
		{"a repeated token is penalised once", &sample.RepetitionPenalty{Penalty: 2}, []int32{0, 0, 1}, []float32{4, -4, 4}, []float32{2, -8, 4}},
		{
			"penalties count the new text alone", &sample.OccurrencePenalty{PromptLength: 1, Presence: 1, Frequency: 0.25},
			[]int32{2, 0, 0, 1, 0},
			[]float32{4, -4, 4},
			[]float32{2.25, -5.25, 4},
		},
		{
			"negative penalties make repetition likelier", &sample.OccurrencePenalty{Frequency: -2},
			[]int32{1, 1},
			[]float32{0, 0, 0},
			[]float32{0, 4, 0},
		},
		{"a prompt that is not whole has no new text", &sample.OccurrencePenalty{PromptLength: 9, Presence: 1}, []int32{0}, []float32{4}, []float32{4}},
		{"an end that is forbidden stays so", decay(0, 2), []int32{9, 9, 9}, []float32{-inf, -1}, []float32{-inf, 2}},
		{"a penalty does not overflow", decay(0, 1e9), make([]int32, 99), []float32{0, 5}, []float32{0, 3.4028235e38}},
		{"a penalty near 0 leaves scores finite", &sample.RepetitionPenalty{Penalty: 1e-300}, []int32{0, 1}, []float32{0, 8e-3}, []float32{0, float32(8e-3) / float32(1e-30)}},
		{"an endless penalty does, too", &sample.RepetitionPenalty{Penalty: 1e300}, []int32{0}, []float32{-8}, []float32{-8e30}},
		{"a temperature near 0 leaves scores finite", sample.Temperature{Temperature: 1e-300}, nil, []float32{8, -8}, []float32{8e30, -8e30}},
		{"ends outside the vocabulary are forbidden already", sample.MinLength{Length: 9, EOS: []int32{5, -1, 1}}, nil, []float32{1, 1}, []float32{1, -inf}},
		{"no n-gram yet", sample.NoRepeatNGram{Size: 3}, []int32{1}, []float32{1, 1}, []float32{1, 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.p.Process(tc.ids, tc.in); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.in, tc.want); diff != "" {
				t.Errorf("scores (-got +want):\n%s", diff)
			}
		})
	}
}

func TestIDsOutsideTheVocabularyAreErrors(t *testing.T) {
	for _, id := range []int32{-1, 3} {
		for name, p := range map[string]sample.Processor{
			"sequence bias":                    &sample.SequenceBias{Biases: []sample.Bias{{[]int32{id, 1}, 1}}},
			"bad words":                        sample.NoBadWords{Words: [][]int32{{id}}},
			"repetition penalty":               &sample.RepetitionPenalty{Penalty: 2},
			"presence and frequency penalty":   &sample.OccurrencePenalty{Presence: 1},
			"no repeat n-gram":                 sample.NoRepeatNGram{Size: 1},
			"forced BOS":                       sample.ForcedBOS{Token: id},
			"forced EOS":                       sample.ForcedEOS{MaxLength: 2, Tokens: []int32{id}},
			"Hamming diversity":                sample.HammingDiversity{Penalty: 1, Chosen: []int32{id}},
			"exponential decay length penalty": sample.ExponentialDecayLengthPenalty{EOS: []int32{id}},
		} {
			err := p.Process([]int32{id}, make([]float32, 3))
			if err == nil || !strings.Contains(err.Error(), "outside the vocabulary of 3 tokens") || !strings.Contains(err.Error(), name) {
				t.Errorf("%s of token %d: error %v", name, id, err)
			}
		}
	}
}

// What says which tokens were seen, and how often, is clear again after an error.
func TestAnErrorLeavesNoTrace(t *testing.T) {
	for _, p := range []sample.Processor{&sample.RepetitionPenalty{Penalty: 2}, &sample.OccurrencePenalty{Frequency: 2}} {
		if err := p.Process([]int32{0, 7}, make([]float32, 3)); err == nil {
			t.Fatal("no error")
		}
		scores := []float32{4, 4}
		if err := p.Process([]int32{0}, scores); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(scores, []float32{2, 4}); diff != "" {
			t.Errorf("%T: scores (-got +want):\n%s", p, diff)
		}
	}
}
