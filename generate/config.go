package generate

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed4d217819/ebb/sample"
)

// Config says how to go on from a prompt. Its zero value takes the most probable token, again and again, until the
// sequence refuses to grow.
type Config struct {
	// When a text ends.
	MaxNewTokens int                   // 0: no limit
	MaxTime      time.Duration         // no step begins when so much has passed since the first one began; 0: no limit
	EOS          []int32               // each of these ends the text, and is its last token
	Stop         []string              // each of these ends the text; the tokens that it came with are the last ones
	Piece        func(id int32) string // the bytes of a token, to find Stop in

	// How tokens are chosen.
	Scores sample.Config      // what changes their scores: logits or, in a beam search, log-probabilities
	Custom []sample.Processor // the caller's own
	Sample bool               // draw tokens by their probabilities
	Seed   uint64             // of what is drawn
	Texts  int                // how many texts are wanted; 0: 1. More need Sample or as many Beams

	// Beam search, as Hugging Face transformers 4.49 does it.
	Beams         int     // 0 or 1: no beam search
	Groups        int     // that the beams are divided into; 0: 1. Scores.DiversityPenalty makes them differ
	LengthPenalty float64 // the score is Σ LogProb / tokens^LengthPenalty
	EarlyStopping EarlyStopping
	Pad           int32 // what groups that are done choose: it counts for the diversity of later ones

	// Speculation: how many tokens are guessed from what stands in the prompt and the text; 0: none. One pass then
	// gives as many tokens as were guessed right, and one more. The texts are those without.
	LookupTokens int
	LookupNgram  int // how many of the last tokens are looked for at most; 0: 2

	// What is reported.
	LogProbs bool // Token.LogProb, outside of beam search: half a millisecond a token for a vocabulary of 50,000
	Top      int  // how many of the most probable tokens Token.Top has
}

// EarlyStopping says when a beam search ends that has found as many texts as it has beams.
type EarlyStopping int

// The kinds of early stopping.
const (
	StopWhenUnlikely EarlyStopping = iota // when the best open beam, were it to end now, would not be better: Hugging Face's false
	StopWhenEnough                        // at once: true
	StopWhenCertain                       // when no open beam can become better: "never"
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
	c.Texts, c.Beams, c.Groups = max(c.Texts, 1), max(c.Beams, 1), max(c.Groups, 1)
	if c.LookupNgram == 0 {
		c.LookupNgram = defaultNgram
	}
	return c
}

// validate reports everything that is wrong with a config that has its defaults.
func (c Config) validate() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("generate: "+format, args...))
		}
	}
	beams := c.Beams > 1
	wrong(c.MaxNewTokens < 0, "MaxNewTokens is %d: want at least 0", c.MaxNewTokens)
	wrong(c.MaxTime < 0, "MaxTime is %v: want at least 0", c.MaxTime)
	for _, stop := range c.Stop {
		wrong(stop == "", "a string in Stop is empty: it stands everywhere")
	}
	wrong(len(c.Stop) > 0 && c.Piece == nil, "Stop needs Piece")
	wrong(c.Beams%c.Groups != 0, "%d Beams cannot be divided into %d Groups", c.Beams, c.Groups)
	wrong(c.Groups > 1 && c.Sample, "%d Groups with Sample: beams in groups are not drawn", c.Groups)
	wrong(beams && c.Texts > c.Beams, "%d Texts wanted of %d Beams", c.Texts, c.Beams)
	wrong(!beams && !c.Sample && c.Texts > 1, "%d Texts wanted of one that is always the same: want Sample, or Beams", c.Texts)
	wrong(c.LookupTokens < 0, "LookupTokens is %d: want at least 0", c.LookupTokens)
	wrong(c.LookupNgram < 0, "LookupNgram is %d: want at least 0", c.LookupNgram)
	wrong(beams && c.LookupTokens > 0, "LookupTokens with %d Beams: beams are not guessed", c.Beams)
	wrong(c.Top < 0, "Top is %d: want at least 0", c.Top)
	return errors.Join(errs...)
}

// New returns the search that the config asks for, from a prompt of which the sequence holds the first tokens already.
func New(prompt []int32, held int, c Config) (Search, error) {
	c, chain, err := c.prepare(prompt, held)
	if err != nil {
		return nil, err
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

// prepare returns the config with its defaults and the processors that it asks for. It reports what is wrong with config
// and prompt.
func (c Config) prepare(prompt []int32, held int) (Config, *sample.Chain, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
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
		setting.MaxLength = len(prompt) + c.MaxNewTokens
	}
	chain, err := c.Scores.Chain(setting)
	if err != nil {
		return c, nil, fmt.Errorf("generate: %w", err)
	}
	return c, chain, nil
}
