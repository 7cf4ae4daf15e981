package generate

import (
	"fmt"

	"github.com/seed4d217819/ebb/sample"
)

// Token is a token that was chosen.
type Token struct {
	ID int32
	// LogProb is the natural logarithm of the token's probability among the tokens that were
	// allowed, if Config.LogProbs asks for it. In a beam search it is what the token adds to the
	// score, which processors may have changed. With Config.RawLogProbs it is by the model's own
	// distribution instead.
	LogProb float64
	Top     []Candidate // the most probable tokens of its step, as many as Config.Top, the best one first
	Finish  Finish      // why the text ended with this token; Unfinished for all tokens but the last
}

// Candidate is a token that could have been chosen. Its LogProb is that among the tokens that were
// allowed, or by the model's own distribution with Config.RawLogProbs.
type Candidate = sample.Candidate

// Text is one of the texts that a search has found.
type Text struct {
	Tokens []Token // the new ones only, including an end token
	// Score is the sum of the tokens' LogProb, if those were asked for. In a beam search it is the sum
	// of what the tokens add, divided by the number of tokens to the power of Config.LengthPenalty.
	Score float64
	// Beams says for each token which beam it continued, counted within its group. It is empty
	// outside of a beam search.
	Beams  []int32
	Finish Finish
}

// IDs returns the ids of the tokens.
func (t Text) IDs() []int32 {
	ids := make([]int32, len(t.Tokens))
	for i, token := range t.Tokens {
		ids[i] = token.ID
	}
	return ids
}

// Finish says why a text ended.
type Finish int

// The reasons why texts end. The zero value is that of a text that has not ended.
const (
	Unfinished  Finish = iota
	EndToken           // one of Config.EOS
	StopString         // one of Config.Stop
	LengthLimit        // Config.MaxNewTokens
	TimeLimit          // Config.MaxTime
	GrammarEnd         // the text is complete by a grammar, and no token may follow it
	finishCount        // keep this last
)

// String returns the reason in a word or two.
func (f Finish) String() string {
	if f < 0 || f >= finishCount {
		return fmt.Sprintf("Finish(%d)", int(f))
	}
	return [...]string{"unfinished", "end token", "stop string", "length", "time", "grammar"}[f]
}
