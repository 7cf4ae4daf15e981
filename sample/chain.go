package sample

import (
	"errors"
	"slices"
)

// defaultTopK is Hugging Face's, for sampling.
const defaultTopK = 50

// Setting is what a chain must know about a search in addition to the [Config].
type Setting struct {
	PromptLength int
	MaxLength    int         // how many tokens a text may have, including the prompt's; 0: not known
	EOS          []int32     // each ends the text
	Sample       bool        // tokens are drawn
	NumBeams     int         // 0: 1
	Custom       []Processor // the caller's own; they see the scores before temperature and the filters of sampling
}

// Chain is a list of processors in Hugging Face's order. It keeps scratch memory: several sequences
// may share it, but use it from one goroutine at a time.
type Chain struct {
	processors []Processor
	enders     []Ender // the processors that are Enders
	diversity  int     // the index of HammingDiversity; -1: none
	penalty    float64
	view       view
	viewed     bool // view is up to date
}

// Chain returns the processors that the config asks for. The error reports everything that is wrong
// with the config.
func (c Config) Chain(s Setting) (*Chain, error) {
	errs := []error{c.Validate()}
	if len(c.ForcedEOSTokenID) > 0 && s.MaxLength == 0 {
		errs = append(errs, errors.New("sample: forced_eos_token_id needs a maximal length: set max_new_tokens or max_length"))
	}
	if c.ExponentialDecayLengthPenalty != nil && len(s.EOS) == 0 {
		errs = append(errs, errors.New("sample: exponential_decay_length_penalty makes the end likelier: set eos_token_id"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	chain := &Chain{diversity: -1}
	c.addForAll(chain, s)
	for _, p := range s.Custom {
		chain.add(true, p)
	}
	if s.Sample {
		c.addForSampling(chain, s)
	}
	chain.add(c.RenormalizeLogits, LogitNormalization{})
	return chain, nil
}

func (c Config) addForAll(chain *Chain, s Setting) {
	chain.add(len(c.SequenceBias) > 0, &SequenceBias{Biases: c.SequenceBias})
	if c.DiversityPenalty > 0 {
		chain.diversity, chain.penalty = len(chain.processors), c.DiversityPenalty
		chain.add(true, HammingDiversity{Penalty: c.DiversityPenalty})
	}
	chain.add(c.RepetitionPenalty != 0 && c.RepetitionPenalty != 1, &RepetitionPenalty{Penalty: c.RepetitionPenalty})
	chain.add(c.PresencePenalty != 0 || c.FrequencyPenalty != 0, &OccurrencePenalty{
		PromptLength: s.PromptLength, Presence: c.PresencePenalty, Frequency: c.FrequencyPenalty,
	})
	chain.add(c.NoRepeatNGramSize > 0, NoRepeatNGram{Size: c.NoRepeatNGramSize})
	chain.add(len(c.BadWordsIDs) > 0, NoBadWords{Words: c.BadWordsIDs, EOS: s.EOS})
	chain.add(c.MinLength > 0 && len(s.EOS) > 0, MinLength{Length: c.MinLength, EOS: s.EOS})
	chain.add(c.MinNewTokens > 0 && len(s.EOS) > 0, MinNewTokens{PromptLength: s.PromptLength, Tokens: c.MinNewTokens, EOS: s.EOS})
	begin := s.PromptLength
	if c.ForcedBOSTokenID != nil {
		chain.add(true, ForcedBOS{Token: *c.ForcedBOSTokenID})
		if begin <= 1 {
			begin++
		}
	}
	chain.add(len(c.ForcedEOSTokenID) > 0, ForcedEOS{MaxLength: s.MaxLength, Tokens: c.ForcedEOSTokenID})
	chain.add(c.RemoveInvalidValues, InfNanRemove{})
	if d := c.ExponentialDecayLengthPenalty; d != nil {
		chain.add(true, ExponentialDecayLengthPenalty{Decay: *d, PromptLength: s.PromptLength, EOS: s.EOS})
	}
	chain.add(len(c.SuppressTokens) > 0, SuppressTokens{Tokens: c.SuppressTokens})
	chain.add(len(c.BeginSuppressTokens) > 0, SuppressTokensAtBegin{Tokens: c.BeginSuppressTokens, Begin: begin})
}

func (c Config) addForSampling(chain *Chain, s Setting) {
	keep := 1
	if s.NumBeams > 1 {
		keep = max(len(s.EOS), 1) + 1 // so that one of them does not end the text
	}
	topK := defaultTopK
	if c.TopK != nil {
		topK = *c.TopK
	}
	temperature, topP, typicalP := orOne(c.Temperature), orOne(c.TopP), orOne(c.TypicalP)
	chain.add(temperature != 1, Temperature{Temperature: temperature})
	chain.add(topK > 0, &TopK{K: topK, MinTokensToKeep: keep})
	chain.add(topP < 1, &TopP{P: topP, MinTokensToKeep: keep})
	chain.add(c.MinP > 0, &MinP{P: c.MinP, MinTokensToKeep: keep})
	chain.add(typicalP < 1, &Typical{Mass: typicalP, MinTokensToKeep: keep})
	chain.add(c.EpsilonCutoff > 0, &EpsilonCutoff{Epsilon: c.EpsilonCutoff, MinTokensToKeep: keep})
	chain.add(c.EtaCutoff > 0, &EtaCutoff{Epsilon: c.EtaCutoff, MinTokensToKeep: keep})
}

func (c *Chain) add(wanted bool, p Processor) {
	if !wanted {
		return
	}
	c.processors = append(c.processors, p)
	if e, ok := p.(Ender); ok {
		c.enders = append(c.enders, e)
	}
}

// Ended reports whether one of the processors says that nothing may follow ids.
func (c *Chain) Ended(ids []int32) bool {
	return slices.ContainsFunc(c.enders, func(e Ender) bool { return e.Ended(ids) })
}

// CanEnd reports whether Ended may ever be true.
func (c *Chain) CanEnd() bool { return len(c.enders) > 0 }

// Processors returns the processors in their order. The caller must not change the slice.
func (c *Chain) Processors() []Processor { return c.processors }

// Process applies all processors in their order, as for the first group of a search in groups.
func (c *Chain) Process(ids []int32, scores []float32) error {
	return c.ProcessGroup(nil, ids, scores)
}

// ProcessGroup is Process for any group of a search in groups. chosen are the tokens that earlier
// groups of the same prompt chose in this step.
func (c *Chain) ProcessGroup(chosen, ids []int32, scores []float32) error {
	c.viewed = false
	for i := 0; i < len(c.processors); i++ {
		p := c.processors[i]
		// After TopK there are fewer scores to scale, so Temperature follows it. The result is the
		// same.
		if t, ok := p.(Temperature); ok && i+1 < len(c.processors) {
			if topK, ok := c.processors[i+1].(*TopK); ok {
				if err := c.look(scores); err != nil {
					return err
				}
				if err := topK.filterScaled(&c.view, t.factor()); err != nil {
					return err
				}
				i++
				continue
			}
		}
		if f, ok := p.(filter); ok {
			if err := c.look(scores); err != nil {
				return err
			}
			if err := f.filter(&c.view); err != nil {
				return err
			}
			continue
		}
		c.viewed = false
		if i == c.diversity {
			p = HammingDiversity{Penalty: c.penalty, Chosen: chosen}
		}
		if err := p.Process(ids, scores); err != nil {
			return err
		}
	}
	return nil
}

// look brings c.view up to date.
func (c *Chain) look(scores []float32) error {
	if c.viewed {
		return nil
	}
	c.viewed = true
	return c.view.read(scores)
}

// Draw is Process followed by [Sampler.Draw], and faster: it knows which tokens the filters have
// left.
func (c *Chain) Draw(s *Sampler, ids []int32, scores []float32) (int32, error) {
	if err := c.Process(ids, scores); err != nil {
		return 0, err
	}
	if !c.viewed || !c.view.listed {
		return s.Draw(scores)
	}
	return s.drawListed(&c.view), nil
}
