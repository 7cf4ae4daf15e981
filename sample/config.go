package sample

import (
	"errors"
	"fmt"
	"math"
)

// Config says which processors to use. Its fields are those of Hugging Face's GenerationConfig that
// are about processors, and OpenAI's two penalties. A zero field is one that is not set; where zero means something else, the
// field is a pointer.
type Config struct {
	// These change scores only where tokens are drawn.
	Temperature   *float64 // nil: 1
	TopK          *int     // nil: 50; 0: all tokens
	TopP          *float64 // nil: 1; 0: the most probable token
	MinP          float64
	TypicalP      *float64 // nil: 1
	EpsilonCutoff float64
	EtaCutoff     float64

	// These change the scores of every search.
	SequenceBias                  []Bias
	DiversityPenalty              float64 // of a search in groups
	RepetitionPenalty             float64 // 0: 1
	PresencePenalty               float64
	FrequencyPenalty              float64
	NoRepeatNGramSize             int
	BadWordsIDs                   [][]int32
	MinLength                     int
	MinNewTokens                  int
	ForcedBOSTokenID              *int32
	ForcedEOSTokenID              []int32
	RemoveInvalidValues           bool
	ExponentialDecayLengthPenalty *LengthDecay
	SuppressTokens                []int32
	BeginSuppressTokens           []int32
	RenormalizeLogits             bool
}

// Validate reports everything that is wrong with the config, by the rules of Hugging Face's
// processors.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("sample: "+format, args...))
	}
	for _, n := range []struct {
		name  string
		value float64
		right func(float64) bool
		want  string
	}{
		{"temperature", orOne(c.Temperature), above0, "a number above 0; for the most probable token turn do_sample off, or ask a server for temperature 0"},
		{"top_p", orOne(c.TopP), upTo1, "a number from 0 to 1"},
		{"min_p", c.MinP, upTo1, "a number from 0 to 1"},
		{"typical_p", orOne(c.TypicalP), above0UpTo1, "a number above 0, at most 1"},
		{"epsilon_cutoff", c.EpsilonCutoff, below1, "a number from 0, below 1"},
		{"eta_cutoff", c.EtaCutoff, below1, "a number from 0, below 1"},
		{"diversity_penalty", c.DiversityPenalty, notNegative, "a number that is not negative"},
		{"repetition_penalty", c.RepetitionPenalty, notNegative, "a number above 0; 1 has no effect"},
		{"presence_penalty", c.PresencePenalty, upTo2, "a number from -2 to 2"},
		{"frequency_penalty", c.FrequencyPenalty, upTo2, "a number from -2 to 2"},
	} {
		if !n.right(n.value) {
			wrong("%s is %v: want %s", n.name, n.value, n.want)
		}
	}
	for _, n := range []struct {
		name  string
		value int
	}{
		{"no_repeat_ngram_size", c.NoRepeatNGramSize},
		{"min_length", c.MinLength},
		{"min_new_tokens", c.MinNewTokens},
	} {
		if n.value < 0 {
			wrong("%s is %d: want at least 0", n.name, n.value)
		}
	}
	if c.TopK != nil && *c.TopK < 0 {
		wrong("top_k is %d: want at least 1, or 0 for all tokens", *c.TopK)
	}
	if d := c.ExponentialDecayLengthPenalty; d != nil {
		if d.Start < 0 {
			wrong("exponential_decay_length_penalty begins after %d tokens: want at least 0", d.Start)
		}
		if !(d.Factor > 0) || math.IsInf(d.Factor, 1) {
			wrong("exponential_decay_length_penalty has the factor %v: want a number above 0", d.Factor)
		}
	}
	errs = append(errs, c.validateTokens()...)
	return errors.Join(errs...)
}

// validateTokens reports what is wrong with token ids. An id beyond the vocabulary is reported when
// scores are processed.
func (c Config) validateTokens() (errs []error) {
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("sample: "+format, args...))
	}
	if c.ForcedBOSTokenID != nil {
		if id := *c.ForcedBOSTokenID; id < 0 {
			wrong("forced_bos_token_id is %d: want a token id, which is not negative", id)
		}
	}
	for _, id := range c.ForcedEOSTokenID {
		if id < 0 {
			wrong("forced_eos_token_id has %d: want token ids, which are not negative", id)
		}
	}
	if c.BadWordsIDs != nil && len(c.BadWordsIDs) == 0 {
		wrong("bad_words_ids is empty: want at least one list of token ids, or leave it out")
	}
	for i, word := range c.BadWordsIDs {
		if fault := validateRun(word); fault != "" {
			wrong("bad_words_ids[%d] %s", i, fault)
		}
	}
	if c.SequenceBias != nil && len(c.SequenceBias) == 0 {
		wrong("sequence_bias is empty: want at least one list of token ids with its bias, or leave it out")
	}
	for i, b := range c.SequenceBias {
		if fault := validateRun(b.Tokens); fault != "" {
			wrong("sequence_bias[%d] %s", i, fault)
		}
		if b.Bias != b.Bias || b.Bias > math.MaxFloat32 {
			wrong("sequence_bias[%d] has the bias %v: want a finite number, or -Inf to forbid", i, b.Bias)
		}
	}
	return errs
}

func validateRun(tokens []int32) string {
	if len(tokens) == 0 {
		return "has no tokens: want at least one"
	}
	for _, id := range tokens {
		if id < 0 {
			return fmt.Sprintf("has the token %d: want token ids, which are not negative", id)
		}
	}
	return ""
}

// orOne returns what p points to, and 1 where it is nil.
func orOne(p *float64) float64 {
	if p == nil {
		return 1
	}
	return *p
}

func above0(x float64) bool      { return x > 0 && !math.IsInf(x, 1) }
func above0UpTo1(x float64) bool { return x > 0 && x <= 1 }
func notNegative(x float64) bool { return x >= 0 && !math.IsInf(x, 1) }
func upTo2(x float64) bool       { return x >= -2 && x <= 2 }
func upTo1(x float64) bool       { return x >= 0 && x <= 1 }
func below1(x float64) bool      { return x >= 0 && x < 1 }
