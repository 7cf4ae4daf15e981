package generation

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/grammar"
	"github.com/seed4d217819/ebb/internal/textfile"
	"github.com/seed4d217819/ebb/sample"
)

// defaultMaxLength is Hugging Face's: short, so that a program that forgot to say how much it wants
// is noticed. A config whose max_length is 20 has the default, and then as many new tokens are
// generated, however long the prompt is.
const defaultMaxLength = 20

// Config says what to generate. Its fields are those of Hugging Face transformers'
// generation_config.json (4.49) that have a meaning here, with the same JSON names, defaults and
// validation; [Load] reads such a file. The zero value generates 20 tokens greedily.
// docs/generation.md explains every field.
//
// A zero field is one that is not set. Where zero means something else, the field is a pointer or a
// slice.
type Config struct {
	MaxNewTokens int     `json:"max_new_tokens,omitempty"` // how many tokens to generate at most; wins over MaxLength
	MaxLength    int     `json:"max_length,omitempty"`     // the same, including the prompt; 0 or 20: 20 new tokens
	MinNewTokens int     `json:"min_new_tokens,omitempty"` // how many tokens to generate before the text may end; wins over MinLength
	MinLength    int     `json:"min_length,omitempty"`     // the same, including the prompt
	MaxTime      float64 `json:"max_time,omitempty"`       // seconds after which no step begins; 0: no limit
	StopStrings  Strings `json:"stop_strings,omitzero"`    // each ends the text, and is not in it; its tokens are among the ids

	EOSTokenID TokenIDs `json:"eos_token_id,omitzero"`  // each ends the text; nil: the model's own; empty: none
	PadTokenID *int32   `json:"pad_token_id,omitempty"` // nil: the first of EOSTokenID

	DoSample           bool    `json:"do_sample,omitempty"`            // draw tokens by their probabilities
	Seed               *uint64 `json:"seed,omitempty"`                 // of the draws; nil: another one each time. Not Hugging Face's
	NumReturnSequences int     `json:"num_return_sequences,omitempty"` // 0: 1

	NumBeams         int                    `json:"num_beams,omitempty"`       // 0: 1, no beam search
	NumBeamGroups    int                    `json:"num_beam_groups,omitempty"` // 0: 1
	DiversityPenalty float64                `json:"diversity_penalty,omitempty"`
	LengthPenalty    *float64               `json:"length_penalty,omitempty"` // nil: 1
	EarlyStopping    generate.EarlyStopping `json:"early_stopping,omitzero"`

	// These change scores only with DoSample. Without it any value is accepted, noted and without
	// effect.
	Temperature   *float64 `json:"temperature,omitempty"` // nil: 1
	TopK          *int     `json:"top_k,omitempty"`       // nil: 50; 0: all tokens
	TopP          *float64 `json:"top_p,omitempty"`       // nil: 1; 0: the most probable token
	MinP          float64  `json:"min_p,omitempty"`
	TypicalP      *float64 `json:"typical_p,omitempty"` // nil: 1
	EpsilonCutoff float64  `json:"epsilon_cutoff,omitempty"`
	EtaCutoff     float64  `json:"eta_cutoff,omitempty"`

	// These change the scores of every search.
	RepetitionPenalty             float64             `json:"repetition_penalty,omitempty"` // 0: 1
	PresencePenalty               float64             `json:"presence_penalty,omitempty"`   // of tokens that are in the new text. OpenAI's, not Hugging Face's
	FrequencyPenalty              float64             `json:"frequency_penalty,omitempty"`  // the same, for each time that they occur. OpenAI's, not Hugging Face's
	NoRepeatNGramSize             int                 `json:"no_repeat_ngram_size,omitempty"`
	BadWordsIDs                   [][]int32           `json:"bad_words_ids,omitzero"`
	SequenceBias                  []sample.Bias       `json:"sequence_bias,omitzero"`
	SuppressTokens                []int32             `json:"suppress_tokens,omitzero"`
	BeginSuppressTokens           []int32             `json:"begin_suppress_tokens,omitzero"`
	ForcedBOSTokenID              *int32              `json:"forced_bos_token_id,omitempty"`
	ForcedEOSTokenID              TokenIDs            `json:"forced_eos_token_id,omitzero"`
	ExponentialDecayLengthPenalty *sample.LengthDecay `json:"exponential_decay_length_penalty,omitempty"`
	RemoveInvalidValues           bool                `json:"remove_invalid_values,omitempty"`
	RenormalizeLogits             bool                `json:"renormalize_logits,omitempty"`
	Processors                    []sample.Processor  `json:"-"` // the caller's own, applied after these but before RenormalizeLogits
	Grammar                       *grammar.Grammar    `json:"-"` // the new text follows it: see Engine.Pieces. Not Hugging Face's

	// Prompt lookup: guess tokens from the prompt and the text, and check them in one step.
	PromptLookupNumTokens int `json:"prompt_lookup_num_tokens,omitempty"` // how many to guess at a time; 0: none
	MaxMatchingNGramSize  int `json:"max_matching_ngram_size,omitempty"`  // how many of the last tokens to look for at most; 0: 2

	// MTP is how many tokens the model's own block for multi-token prediction drafts at a time, to be
	// checked in one step; 0: none. ebb.Options.Configure has an engine load the block. Not Hugging
	// Face's.
	MTP int `json:"mtp,omitempty"`

	// CacheImplementation and CacheConfig describe a cache. An engine has the cache that it was
	// opened with: ebb.Options.Configure puts them into its options, and an engine refuses a config
	// that asks for another cache.
	CacheImplementation string       `json:"cache_implementation,omitempty"` // one of CacheNames, or one that only Hugging Face has; "": any
	CacheConfig         *CacheConfig `json:"cache_config,omitempty"`

	OutputScores bool `json:"output_scores,omitempty"` // compute each token's LogProb
	TopLogProbs  int  `json:"top_logprobs,omitempty"`  // how many of the most probable tokens to report for each step. Not Hugging Face's
	RawLogProbs  bool `json:"raw_logprobs,omitempty"`  // report log-probabilities of the model itself, from before anything changed the scores. Not Hugging Face's
}

