// Package grammartest has what the tests of grammars share: a vocabulary of bytes, texts that
// follow a grammar, and processes of their own for hostile input. Nothing but tests imports it.
package grammartest

import (
	"math"
	"math/rand/v2"
	"strings"
)

// Words is a vocabulary of texts; those in angle brackets are control tokens. The first one ends a
// text.
type Words []string

// Letters returns a vocabulary that has all bytes as tokens from 1 on, and then more.
func Letters(more ...string) Words {
	w := Words{"<end>"}
	for b := range 256 {
		w = append(w, string([]byte{byte(b)}))
	}
	return append(w, more...)
}

// Size returns the number of tokens.
func (w Words) Size() int { return len(w) }

// Piece returns the text of a token; that of a control token only if special asks for it.
func (w Words) Piece(id int32, special bool) ([]byte, error) {
	if text := w[id]; !isControl(text) || special {
		return []byte(text), nil
	}
	return nil, nil
}

func isControl(text string) bool {
	return len(text) > 2 && strings.HasPrefix(text, "<") && strings.HasSuffix(text, ">")
}

// EOG returns the token that ends a text.
func (Words) EOG() []int32 { return []int32{0} }

// Processor keeps tokens of [Letters] to a grammar.
type Processor interface {
	Process(ids []int32, scores []float32) error
}

// next returns which bytes may follow ids, and whether the text may end.
func next(p Processor, ids []int32) (bytes []byte, ends bool) {
	scores := make([]float32, 257)
	if p.Process(ids, scores) != nil {
		return nil, false
	}
	for id, x := range scores[1:] {
		if !math.IsInf(float64(x), -1) {
			bytes = append(bytes, byte(id))
		}
	}
	return bytes, !math.IsInf(float64(scores[0]), -1)
}

// Matches reports whether text follows the grammar.
func Matches(p Processor, text string) bool {
	var ids []int32
	for i := range len(text) {
		ids = append(ids, int32(text[i])+1)
	}
	_, ends := next(p, ids)
	return ends
}

// Write returns a text that follows the grammar, byte by byte at random; false if it becomes longer
// than most bytes. After 200 bytes it takes those that lead to an end.
func Write(p Processor, r *rand.Rand, most int) (string, bool) {
	var text []byte
	var ids []int32
	for {
		bytes, ends := next(p, ids)
		if ends && (len(bytes) == 0 || len(text) > 200 || r.IntN(4) == 0) {
			return string(text), true
		}
		if len(bytes) == 0 || len(text) > most {
			return string(text), false
		}
		b := bytes[r.IntN(len(bytes))]
		if len(text) > 200 && r.IntN(3) > 0 {
			for _, closing := range []byte(`"}]el0`) {
				if strings.IndexByte(string(bytes), closing) >= 0 {
					b = closing
					break
				}
			}
		}
		text, ids = append(text, b), append(ids, int32(b)+1)
	}
}
