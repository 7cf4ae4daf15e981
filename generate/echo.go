package generate

import (
	"fmt"

	"github.com/seed4d217819/ebb/sample"
)

// echo reads from the logits of a prompt how probable its tokens are.
type echo struct {
	first  int     // the first token of the prompt that is computed
	ids    []int32 // those from there on
	top    int     // how many candidates are listed for each
	tokens []Token // those that passes have computed
}

func newEcho(prompt []int32, held, top int) *echo {
	return &echo{first: held, ids: prompt[held:], top: top, tokens: make([]Token, 0, len(prompt)-held)}
}

// wants returns of how many of the last tokens of a pass logits are wanted: of those behind the ones that
// were read before. The pass begins behind some tokens of the prompt.
func (e *echo) wants(before, pass int) int {
	return min(pass, before+pass-(e.first+max(len(e.tokens)-1, 0)))
}

// add takes the logits that follow the tokens of a pass: [token][vocab]. Those after the last token of
// the prompt say nothing about it.
func (e *echo) add(rows [][]float32) error {
	if len(e.tokens) == 0 {
		e.tokens = append(e.tokens, Token{ID: e.ids[0]})
	}
	for _, row := range rows {
		at := len(e.tokens)
		if at == len(e.ids) {
			break
		}
		token := Token{ID: e.ids[at]}
		norm, err := sample.LogSumExp(row)
		if err == nil {
			token.LogProb = float64(row[token.ID]) - norm
			token.Top, err = candidates(row, e.top)
		}
		if err != nil {
			return fmt.Errorf("generate: logits of the prompt's token %d: %w", at+1, err)
		}
		e.tokens = append(e.tokens, token)
	}
	return nil
}
