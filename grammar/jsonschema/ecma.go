package jsonschema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/seed4d217819/ebb/grammar"
	"github.com/seed4d217819/ebb/grammar/internal/charset"
)

// node is a part of a regular expression of ECMA-262.
type node any

type (
	chars  charset.Set // one of these characters
	concat []node
	either []node
	group  struct{ node }
	times  struct { // node, min to max times
		node
		min, max int // max -1: no limit
	}
	atBegin struct{}
	atEnd   struct{}
)

// parseECMA reads a pattern as ECMA-262 does with the flag u, in which JSON Schema takes patterns:
// by code points, and with ASCII digits and word characters. Punctuation may be escaped though it
// need not be. Assertions other than ^ and $ and backreferences, which a grammar cannot express,
// and constructs of other languages are errors that name them.
func parseECMA(pattern string) (node, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("it has %d bytes: want at most %d", len(pattern), maxPattern)
	}
	p := &ecmaParser{text: pattern}
	n := p.alternatives()
	if p.err == nil && p.at < len(p.text) {
		p.fail("unexpected )")
	}
	return n, p.err
}

// maxPattern bounds the bytes of a pattern.
const maxPattern = 1 << 14

type ecmaParser struct {
	text   string
	at     int
	depth  int
	fold   bool // of the modifier i
	dotAll bool // of the modifier s
	err    error
}

func (p *ecmaParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
	p.at = len(p.text)
}

func (p *ecmaParser) next(s string) bool { return strings.HasPrefix(p.text[p.at:], s) }

func (p *ecmaParser) take(s string) bool {
	if !p.next(s) {
		return false
	}
	p.at += len(s)
	return true
}

func (p *ecmaParser) char() rune {
	r, n := utf8.DecodeRuneInString(p.text[p.at:])
	p.at += n
	return r
}

func (p *ecmaParser) alternatives() node {
	all := either{p.sequence()}
	for p.take("|") {
		all = append(all, p.sequence())
	}
	if len(all) == 1 {
		return all[0]
	}
	return all
}

func (p *ecmaParser) sequence() node {
	all := concat{}
	for p.at < len(p.text) && !p.next("|") && !p.next(")") {
		start := p.at
		all = append(all, p.quantified(p.term(), p.text[start:p.at]))
	}
	return all
}

// maxProduct bounds repetitions within each other.
const maxProduct = 1000

// quantified reads how often a part may come.
func (p *ecmaParser) quantified(n node, text string) node {
	var lo, hi int
	switch {
	case p.take("*"):
		lo, hi = 0, -1
	case p.take("+"):
		lo, hi = 1, -1
	case p.take("?"):
		lo, hi = 0, 1
	case p.take("{"):
		lo, hi = p.counts()
	default:
		return n
	}
	p.take("?") // a lazy quantifier matches the same texts
	switch n.(type) {
	case atBegin, atEnd:
		p.fail("nothing to repeat: %s matches no character", text)
	}
	for _, s := range []string{"*", "+", "?", "{"} {
		if p.next(s) {
			p.fail("%s after a quantifier: it has nothing to repeat", s)
		}
	}
	if product(n) > 1 && max(hi, lo)*product(n) > maxProduct {
		p.fail("invalid repeat count: repetitions within each other come to more than %d", maxProduct)
	}
	return times{n, lo, hi}
}

// product returns how often something within n may be repeated, by the numbers in braces.
func product(n node) int {
	most := 1
	switch n := n.(type) {
	case times:
		most = max(n.min, n.max, 1) * product(n.node)
	case group:
		most = product(n.node)
	case concat:
		for _, m := range n {
			most = max(most, product(m))
		}
	case either:
		for _, m := range n {
			most = max(most, product(m))
		}
	}
	return min(most, grammar.MaxRepeat)
}

