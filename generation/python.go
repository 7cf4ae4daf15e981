package generation

import (
	"bytes"
	"encoding/json"
)

// Python writes numbers that JSON does not have as the words NaN, Infinity and -Infinity. The
// decoder of encoding/json refuses them, so that they are read as numbers that are too great for a
// float64. Python reads such numbers as infinite too.
var (
	pythonWords  = []string{"-Infinity", "Infinity", "NaN"}
	greatNumbers = []string{"-1e9999", "1e9999", nan}
)

const nan = "9e99999"

// fromPython returns JSON in which numbers stand for Python's words.
func fromPython(data []byte) []byte { return replaceWords(data, pythonWords, greatNumbers) }

// toPython undoes [fromPython].
func toPython(data []byte) []byte { return replaceWords(data, greatNumbers, pythonWords) }

// replaceWords replaces words in JSON text that are not in strings.
func replaceWords(data []byte, words, by []string) []byte {
	var out []byte
	inString := false
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case inString && c == '\\' && i+1 < len(data):
			out = append(out, c)
			i++
		case c == '"':
			inString = !inString
		case !inString && (i == 0 || !inWord(data[i-1])):
			if n := wordAt(data[i:], words); n >= 0 {
				out = append(out, by[n]...)
				i += len(words[n]) - 1
				continue
			}
		}
		out = append(out, data[i])
	}
	return out
}

// wordAt returns which of the words data begins with, or -1.
func wordAt(data []byte, words []string) int {
	for n, word := range words {
		if rest, ok := bytes.CutPrefix(data, []byte(word)); ok && (len(rest) == 0 || !inWord(rest[0])) {
			return n
		}
	}
	return -1
}

// inWord reports whether a byte outside of strings can be part of a word or a number.
func inWord(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '.' || c == '+' || c == '-' || c == '_' || c >= 0x80
}

// isInfinite reports whether a JSON value is Python's Infinity.
func isInfinite(value json.RawMessage) bool { return string(toPython(value)) == "Infinity" }

// hasNaN reports whether Python's NaN is in a JSON value.
func hasNaN(value json.RawMessage) bool {
	return !bytes.Equal(value, replaceWords(value, []string{nan}, []string{"NaN"}))
}
