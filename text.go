package ebb

import (
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/tokenizer"
)

// TextDecoder turns the tokens of one text into the text, as they come: in whole characters, without special tokens, and
// up to a stop string. It is used by one goroutine.
type TextDecoder struct {
	decoder *tokenizer.Decoder
	cutter  *generate.Cutter
}

// NewTextDecoder returns a TextDecoder for stop strings that are not empty, or none.
func (e *Engine) NewTextDecoder(stops []string) *TextDecoder {
	return &TextDecoder{e.tokenizer.NewDecoder(true), generate.NewCutter(stops)}
}

// Next returns the text that is certain with a token.
func (d *TextDecoder) Next(id int32) string {
	text, _ := d.cutter.Next(d.decoder.Next(id))
	return text
}

// Flush returns what is held back, when no more tokens come.
func (d *TextDecoder) Flush() string {
	text, _ := d.cutter.Next(d.decoder.Flush())
	return text + d.cutter.Flush()
}
