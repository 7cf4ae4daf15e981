package jinja

import (
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind int

const (
	tokenEnd    tokenKind = iota
	tokenName             // text is the name
	tokenString           // text is the string, without quotes and escapes
	tokenNumber           // value is an int64, a *big.Int or a float64
	tokenSign             // text is the operator or bracket
)

type token struct {
	kind  tokenKind
	text  string
	value Value
	line  int
}

func (t token) is(sign string) bool   { return t.kind == tokenSign && t.text == sign }
func (t token) word(name string) bool { return t.kind == tokenName && t.text == name }

// describe is the token as an error names it.
func (t token) describe() string {
	switch t.kind {
	case tokenEnd:
		return "the end of the tag"
	case tokenString:
		return "a string"
	case tokenNumber:
		return "a number"
	default:
		return strconv.Quote(t.text)
	}
}

func syntaxAt(line int, format string, args ...any) {
	defer func() {
		e := recover().(*Error)
		e.Line = line
		panic(e)
	}()
	fail("TemplateSyntaxError", format, args...)
}

// signs has the longer ones first.
var signs = []string{
	"//", "**", "==", "!=", ">=", "<=",
	"+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";",
}

// tokenize splits the body of a tag. The last token is a tokenEnd.
func tokenize(s string, line int) []token {
	var tokens []token
	for at := 0; ; {
		rest := strings.TrimLeftFunc(s[at:], isSpace)
		line += strings.Count(s[at:len(s)-len(rest)], "\n")
		at = len(s) - len(rest)
		if rest == "" {
			return append(tokens, token{kind: tokenEnd, line: line})
		}
		t := token{line: line}
		n := 0
		r, _ := utf8.DecodeRuneInString(rest)
		afterDot := at > 0 && s[at-1] == '.'
		switch {
		case '0' <= r && r <= '9':
			t.kind = tokenNumber
			n, t.value = number(rest, afterDot, line)
		case r == '_' || unicode.IsLetter(r):
			n = strings.IndexFunc(rest, func(r rune) bool {
				return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.M, r)
			})
			if n < 0 {
				n = len(rest)
			}
			t.kind, t.text = tokenName, rest[:n]
			if !isASCII(t.text) {
				panic(&Error{Line: line, Text: "the name " + t.text + " is not supported: it has letters beyond ASCII", Err: ErrUnsupported})
			}
		case r == '\'' || r == '"':
			n = quoteEnd(rest, 0) + 1
			if n > len(rest) {
				syntaxAt(line, "a string is not closed")
			}
			t.kind, t.text = tokenString, unescape(rest[1:n-1], line)
		default:
			for _, sign := range signs {
				if strings.HasPrefix(rest, sign) {
					n, t.kind, t.text = len(sign), tokenSign, sign
					break
				}
			}
			if n == 0 {
				syntaxAt(line, "unexpected character %q", r)
			}
		}
		line += strings.Count(rest[:n], "\n")
		tokens = append(tokens, t)
		at += n
	}
}

// digits returns the length of a run of digits of s, which single underscores may part.
func digits(s string, isDigit func(byte) bool) int {
	n := 0
	for n < len(s) && (isDigit(s[n]) || n > 0 && s[n] == '_' && n+1 < len(s) && isDigit(s[n+1])) {
		n++
	}
	return n
}

func isDecimal(c byte) bool { return '0' <= c && c <= '9' }

// number takes the integer or float that s begins with, and returns its length and its value.
func number(s string, afterDot bool, line int) (int, Value) {
	whole := digits(s, isDecimal)
	if n := fraction(s, whole); n > whole && !afterDot {
		f, err := strconv.ParseFloat(strings.ReplaceAll(s[:n], "_", ""), 64)
		if err != nil && !isRange(err) {
			syntaxAt(line, "%s is not a number", s[:n])
		}
		return n, f
	}
	if len(s) > 2 && s[0] == '0' {
		for _, base := range []struct {
			mark  byte
			base  int
			digit func(byte) bool
		}{
			{'b', 2, func(c byte) bool { return c == '0' || c == '1' }},
			{'o', 8, func(c byte) bool { return '0' <= c && c <= '7' }},
			{'x', 16, func(c byte) bool { return isDecimal(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }},
		} {
			if s[1]|0x20 != base.mark {
				continue
			}
			body := strings.TrimPrefix(s[2:], "_")
			if n := digits(body, base.digit); n > 0 {
				i, _ := new(big.Int).SetString(strings.ReplaceAll(body[:n], "_", ""), base.base)
				return len(s) - len(body) + n, normal(i)
			}
		}
	}
	if s[0] == '0' { // Jinja knows no other number that begins with 0.
		whole = digits(s, func(c byte) bool { return c == '0' })
	}
	i, _ := new(big.Int).SetString(strings.ReplaceAll(s[:whole], "_", ""), 10)
	return whole, normal(i)
}

// fraction returns the length of the float that s begins with, whose first n bytes are digits, or n
// if there is none.
func fraction(s string, n int) int {
	end := n
	if end+1 < len(s) && s[end] == '.' && isDecimal(s[end+1]) {
		end += 1 + digits(s[end+1:], isDecimal)
	}
	if end < len(s) && s[end]|0x20 == 'e' {
		exponent := end + 1
		if exponent < len(s) && (s[exponent] == '+' || s[exponent] == '-') {
			exponent++
		}
		if k := digits(s[exponent:], isDecimal); k > 0 {
			return exponent + k
		}
	}
	return end
}

// unescape is what a quoted string stands for, by Python's rules.
func unescape(s string, line int) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case '\n':
		case '\\', '\'', '"':
			b.WriteByte(c)
		case 'a', 'b', 'f', 'n', 'r', 't', 'v':
			b.WriteByte("\a\b\f\n\r\t\v"[strings.IndexByte("abfnrtv", c)])
		case '0', '1', '2', '3', '4', '5', '6', '7':
			n := 1
			for n < 3 && i+n < len(s) && '0' <= s[i+n] && s[i+n] <= '7' {
				n++
			}
			code, _ := strconv.ParseInt(s[i:i+n], 8, 32)
			b.WriteRune(rune(code))
			i += n - 1
		case 'x', 'u', 'U':
			n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
			if i+n >= len(s) {
				syntaxAt(line, `the escape \%c needs %d digits`, c, n)
			}
			code, err := strconv.ParseUint(s[i+1:i+1+n], 16, 32)
			if err != nil || code > unicode.MaxRune {
				syntaxAt(line, `\%s is not an escape`, s[i:i+1+n])
			}
			if !utf8.ValidRune(rune(code)) {
				panic(&Error{Line: line, Text: "the escape \\" + s[i:i+1+n] + ", half of a surrogate pair, is not supported", Err: ErrUnsupported})
			}
			b.WriteRune(rune(code))
			i += n
		case 'N':
			panic(&Error{Line: line, Text: `the escape \N is not supported`, Err: ErrUnsupported})
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
	return b.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
