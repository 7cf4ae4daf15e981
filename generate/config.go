package generate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/seed4d217819/ebb/sample"
)

// Config says how to go on from a prompt. The zero value takes the most probable token at each
// step, until the sequence cannot grow.
type Config struct {
	// When a text ends.
	MaxNewTokens int                   // 0: no limit
	MaxTime      time.Duration         // behind the prompt, no step begins this long after the first one began; 0: no limit
	EOS          []int32               // each of these ends the text, and is its last token
	Stop         []string              // each of these ends the text; the token that completes it is the last one
	Piece        func(id int32) string // returns the bytes of a token, to find Stop in

	// How tokens are chosen.
	Scores sample.Config      // what changes their scores, which are logits or, in a beam search, log-probabilities
	Custom []sample.Processor // the caller's own processors
	Sample bool               // draw tokens by their probabilities
	Seed   uint64             // of the draws
	Texts  int                // how many texts to find; 0: 1. More than one need Sample, or as many Beams

	// Beam search, as Hugging Face transformers 4.49 does it.
	Beams         int     // 0 or 1: no beam search
	Groups        int     // into which the beams are divided; 0: 1. Scores.DiversityPenalty makes them differ
	LengthPenalty float64 // the score is Σ LogProb / tokens^LengthPenalty
	EarlyStopping EarlyStopping
	Pad           int32 // what groups that have ended choose: it counts for the diversity of later groups

	// Speculation. A step then gives as many tokens as were guessed right, and one more. The texts are
	// the same as without it. Prompt lookup guesses, or another guesser.
	LookupTokens int     // how many tokens to guess at a time, from the prompt and the text; 0: none
	LookupNgram  int     // how many of the last tokens to look for at most; 0: 2
	Guesser      Guesser // who guesses instead, in a stream; nil: prompt lookup
	GuessTokens  int     // how many tokens the guesser is asked for at a time

	// What is reported.
	LogProbs bool // Token.LogProb, which a beam search has anyway; it costs half a millisecond a token for a vocabulary of 50,000
	Top      int  // how many of the most probable tokens Token.Top lists
	// RawLogProbs has LogProb and Top say what the model itself finds probable: they are the log-softmax
	// of its logits, before any processor, temperature or grammar. Scores of beams do not change.
	RawLogProbs bool
}

// EarlyStopping says when a beam search that has found as many texts as it has beams ends.
type EarlyStopping int

// The kinds of early stopping.
const (
	StopWhenUnlikely EarlyStopping = iota // false: when the best open beam would not be better if it ended now
	StopWhenEnough                        // true: at once
	StopWhenCertain                       // "never": when no open beam can become better
)

// String returns Hugging Face's word for it.
func (e EarlyStopping) String() string {
	switch e {
	case StopWhenUnlikely:
		return "false"
	case StopWhenEnough:
		return "true"
	case StopWhenCertain:
		return "never"
	}
	return fmt.Sprintf("EarlyStopping(%d)", int(e))
}

// MarshalJSON writes true, false or "never".
func (e EarlyStopping) MarshalJSON() ([]byte, error) {
	if e == StopWhenCertain {
		return []byte(`"never"`), nil
	}
	return []byte(e.String()), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (e *EarlyStopping) UnmarshalJSON(data []byte) error {
	for _, kind := range []EarlyStopping{StopWhenUnlikely, StopWhenEnough, StopWhenCertain} {
		if text, err := kind.MarshalJSON(); err == nil && string(text) == string(data) {
			*e = kind
			return nil
		}
	}
	return errors.New(`want true, false or "never"`)
}

// withDefaults applies the defaults.
func (c Config) withDefaults() Config {
	c.Texts, c.Beams, c.Groups = cmp.Or(c.Texts, 1), cmp.Or(c.Beams, 1), cmp.Or(c.Groups, 1)
	c.LookupNgram = cmp.Or(c.LookupNgram, defaultNgram)
	return c
}

// maxTexts bounds beams and texts: their memory is taken before the first step.
const maxTexts = 1 << 16

// Validate reports everything that is wrong with the config, in the words of Hugging Face's
// generation config: num_beams is Beams. It does not look at Scores, whose own Validate does.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("generate: "+format, args...))
		}
	}
	for _, n := range []struct {
		name               string
		value, least, most int
	}{
		{"max_new_tokens", c.MaxNewTokens, 0, math.MaxInt},
		{"num_beams", c.Beams, 1, maxTexts},
		{"num_beam_groups", c.Groups, 1, math.MaxInt},
		{"num_return_sequences", c.Texts, 1, maxTexts},
		{"prompt_lookup_num_tokens", c.LookupTokens, 0, math.MaxInt},
		{"max_matching_ngram_size", c.LookupNgram, 1, math.MaxInt},
		{"mtp", c.GuessTokens, 0, math.MaxInt},
		{"top_logprobs", c.Top, 0, math.MaxInt},
	} {
		wrong(n.value < n.least, "%s is %d: want at least %d", n.name, n.value, max(n.least, 1))
		wrong(n.value > n.most, "%s is %d: want at most %d", n.name, n.value, n.most)
	}
	wrong(c.LookupTokens > 0 && c.GuessTokens > 0, "prompt_lookup_num_tokens is %d, and mtp %d: only one of them guesses; leave the other out", c.LookupTokens, c.GuessTokens)
	wrong(c.MaxTime < 0, "max_time is %v: want a time above 0", c.MaxTime)
	for _, stop := range c.Stop {
		wrong(stop == "", "stop_strings has an empty string, which stands everywhere: want strings with at least one character")
	}
	return errors.Join(append(errs, c.validateSearch()...)...)
}

