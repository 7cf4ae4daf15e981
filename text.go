package ebb

import (
	"iter"
	"unicode/utf8"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/tokenizer"
)

// TextDecoder turns the tokens of one text into the text as they come: in whole characters, without
// special tokens, and up to a stop string. Each byte that is not UTF-8, such as those of half a
// character at the end, becomes U+FFFD. One goroutine uses it.
type TextDecoder struct {
	tokenizer *tokenizer.Tokenizer
	decoder   *tokenizer.Decoder
	cutter    *generate.Cutter
}

// NewTextDecoder returns a TextDecoder. None of the stop strings may be empty.
func (e *Engine) NewTextDecoder(stops []string) *TextDecoder {
	return &TextDecoder{e.tokenizer, e.tokenizer.NewDecoder(true), generate.NewCutter(stops)}
}

// Next returns the text that is certain after one more token.
func (d *TextDecoder) Next(id int32) string {
	text, _ := d.cutter.Next(d.decoder.Next(id))
	return characters(text)
}

// Flush returns the text that is held back, when there are no more tokens.
func (d *TextDecoder) Flush() string {
	text, _ := d.cutter.Next(d.decoder.Flush())
	return characters(text + d.cutter.Flush())
}

// rest returns what Flush would return, and keeps holding it back.
func (d *TextDecoder) rest() string {
	decoder, cutter := *d.decoder, *d.cutter
	copied := TextDecoder{d.tokenizer, &decoder, &cutter}
	return copied.Flush()
}

// characters returns text with U+FFFD for each byte that is not UTF-8, as JSON has it.
func characters(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return string([]rune(text))
}

// Piece is a token of a text, and the text that is certain with it.
type Piece struct {
	generate.Token
	Text    string // whole characters, without special tokens and what comes from a stop string on; may be empty
	Control string // the spelling of a token that Text leaves out, such as <|im_end|>; it comes behind Text
}

// Piece returns a token with the text that is certain with it. With the last token, which has a Finish,
// that is all text that was held back.
func (d *TextDecoder) Piece(token generate.Token) Piece {
	piece := Piece{Token: token, Text: d.Next(token.ID)}
	if piece.Text == "" {
		if piece.Control = d.tokenizer.Control(token.ID); piece.Control != "" {
			piece.Text = characters(d.cutter.Flush()) // no stop string goes on behind the token
		}
	}
	if token.Finish != generate.Unfinished {
		piece.Text += d.Flush()
	}
	return piece
}

// Decode turns the tokens of one text into text as they come. The last of tokens has a Finish or
// comes with an error, as those of [Engine.GenerateTokens]. Text that was held back until then
// comes with it. A piece that comes with an error has no token.
func (e *Engine) Decode(tokens iter.Seq2[generate.Token, error], stops []string) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		d := e.NewTextDecoder(stops)
		for token, err := range tokens {
			if err != nil {
				yield(Piece{Text: d.Flush()}, err)
				return
			}
			if !yield(d.Piece(token), nil) {
				return
			}
		}
	}
}
