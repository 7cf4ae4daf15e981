package grammar

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// runes is a set of characters.
type runes []runeRange

// runeRange are the code points from lo to hi.
type runeRange struct{ lo, hi rune }

// merged returns the same characters in ranges that are in order and do not touch.
func (s runes) merged() runes {
	slices.SortFunc(s, func(a, b runeRange) int { return int(a.lo - b.lo) })
	var m runes
	for _, r := range s {
		if last := len(m) - 1; last >= 0 && r.lo <= m[last].hi+1 {
			m[last].hi = max(m[last].hi, r.hi)
		} else {
			m = append(m, r)
		}
	}
	return m
}

// complement returns all other code points. s is merged.
func (s runes) complement() runes {
	var others runes
	from := rune(0)
	for _, r := range s {
		if r.lo > from {
			others = append(others, runeRange{from, r.lo - 1})
		}
		from = r.hi + 1
	}
	if from <= utf8.MaxRune {
		others = append(others, runeRange{from, utf8.MaxRune})
	}
	return others
}

// intersect returns the characters that both have. Both are merged.
func (s runes) intersect(other runes) runes {
	var both runes
	for _, a := range s {
		for _, b := range other {
			if lo, hi := max(a.lo, b.lo), min(a.hi, b.hi); lo <= hi {
				both = append(both, runeRange{lo, hi})
			}
		}
	}
	return both
}

// writeSet returns s as a set of a grammar.
func writeSet(s runes) string {
	var b strings.Builder
	b.WriteByte('[')
	for _, r := range s {
		writeRune(&b, r.lo)
		if r.hi > r.lo {
			b.WriteByte('-')
			writeRune(&b, r.hi)
		}
	}
	b.WriteByte(']')
	return b.String()
}

func writeRune(b *strings.Builder, r rune) {
	switch {
	case r < utf8.RuneSelf && (isNameByte(byte(r)) && r != '-'):
		b.WriteRune(r)
	case r <= 0xFF:
		fmt.Fprintf(b, `\x%02X`, r)
	case r <= 0xFFFF:
		fmt.Fprintf(b, `\u%04X`, r)
	default:
		fmt.Fprintf(b, `\U%08X`, r)
	}
}