// validateSearch reports fields that contradict each other.
func (c Config) validateSearch() (errs []error) {
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("generate: "+format, args...))
		}
	}
	switch {
	case c.Beams > 1:
		wrong(c.Texts > c.Beams, "num_return_sequences is %d: want at most num_beams, which is %d", c.Texts, c.Beams)
		wrong(c.Groups > 0 && c.Beams%c.Groups != 0,
			"num_beams is %d, and num_beam_groups %d: want a number of beams that can be divided by that of groups", c.Beams, c.Groups)
		wrong(c.Groups > 1 && c.Sample, "num_beam_groups is %d, and do_sample true: beams in groups are not drawn; want do_sample false", c.Groups)
		wrong(c.LookupTokens > 0, "prompt_lookup_num_tokens with num_beams %d: beams are not guessed; want num_beams 1", c.Beams)
		wrong(c.GuessTokens > 0, "mtp with num_beams %d: beams are not guessed; want num_beams 1", c.Beams)
	default:
		wrong(c.Groups > 1, "num_beam_groups is %d, and num_beams 1: want as many beams as groups at least", c.Groups)
		wrong(c.Texts > 1 && !c.Sample,
			"num_return_sequences is %d: greedy search finds one sequence; want do_sample true, or at least as many num_beams, which is %d", c.Texts, c.Beams)
	}
	return errs
}

// New returns the search that the config asks for, from a prompt of which the sequence holds the
// first tokens already.
func New(prompt []int32, held int, c Config) (Search, error) {
	c, chain, err := c.prepare(prompt, held)
	if err != nil {
		return nil, err
	}
	if c.Guesser != nil {
		return nil, errors.New("generate: a search guesses by prompt lookup alone: a Guesser is for a stream of one text")
	}
	if c.Beams > 1 {
		return newBeams(prompt, held, c, chain), nil
	}
	return newSamples(prompt, held, c, chain), nil
}

// newSearch is New for a caller that may have the logits of the token after the prompt.
func newSearch(prompt []int32, held int, logits []float32, c Config) (Search, error) {
	if err := checkLogits(prompt, held, logits); err != nil {
		return nil, err
	}
	return New(prompt, held, c)
}

// checkLogits reports logits that are not those of the token after the prompt, or that are missing.
func checkLogits(prompt []int32, held int, logits []float32) error {
	switch {
	case logits != nil && held < len(prompt):
		return fmt.Errorf("generate: logits for a prompt of %d tokens of which %d are computed: want all, or no logits", len(prompt), held)
	case logits == nil && held == len(prompt) && held > 0:
		return errors.New("generate: all of the prompt is computed: want the logits of its last token, or a longer prompt")
	}
	return nil
}

// prepare returns the config with its defaults and the processors that it asks for. It reports what
// is wrong with config and prompt.
func (c Config) prepare(prompt []int32, held int) (Config, *sample.Chain, error) {
	c = c.withDefaults()
	errs := []error{c.Validate()}
	if len(c.Stop) > 0 && c.Piece == nil {
		errs = append(errs, errors.New("generate: Stop needs Piece, to find the strings in"))
	}
	if err := errors.Join(errs...); err != nil {
		return c, nil, err
	}
	switch {
	case len(prompt) == 0:
		return c, nil, errors.New("generate: the prompt is empty: want at least one token")
	case held < 0 || held > len(prompt):
		return c, nil, fmt.Errorf("generate: %d tokens held of a prompt of %d", held, len(prompt))
	}
	setting := sample.Setting{PromptLength: len(prompt), EOS: c.EOS, Sample: c.Sample, NumBeams: c.Beams, Custom: c.Custom}
	if c.MaxNewTokens > 0 {
		setting.MaxLength = len(prompt) + min(c.MaxNewTokens, math.MaxInt-len(prompt))
	}
	chain, err := c.Scores.Chain(setting)
	if err != nil {
		return c, nil, fmt.Errorf("generate: %w", err)
	}
	return c, chain, nil
}
