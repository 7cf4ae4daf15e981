package llama

import (
	"strings"
	"unicode/utf8"
)

// fallback determines which text a SentencePiece vocabulary can spell. A character that is not a
// token is spelled in byte tokens, "<0x0A>" or the bare byte, and libllama ends the process if the
// vocabulary has neither. The nil fallback, which is for every other kind of vocabulary, can spell
// everything.
type fallback struct {
	bytes [256]bool
	chars map[rune]struct{} // characters that are tokens; spaces as ▁
}

// newFallback looks at the text of every token.
func newFallback(texts func(yield func(string) bool)) *fallback {
	f := &fallback{chars: make(map[rune]struct{})}
	byteTokens := make(map[string]byte, 256)
	const hex = "0123456789ABCDEF"
	for b := range 256 {
		byteTokens["<0x"+string(hex[b>>4])+string(hex[b&15])+">"] = byte(b)
	}
	for text := range texts {
		if b, ok := byteTokens[text]; ok {
			f.bytes[b] = true
		} else if len(text) == 1 {
			f.bytes[text[0]] = true
		} else if r, n := utf8.DecodeRuneInString(text); n == len(text) && n > 1 {
			f.chars[r] = struct{}{}
		}
	}
	return f
}

// missing returns the first character of text that cannot be spelled.
func (f *fallback) missing(text string) (char string, found bool) {
	if f == nil {
		return "", false
	}
	text = strings.ReplaceAll(text, " ", "\u2581")
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if _, ok := f.chars[r]; !ok || n == 1 {
			for i := range n {
				if !f.bytes[text[i]] {
					return text[:n], true
				}
			}
		}
		text = text[n:]
	}
	return "", false
}