// CacheConfig holds the fields of a cache_config that this version knows.
type CacheConfig struct {
	MaxCacheLen int `json:"max_cache_len,omitempty"` // how many tokens the cache holds, which is Options.Context; 0: not given
}

// Load reads a generation_config.json and validates it. It ignores fields that this version does
// not know, as Hugging Face does. The warnings name them, and everything else in the file that has
// no effect.
func Load(path string) (c Config, warnings []string, err error) {
	data, err := textfile.Read(path)
	if err != nil {
		return c, nil, fmt.Errorf("generation: %w", err)
	}
	c, warnings, err = Parse(data)
	if err != nil {
		err = fmt.Errorf("generation: %w", err)
	}
	if err := errors.Join(err, c.Validate()); err != nil {
		return c, nil, fmt.Errorf("%w (in %s)", err, path)
	}
	return c, append(warnings, c.Warnings()...), nil
}

// hasDefaultLength reports whether MaxLength is Hugging Face's default.
func (c Config) hasDefaultLength() bool { return c.MaxLength == 0 || c.MaxLength == defaultMaxLength }

// scores returns what changes the scores of tokens.
func (c Config) scores() sample.Config {
	s := sample.Config{
		SequenceBias: c.SequenceBias, DiversityPenalty: c.DiversityPenalty, RepetitionPenalty: c.RepetitionPenalty,
		PresencePenalty: c.PresencePenalty, FrequencyPenalty: c.FrequencyPenalty,
		NoRepeatNGramSize: c.NoRepeatNGramSize, BadWordsIDs: c.BadWordsIDs,
		MinLength: c.MinLength, MinNewTokens: c.MinNewTokens,
		ForcedBOSTokenID: c.ForcedBOSTokenID, ForcedEOSTokenID: c.ForcedEOSTokenID,
		RemoveInvalidValues: c.RemoveInvalidValues, ExponentialDecayLengthPenalty: c.ExponentialDecayLengthPenalty,
		SuppressTokens: c.SuppressTokens, BeginSuppressTokens: c.BeginSuppressTokens, RenormalizeLogits: c.RenormalizeLogits,
	}
	if c.DoSample {
		s.Temperature, s.TopK, s.TopP, s.MinP = c.Temperature, c.TopK, c.TopP, c.MinP
		s.TypicalP, s.EpsilonCutoff, s.EtaCutoff = c.TypicalP, c.EpsilonCutoff, c.EtaCutoff
	}
	if c.MinNewTokens > 0 {
		s.MinLength = 0
	}
	return s
}

// Search returns how to generate after a prompt of length tokens, with a model whose texts end with
// eog, where a sequence may have context tokens. The caller adds how tokens are spelt.
func (c Config) Search(length, context int, eog []int32) (generate.Config, error) {
	s := c.search()
	if c.EOSTokenID == nil {
		s.EOS = eog
	}
	switch {
	case c.PadTokenID != nil:
		s.Pad = *c.PadTokenID
	case len(s.EOS) > 0:
		s.Pad = s.EOS[0]
	}
	if c.DoSample && c.Seed == nil {
		s.Seed = rand.Uint64()
	}
	switch {
	case c.MaxNewTokens > 0:
	case c.hasDefaultLength():
		s.MaxNewTokens = min(defaultMaxLength, max(context-length, 1))
	case length < c.MaxLength:
		s.MaxNewTokens = c.MaxLength - length
	default:
		return s, fmt.Errorf("generation: the prompt has %d tokens, and max_length is %d: set max_new_tokens, or a greater max_length",
			length, c.MaxLength)
	}
	return s, nil
}

// search returns what the config says of a search without knowing its prompt.
func (c Config) search() generate.Config {
	s := generate.Config{
		MaxNewTokens: c.MaxNewTokens,
		EOS:          c.EOSTokenID,
		Stop:         c.StopStrings,

		Scores: c.scores(),
		Custom: c.Processors,
		Sample: c.DoSample,
		Texts:  c.NumReturnSequences,

		Beams:         c.NumBeams,
		LengthPenalty: 1,
		EarlyStopping: c.EarlyStopping,

		LookupTokens: c.PromptLookupNumTokens,
		LookupNgram:  c.MaxMatchingNGramSize,
		GuessTokens:  c.MTP,

		LogProbs: c.OutputScores,
		Top:      c.TopLogProbs,

		RawLogProbs: c.RawLogProbs,
	}
	if c.MaxTime > 0 {
		s.MaxTime = time.Duration(min(c.MaxTime*float64(time.Second), math.MaxInt64/2)) // 146 years
	}
	if c.NumBeams > 1 || c.NumBeamGroups < 0 { // without beams groups have no effect, and a negative number is wrong
		s.Groups = c.NumBeamGroups
	}
	if c.LengthPenalty != nil {
		s.LengthPenalty = *c.LengthPenalty
	}
	if c.DoSample && c.Seed != nil {
		s.Seed = *c.Seed
	}
	return s
}
