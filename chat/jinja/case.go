package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

func every(s string, is func(rune) bool) bool {
	for _, r := range s {
		if !is(r) {
			return false
		}
	}
	return s != ""
}

func isDigit(r rune) bool {
	if r > unicode.MaxASCII && unicode.Is(unicode.No, r) {
		unsupported("isdigit of %q", r)
	}
	return unicode.IsDigit(r)
}

func isNumeric(r rune) bool {
	if r > unicode.MaxASCII && unicode.IsLetter(r) && unicode.Is(unicode.Han, r) {
		unsupported("isnumeric of %q", r)
	}
	return unicode.IsNumber(r)
}

// cased reports whether s has letters of the one case and none of the other or of title case.
func cased(s string, is, other func(rune) bool) bool {
	found := false
	for _, r := range s {
		if other(r) || unicode.IsTitle(r) {
			return false
		}
		found = found || is(r)
	}
	return found
}

func istitle(s string) bool {
	inWord, found := false, false
	for _, r := range s {
		switch {
		case unicode.IsUpper(r) || unicode.IsTitle(r):
			if inWord {
				return false
			}
			inWord, found = true, true
		case unicode.IsLower(r):
			if !inWord {
				return false
			}
			found = true
		default:
			inWord = false
		}
	}
	return found
}

// checkUpper refuses letters that Python changes to several upper-case letters, and Go does not.
func checkUpper(s string) {
	if isASCII(s) {
		return
	}
	for _, r := range s {
		switch {
		case r == 'ŉ', r == 'ǰ', r == 'ΐ', r == 'ΰ', r == 'և', 0x1e96 <= r && r <= 0x1e9a,
			0x1f50 <= r && r <= 0x1f56, 0x1f80 <= r && r <= 0x1ffc, 0xfb00 <= r && r <= 0xfb17:
			unsupported("changing the case of %q", r)
		}
	}
}

// checkTitle refuses letters whose title case may differ too.
func checkTitle(s string) {
	checkUpper(s)
	if strings.ContainsFunc(s, func(r rune) bool {
		return r == 'ß' || 0x1c4 <= r && r <= 0x1cc || 0x1f1 <= r && r <= 0x1f3 || 0x10d0 <= r && r <= 0x10ff || 0x1c90 <= r && r <= 0x1cbf
	}) {
		unsupported("changing the case of %q", s)
	}
	checkLower(s)
}

// checkLower refuses the letters that Python changes to several, or by their place in the word.
func checkLower(s string) {
	if strings.ContainsAny(s, "İΣ") {
		unsupported("changing the case of %q", s)
	}
}

func upper(s string) string {
	checkUpper(s)
	return strings.ReplaceAll(strings.ToUpper(s), "ß", "SS")
}

func lower(s string) string {
	checkLower(s)
	return strings.ToLower(s)
}

func casefold(s string) string {
	if !isASCII(s) {
		unsupported("casefold of letters beyond ASCII")
	}
	return strings.ToLower(s)
}

func swapcase(s string) string {
	checkTitle(s)
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, s)
}

func capitalize(s string) string {
	checkTitle(s)
	_, n := utf8.DecodeRuneInString(s)
	return strings.ToTitle(s[:n]) + strings.ToLower(s[n:])
}

// title is the method of Python's strings, which is not the filter of that name.
func title(s string) string {
	checkTitle(s)
	inWord := false
	return strings.Map(func(r rune) rune {
		is := unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r)
		defer func() { inWord = is }()
		if inWord {
			return unicode.ToLower(r)
		}
		return unicode.ToTitle(r)
	}, s)
}
