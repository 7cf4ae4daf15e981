package sample

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
)

// Bias is added to the score of the last of some tokens where the sequence ends with the tokens
// before it. In JSON it is a pair, as in Hugging Face's sequence_bias: [[15, 7], -2.5].
type Bias struct {
	Tokens []int32
	Bias   float32 // -Inf forbids the last token
}

// negInfJSON is what a bias of -Inf is in JSON, which has no infinite numbers. Python reads a
// number as infinite if it is too great.
const negInfJSON = "-1e9999"

// MarshalJSON writes the pair. A bias of -Inf is written as a number too low for a float64.
func (b Bias) MarshalJSON() ([]byte, error) {
	if math.IsInf(float64(b.Bias), -1) {
		return json.Marshal([]any{b.Tokens, json.RawMessage(negInfJSON)})
	}
	return json.Marshal([]any{b.Tokens, b.Bias})
}

// UnmarshalJSON reads the pair. A bias too low for a float32 is -Inf.
func (b *Bias) UnmarshalJSON(data []byte) error {
	const want = "want a list of token ids and a finite number or -Infinity, as in [[15, 7], -2.5]"
	var number json.RawMessage
	if err := unmarshalPair(data, &b.Tokens, &number, want); err != nil {
		return err
	}
	bias, err := strconv.ParseFloat(string(number), 32)
	if err != nil && !math.IsInf(bias, -1) {
		return errors.New(want)
	}
	b.Bias = float32(bias)
	return nil
}

// unmarshalPair reads a JSON array of two values, neither of which is null.
func unmarshalPair(data []byte, first, second any, want string) error {
	var pair []json.RawMessage
	if json.Unmarshal(data, &pair) != nil || len(pair) != 2 || slices.ContainsFunc(pair, isNull) ||
		json.Unmarshal(pair[0], first) != nil || json.Unmarshal(pair[1], second) != nil {
		return errors.New(want)
	}
	return nil
}

func isNull(text json.RawMessage) bool { return string(text) == "null" }

// SequenceBias adds biases. A bias of one token is always added. A bias of several is added where
// the sequence has at least as many tokens as the bias and ends with all of the bias's tokens but
// the last, as in Hugging Face.
//
// It keeps scratch memory: use it from one goroutine at a time.
type SequenceBias struct {
	Biases []Bias // if two have the same tokens, the last one counts

	sums []Bias
}

// Process implements Processor.
func (p *SequenceBias) Process(ids []int32, scores []float32) error {
	p.sums = p.sums[:0]
	for i, b := range p.Biases {
		for _, id := range b.Tokens {
			if id < 0 || int(id) >= len(scores) {
				return outside("sequence bias", id, len(scores))
			}
		}
		again := func(later Bias) bool { return slices.Equal(later.Tokens, b.Tokens) }
		if completes(ids, b.Tokens) && !slices.ContainsFunc(p.Biases[i+1:], again) {
			p.add(b)
		}
	}
	for _, b := range p.sums {
		scores[b.Tokens[0]] += b.Bias
	}
	return nil
}

// add sums the biases of one token before they are added to its score: the order of floating-point
// additions matters.
func (p *SequenceBias) add(b Bias) {
	last := b.Tokens[len(b.Tokens)-1:]
	for i := range p.sums {
		if p.sums[i].Tokens[0] == last[0] {
			p.sums[i].Bias += b.Bias
			return
		}
	}
	p.sums = append(p.sums, Bias{Tokens: last, Bias: b.Bias})
}

// completes reports whether the last token of run, if it came next, would complete the run.
func completes(ids, run []int32) bool {
	n := len(run) - 1
	return n == 0 || n > 0 && len(run) <= len(ids) && slices.Equal(ids[len(ids)-n:], run[:n])
}

// NoBadWords forbids the last token of each of its words where the sequence ends with the tokens
// before it. A word that is one EOS token is ignored, or no text could end.
type NoBadWords struct {
	Words [][]int32
	EOS   []int32
}

// Process implements Processor.
func (p NoBadWords) Process(ids []int32, scores []float32) error {
	for _, word := range p.Words {
		for _, id := range word {
			if id < 0 || int(id) >= len(scores) {
				return outside("bad words", id, len(scores))
			}
		}
		if completes(ids, word) && (len(word) > 1 || !slices.Contains(p.EOS, word[0])) {
			scores[word[len(word)-1]] = negInf
		}
	}
	return nil
}
