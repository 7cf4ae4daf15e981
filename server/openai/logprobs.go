package openai

import (
	"math"
	"unicode/utf8"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/tokenizer"
)

// logProbs are those of a chat's text.
type logProbs struct {
	Content []tokenLogProb `json:"content"`
}

// tokenLogProb is a token, how probable it was, and what could have come instead.
type tokenLogProb struct {
	candidate
	Top []candidate `json:"top_logprobs"`
}

type candidate struct {
	Token   string  `json:"token"`
	LogProb float64 `json:"logprob"`
	Bytes   []int   `json:"bytes"` // a token need not be whole characters
}

// leastLogProb stands for a token that cannot come: JSON has no infinity.
const leastLogProb = -9999

func candidateOf(spelling string, logProb float64) candidate {
	c := candidate{Token: spelling, LogProb: finite(logProb), Bytes: make([]int, len(spelling))}
	for i := range len(spelling) {
		c.Bytes[i] = int(spelling[i])
	}
	return c
}

func finite(logProb float64) float64 {
	if math.IsNaN(logProb) {
		return leastLogProb
	}
	return max(logProb, leastLogProb)
}

// logProbsOf returns those of tokens.
func logProbsOf(t *tokenizer.Tokenizer, tokens []generate.Token) []tokenLogProb {
	out := make([]tokenLogProb, len(tokens))
	for i, token := range tokens {
		out[i] = tokenLogProb{candidateOf(t.Spell(token.ID), token.LogProb), make([]candidate, len(token.Top))}
		for j, c := range token.Top {
			out[i].Top[j] = candidateOf(t.Spell(c.ID), c.LogProb)
		}
	}
	return out
}

// legacyLogProbs are those of a completion: lists, in which a token is at the same place.
type legacyLogProbs struct {
	Tokens   []string             `json:"tokens"`
	LogProbs []*float64           `json:"token_logprobs"` // null for a text's first token
	Top      []map[string]float64 `json:"top_logprobs"`   // the token itself among them
	Offsets  []int                `json:"text_offset"`    // characters of the text before the token
}

// ledger lists the tokens of one text of a completion.
type ledger struct {
	tokenizer *tokenizer.Tokenizer
	decoder   *tokenizer.Decoder
	offset    int // characters
}

func newLedger(t *tokenizer.Tokenizer) *ledger {
	return &ledger{tokenizer: t, decoder: t.NewDecoder(true)}
}

// add returns the lists of more tokens. first says that the first of them has nothing before it, so that
// it has no probability.
func (l *ledger) add(tokens []generate.Token, first bool) *legacyLogProbs {
	out := &legacyLogProbs{Tokens: []string{}, LogProbs: []*float64{}, Top: []map[string]float64{}, Offsets: []int{}}
	for i, token := range tokens {
		name := l.name(token.ID)
		out.Tokens = append(out.Tokens, name)
		out.Offsets = append(out.Offsets, l.offset)
		l.offset += utf8.RuneCountInString(l.decoder.Next(token.ID))
		if first && i == 0 {
			out.LogProbs, out.Top = append(out.LogProbs, nil), append(out.Top, nil)
			continue
		}
		logProb := finite(token.LogProb)
		top := map[string]float64{name: logProb}
		for _, c := range token.Top {
			if other := l.name(c.ID); c.ID != token.ID {
				top[other] = max(finite(c.LogProb), wire.Or(keyed(top, other), leastLogProb))
			}
		}
		out.LogProbs, out.Top = append(out.LogProbs, &logProb), append(out.Top, top)
	}
	return out
}

// keyed returns what a map has at a key; nil: nothing.
func keyed(m map[string]float64, key string) *float64 {
	if v, ok := m[key]; ok {
		return &v
	}
	return nil
}

// name returns how a token is named: by its text, or by its bytes where these are no whole characters.
func (l *ledger) name(id int32) string {
	spelling := l.tokenizer.Spell(id)
	if utf8.ValidString(spelling) {
		return spelling
	}
	name := []byte("bytes:")
	for i := range len(spelling) {
		const digits = "0123456789abcdef"
		name = append(name, '\\', 'x', digits[spelling[i]>>4], digits[spelling[i]&15])
	}
	return string(name)
}
