package sample

import (
	"encoding/json"
	"math"
)

// MinLength forbids the end of a text before it has Length tokens, including the prompt's.
type MinLength struct {
	Length int
	EOS    []int32
}

// Process implements Processor.
func (p MinLength) Process(ids []int32, scores []float32) error {
	if len(ids) < p.Length {
		forbid(p.EOS, scores)
	}
	return nil
}

// MinNewTokens forbids the end of a text before it has Tokens tokens after its prompt.
type MinNewTokens struct {
	PromptLength int
	Tokens       int
	EOS          []int32
}

// Process implements Processor.
func (p MinNewTokens) Process(ids []int32, scores []float32) error {
	if len(ids)-p.PromptLength < p.Tokens {
		forbid(p.EOS, scores)
	}
	return nil
}

// LengthDecay says when and how fast the end of a text becomes likelier. In JSON it is a pair, as
// in Hugging Face's exponential_decay_length_penalty: [20, 1.05].
type LengthDecay struct {
	Start  int     // how many new tokens come before it begins
	Factor float64 // of each token; above 0, and above 1 to make texts shorter
}

// MarshalJSON writes the pair.
func (d LengthDecay) MarshalJSON() ([]byte, error) { return json.Marshal([]any{d.Start, d.Factor}) }

// UnmarshalJSON reads the pair.
func (d *LengthDecay) UnmarshalJSON(data []byte) error {
	return unmarshalPair(data, &d.Start, &d.Factor, "want a number of tokens and a factor, as in [20, 1.05]")
}

// ExponentialDecayLengthPenalty makes the end of a text likelier with every token once the text has
// Decay.Start new tokens: after n more it adds |score| · (Factor^n - 1) to the scores of EOS. A
// forbidden end stays forbidden.
type ExponentialDecayLengthPenalty struct {
	Decay        LengthDecay
	PromptLength int
	EOS          []int32
}

// Process implements Processor.
func (p ExponentialDecayLengthPenalty) Process(ids []int32, scores []float32) error {
	n := len(ids) - p.PromptLength - p.Decay.Start
	if n <= 0 {
		return nil
	}
	growth := min(math.Pow(p.Decay.Factor, float64(n))-1, math.MaxFloat64) // 0 · Inf is no number
	for _, id := range p.EOS {
		if id < 0 || int(id) >= len(scores) {
			return outside("exponential decay length penalty", id, len(scores))
		}
		s := float64(scores[id])
		if math.IsInf(s, -1) {
			continue // -Inf + Inf is no score
		}
		scores[id] = float32(min(s+math.Abs(s)*growth, math.MaxFloat32))
	}
	return nil
}

// forbid sets the scores of tokens to -Inf. Ids outside the vocabulary are ignored.
func forbid(tokens []int32, scores []float32) {
	for _, id := range tokens {
		if id >= 0 && int(id) < len(scores) {
			scores[id] = negInf
		}
	}
}
