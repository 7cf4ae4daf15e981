// Package charset computes with sets of characters, as grammars and regular expressions have them.
package charset

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Set is a set of characters. Most operations want it normalized: see [Set.Normalize].
type Set []Range

// Range are the code points from Lo to Hi, both included.
type Range struct{ Lo, Hi rune }

// All returns the set of all code points.
func All() Set { return Set{{0, utf8.MaxRune}} }

// Of returns the set of ranges that are given by their bounds, lowest and highest character in
// turn.
func Of(bounds ...rune) Set {
	s := make(Set, len(bounds)/2)
	for i := range s {
		s[i] = Range{bounds[2*i], bounds[2*i+1]}
	}
	return s
}

// Normalize returns the same characters in ranges that are in order and do not touch. It reorders
// s.
func (s Set) Normalize() Set {
	slices.SortFunc(s, func(a, b Range) int { return int(a.Lo - b.Lo) })
	var m Set
	for _, r := range s {
		if last := len(m) - 1; last >= 0 && r.Lo <= m[last].Hi+1 {
			m[last].Hi = max(m[last].Hi, r.Hi)
		} else {
			m = append(m, r)
		}
	}
	return m
}

// Complement returns all other code points. s is normalized.
func (s Set) Complement() Set {
	var others Set
	from := rune(0)
	for _, r := range s {
		if r.Lo > from {
			others = append(others, Range{from, r.Lo - 1})
		}
		from = r.Hi + 1
	}
	if from <= utf8.MaxRune {
		others = append(others, Range{from, utf8.MaxRune})
	}
	return others
}

// Intersect returns the characters that both sets have. Both are normalized.
func (s Set) Intersect(other Set) Set {
	var both Set
	for _, a := range s {
		for _, b := range other {
			if lo, hi := max(a.Lo, b.Lo), min(a.Hi, b.Hi); lo <= hi {
				both = append(both, Range{lo, hi})
			}
		}
	}
	return both
}

// Contains reports whether the set has a character. s is normalized.
func (s Set) Contains(r rune) bool {
	_, found := slices.BinarySearchFunc(s, r, func(in Range, r rune) int {
		switch {
		case in.Hi < r:
			return -1
		case in.Lo > r:
			return 1
		}
		return 0
	})
	return found
}

// GBNF returns s as a set of a grammar, as in [a-z\x20].
func (s Set) GBNF() string {
	var b strings.Builder
	b.WriteByte('[')
	for _, r := range s {
		write(&b, r.Lo)
		if r.Hi > r.Lo {
			b.WriteByte('-')
			write(&b, r.Hi)
		}
	}
	b.WriteByte(']')
	return b.String()
}

func write(b *strings.Builder, r rune) {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		b.WriteRune(r)
	case r <= 0xFF:
		fmt.Fprintf(b, `\x%02X`, r)
	case r <= 0xFFFF:
		fmt.Fprintf(b, `\u%04X`, r)
	default:
		fmt.Fprintf(b, `\U%08X`, r)
	}
}
