package tokenizer

import "unicode/utf8"

// Decoder turns tokens into text as they come. Bytes that begin a character are held back until the
// tokens after them complete it, so each string is whole characters; bytes that cannot become a
// character are passed on unchanged. A Decoder must be used by one goroutine at a time.
type Decoder struct {
	tokenizer   *Tokenizer
	skipSpecial bool
	held        []byte // the beginning of a character, at most 3 bytes
}

// NewDecoder returns a Decoder for tokens that continue a text, so a space in front of the first
// token is kept. skipSpecial means the same as for [Tokenizer.Decode].
func (t *Tokenizer) NewDecoder(skipSpecial bool) *Decoder {
	return &Decoder{tokenizer: t, skipSpecial: skipSpecial}
}

// Next returns the text that id completes, which may be empty. An id outside the vocabulary becomes
// U+FFFD. After the tokenizer's Close the text is empty.
func (d *Decoder) Next(id int32) string {
	d.held = append(d.held, d.tokenizer.piece(id, d.skipSpecial)...)
	n := len(d.held) - unfinished(d.held)
	text := string(d.held[:n])
	d.held = append(d.held[:0], d.held[n:]...)
	return text
}

// Flush returns the bytes that are held back. It is called after the last token, and makes the
// Decoder ready for another text.
func (d *Decoder) Flush() string {
	text := string(d.held)
	d.held = d.held[:0]
	return text
}

// unfinished returns how many bytes at the end of text begin a character that more bytes could
// complete.
func unfinished(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
