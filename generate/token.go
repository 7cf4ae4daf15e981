package generate

import (
	"fmt"

	"github.com/seed4d217819/ebb/sample"
)

// Token is a token that was chosen.
type Token struct {
	ID int32
	// LogProb is the natural logarithm of its probability among the tokens that were allowed, if Config.LogProbs asks
	// for it. In a beam search it is what the token adds to the score: processors may have changed it.
	LogProb float64
	Top     []Candidate // the most probable tokens of its step, as many as Config.Top, best first
	Finish  Finish      // of the last token: why the text ended with it; Unfinished of all others
}

// Candidate is a token that could have been chosen. Its LogProb is that among the tokens that were allowed.
type Candidate = sample.Candidate

// Text is one of the texts that a search has found.
type Text struct {
	Tokens []Token // new ones only, an end token among them
	// Score is the sum of the tokens' LogProb, if those were asked for; in a beam search it is divided by their number
	// to the power of Config.LengthPenalty.
	Score float64
	// Beams says of which beam each token is the continuation, counted within its group. It is empty outside of a beam
	// search.
	Beams  []int32
	Finish Finish
}

// IDs returns the tokens' ids.
func (t Text) IDs() []int32 {
	ids := make([]int32, len(t.Tokens))
	for i, token := range t.Tokens {
		ids[i] = token.ID
	}
	return ids
}

// Finish says what ended a text.
type Finish int

// What ends texts. The zero value: nothing yet.
const (
	Unfinished  Finish = iota
	EndToken           // one of Config.EOS
	StopString         // one of Config.Stop
	LengthLimit        // Config.MaxNewTokens
	TimeLimit          // Config.MaxTime
	GrammarEnd         // a processor allows nothing after it, no end token either: a grammar's text is complete
	finishCount        // keep this last
)

// String returns the word for it.
func (f Finish) String() string {
	if f < 0 || f >= finishCount {
		return fmt.Sprintf("Finish(%d)", int(f))
	}
	return [...]string{"unfinished", "end token", "stop string", "length", "time", "grammar"}[f]
}
