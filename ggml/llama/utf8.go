package llama

import (
	"bytes"
	"unicode/utf8"
)

// repair returns text with every byte that belongs to no code point replaced by U+FFFD, and text
// itself where there is none. libllama does the same, byte by byte, for the invalid sequences that
// it notices; it accepts those for code points above U+10FFFF and then ends the process.
//
// A surrogate written as three bytes (ED A0 80 to ED BF BF) is left as it is: libllama tokenizes it
// like any other code point and its ids give the same bytes back.
func repair(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	var out bytes.Buffer
	out.Grow(len(text) + 16)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r != utf8.RuneError || n > 1:
			out.Write(text[:n])
		case isSurrogate(text):
			n = 3
			out.Write(text[:n])
		default:
			out.WriteRune(utf8.RuneError)
		}
		text = text[n:]
	}
	return out.Bytes()
}

// isSurrogate reports whether b starts with a surrogate in three bytes.
func isSurrogate(b []byte) bool {
	return len(b) >= 3 && b[0] == 0xED && b[1]&0xE0 == 0xA0 && b[2]&0xC0 == 0x80
}