// counts reads the numbers after an opening brace.
func (p *ecmaParser) counts() (lo, hi int) {
	end := strings.IndexByte(p.text[p.at:], '}')
	if end < 0 {
		p.fail(`{ does not begin a count: want {n}, {n,} or {n,m}, or \{ for the character`)
		return 1, 1
	}
	text := p.text[p.at : p.at+end]
	p.at += end + 1
	first, last, two := strings.Cut(text, ",")
	lo, okLo := number(first)
	hi, okHi := lo, okLo
	if two {
		if hi, okHi = number(last); last == "" {
			hi, okHi = -1, true
		}
	}
	switch {
	case !okLo || !okHi:
		p.fail(`{%.30s} is no count: want {n}, {n,} or {n,m} up to %d, or \{ for the character`, text, grammar.MaxRepeat)
		return 1, 1
	case hi >= 0 && hi < lo:
		p.fail("{%s} runs backwards", text)
		return 1, 1
	}
	return lo, hi
}

func number(text string) (int, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n <= grammar.MaxRepeat
}

// maxGroups bounds groups within each other.
const maxGroups = 200

// term reads one part without its quantifier.
func (p *ecmaParser) term() node {
	switch {
	case p.take("^"):
		return atBegin{}
	case p.take("$"):
		return atEnd{}
	case p.take("("):
		return p.group()
	case p.take("["):
		return p.class()
	case p.take("."):
		if p.dotAll {
			return chars(charset.All())
		}
		return chars(charset.Of('\n', '\n', '\r', '\r', 0x2028, 0x2029).Complement())
	case p.take(`\`):
		return p.set(p.escape(false))
	case p.next("*"), p.next("+"), p.next("?"):
		p.fail("%s has nothing to repeat", p.text[p.at:p.at+1])
		return nil
	case p.take("{"):
		p.fail(`{ does not follow what it could repeat: want \{ for the character`)
		return nil
	}
	r := p.char()
	return p.set(charset.Of(r, r))
}

// set returns a set, with the other cases of its letters where case does not count.
func (p *ecmaParser) set(s charset.Set) node {
	if p.fold {
		s = folded(s)
	}
	return chars(s.Normalize())
}

// orbits are the sets of characters that differ in case alone; the last of a set stands for it.
var orbits = sync.OnceValue(func() (all [][]rune) {
	for r := range rune(unicode.MaxRune) {
		var orbit []rune
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			orbit = append(orbit, f)
		}
		if orbit != nil {
			all = append(all, append(orbit, r))
		}
	}
	return all
})

// folded adds the other cases of letters.
func folded(s charset.Set) charset.Set {
	s = slices.Clone(s).Normalize()
	all := slices.Clone(s)
	if len(s) == 1 && s[0].Lo == s[0].Hi {
		for f := unicode.SimpleFold(s[0].Lo); f != s[0].Lo; f = unicode.SimpleFold(f) {
			all = append(all, charset.Range{Lo: f, Hi: f})
		}
		return all
	}
	for _, orbit := range orbits() {
		if s.Contains(orbit[len(orbit)-1]) {
			for _, r := range orbit[:len(orbit)-1] {
				all = append(all, charset.Range{Lo: r, Hi: r})
			}
		}
	}
	return all
}

// group reads the rest of a group after its opening parenthesis.
func (p *ecmaParser) group() node {
	if p.depth++; p.depth > maxGroups {
		p.fail("more than %d groups within each other", maxGroups)
		return nil
	}
	fold, dotAll := p.fold, p.dotAll
	for start, what := range map[string]string{
		"?=": "a lookahead", "?!": "a negative lookahead", "?<=": "a lookbehind", "?<!": "a negative lookbehind",
	} {
		if p.next(start) {
			p.fail("(%s…) is not supported: %s cannot be written as a grammar", start, what)
		}
	}
	switch {
	case p.take("?:"):
	case p.take("?<"):
		end := strings.IndexByte(p.text[p.at:], '>')
		if end < 1 {
			p.fail("(?< is not followed by a name and >")
			return nil
		}
		p.at += end + 1
	case p.next("?P"):
		p.fail("(?P<name>…) is not ECMA-262: want (?<name>…)")
	case p.take("?"):
		p.modifiers()
	}
	n := p.alternatives()
	if p.err == nil && !p.take(")") {
		p.fail("missing closing )")
	}
	p.fold, p.dotAll = fold, dotAll
	p.depth--
	return group{n}
}

// modifiers reads the modifiers of a group, as in (?i-s:…).
func (p *ecmaParser) modifiers() {
	end := strings.IndexAny(p.text[p.at:], ":)")
	if end < 0 || p.text[p.at+end] == ')' {
		p.fail("(?%.10s is not ECMA-262: want flags for a group, as in (?i:…)", p.text[p.at:])
		return
	}
	flags := p.text[p.at : p.at+end]
	p.at += end + 1
	on := true
	for _, f := range flags {
		switch f {
		case 'i':
			p.fold = on
		case 's':
			p.dotAll = on
		case '-':
			on = false
		default:
			p.fail("the flag %c in (?%.20s:…) is not supported: want i or s", f, flags)
		}
	}
}

// class reads the rest of a character class after its opening bracket.
func (p *ecmaParser) class() node {
	not := p.take("^")
	var set charset.Set
	for !p.take("]") {
		if p.at >= len(p.text) {
			p.fail("missing closing ]")
			return nil
		}
		lo, single := p.classAtom()
		if !single || !p.next("-") || p.next("-]") {
			set = append(set, lo...)
			continue
		}
		p.at++
		hi, single := p.classAtom()
		switch {
		case p.err != nil:
			return nil
		case !single:
			set = append(append(set, charset.Range{Lo: '-', Hi: '-'}), append(lo, hi...)...)
		case hi[0].Lo < lo[0].Lo:
			p.fail("the range %c-%c in a class runs backwards", lo[0].Lo, hi[0].Lo)
			return nil
		default:
			set = append(set, charset.Range{Lo: lo[0].Lo, Hi: hi[0].Lo})
		}
	}
	if p.fold {
		set = folded(set)
	}
	if set = set.Normalize(); not {
		set = set.Complement()
	}
	if len(set) == 0 {
		p.fail("a class contains no character")
	}
	return chars(set)
}

// classAtom reads a character, or a class by its escape, and returns whether it was the former.
func (p *ecmaParser) classAtom() (set charset.Set, single bool) {
	if !p.take(`\`) {
		r := p.char()
		return charset.Of(r, r), true
	}
	letter := p.text[p.at:min(p.at+1, len(p.text))]
	set = p.escape(true)
	return set, len(set) == 1 && set[0].Lo == set[0].Hi && letter != "p" && letter != "P"
}

// Classes of ECMA-262.
var (
	digitChars = charset.Of('0', '9')
	wordChars  = charset.Of('0', '9', 'A', 'Z', '_', '_', 'a', 'z')
	spaceChars = charset.Of('\t', '\r', ' ', ' ', 0xA0, 0xA0, 0x1680, 0x1680, 0x2000, 0x200A, 0x2028, 0x2029,
		0x202F, 0x202F, 0x205F, 0x205F, 0x3000, 0x3000, 0xFEFF, 0xFEFF)
)

// escape reads the rest of an escape after its backslash.
func (p *ecmaParser) escape(inClass bool) charset.Set {
	if p.at >= len(p.text) {
		p.fail(`\ at the end`)
		return nil
	}
	one := func(r rune) charset.Set { return charset.Of(r, r) }
	c := p.char()
	switch c {
	case 'd':
		return digitChars
	case 'D':
		return digitChars.Complement()
	case 'w':
		return p.word()
	case 'W':
		return p.word().Complement()
	case 's':
		return spaceChars
	case 'S':
		return spaceChars.Complement()
	case 'p', 'P':
		return p.property(c == 'P')
	case 'f':
		return one('\f')
	case 'n':
		return one('\n')
	case 'r':
		return one('\r')
	case 't':
		return one('\t')
	case 'v':
		return one('\v')
	case 'c':
		if p.at < len(p.text) {
			if l := p.text[p.at] | 0x20; 'a' <= l && l <= 'z' {
				p.at++
				return one(rune(l) & 0x1F)
			}
		}
	case 'x':
		return one(p.hex(2))
	case 'u':
		return one(p.unicode())
	case 'b':
		if inClass {
			return one('\b')
		}
		p.fail(`\b is not supported: a word boundary cannot be written as a grammar`)
		return nil
	case 'B':
		p.fail(`\B is not supported: a word boundary cannot be written as a grammar`)
		return nil
	case '0':
		if p.at >= len(p.text) || p.text[p.at] < '0' || p.text[p.at] > '9' {
			return one(0)
		}
	case 'k', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		p.fail(`\%c is not supported: a backreference cannot be written as a grammar`, c)
		return nil
	}
	if c > unicode.MaxASCII || c < ' ' || unicode.IsLetter(c) || unicode.IsDigit(c) {
		p.fail(`\%c is not ECMA-262`, c)
		return nil
	}
	return one(c) // punctuation
}

// word returns the characters of \w; where case does not count, those with the same letters too.
func (p *ecmaParser) word() charset.Set {
	if p.fold {
		return folded(wordChars).Normalize()
	}
	return wordChars
}

// hex reads a code point of so many digits.
func (p *ecmaParser) hex(digits int) rune {
	end := min(p.at+digits, len(p.text))
	n, err := strconv.ParseUint(p.text[p.at:end], 16, 32)
	if err != nil || end-p.at < digits {
		p.fail(`\%.6s has no %d hexadecimal digits`, p.text[p.at-1:end], digits)
		return 0
	}
	p.at = end
	return rune(n)
}

// unicode reads the rest of an escape after \u: four digits, two surrogates of them, or a code
// point in braces.
func (p *ecmaParser) unicode() rune {
	var r rune
	if p.take("{") {
		end := max(strings.IndexByte(p.text[p.at:], '}'), 0)
		n, err := strconv.ParseUint(p.text[p.at:p.at+end], 16, 32)
		if err != nil || n > utf8.MaxRune {
			p.fail(`\u{%.10s is no code point`, p.text[p.at:])
			return 0
		}
		p.at += end + 1
		r = rune(n)
	} else if r = p.hex(4); 0xD800 <= r && r < 0xDC00 && p.take(`\u`) {
		if low := p.hex(4); 0xDC00 <= low && low < 0xE000 {
			return (r-0xD800)<<10 + (low - 0xDC00) + 0x10000
		}
	}
	if p.err == nil && !utf8.ValidRune(r) {
		p.fail(`\u%04X is half of a surrogate pair, which no text has`, r)
	}
	return r
}

// property reads the rest of an escape after \p: a general category or a script in braces.
func (p *ecmaParser) property(not bool) charset.Set {
	end := strings.IndexByte(p.text[p.at:], '}')
	if !p.next("{") || end < 0 {
		p.fail(`\p is not followed by a property in braces, as in \p{L}`)
		return nil
	}
	name := p.text[p.at+1 : p.at+end]
	p.at += end + 1
	table := unicode.Categories[name]
	if key, value, ok := strings.Cut(name, "="); ok {
		switch key {
		case "Script", "sc":
			table = unicode.Scripts[value]
		case "General_Category", "gc":
			table = unicode.Categories[value]
		}
	}
	if table == nil {
		p.fail(`\p{%.50s} is not supported: want a general category as in \p{L}, or a script as in \p{Script=Greek}`, name)
		return nil
	}
	var set charset.Set
	add := func(lo, hi, stride rune) {
		if stride == 1 {
			set = append(set, charset.Range{Lo: lo, Hi: hi})
			return
		}
		for r := lo; r <= hi; r += stride {
			set = append(set, charset.Range{Lo: r, Hi: r})
		}
	}
	for _, r := range table.R16 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	for _, r := range table.R32 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	if set = set.Normalize(); not {
		set = set.Complement()
	}
	return set
}
