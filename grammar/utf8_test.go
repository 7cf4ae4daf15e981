package grammar

import (
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// matches reports whether b is the UTF-8 of one character of c.
func (c class) matches(b []byte) bool {
	node := 0
	for i, x := range b {
		next, ok := c.next(node, x)
		if !ok {
			return false
		}
		if next == done {
			return i == len(b)-1
		}
		node = next
	}
	return false
}

func TestAClassMatchesTheBytesOfItsCharacters(t *testing.T) {
	edges := []rune{0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xD800, 0xDFFF, 0xE000, 0xFFFF, 0x10000, 0xFFFFF, 0x100000, utf8.MaxRune}
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.OneOf(rapid.SampledFrom(edges), rapid.Int32Range(0, utf8.MaxRune))
		var set runes
		for range rapid.IntRange(0, 4).Draw(t, "ranges") {
			a, b := r.Draw(t, "from"), r.Draw(t, "to")
			set = append(set, runeRange{min(a, b), max(a, b)})
		}
		if set = set.merged(); rapid.Bool().Draw(t, "complement") {
			set = set.complement()
		}
		c := newClass(set)
		if len(c) > 40 {
			t.Fatalf("%d nodes for %v: want few", len(c), set)
		}
		probes := append([]rune(nil), edges...)
		for _, r := range set {
			probes = append(probes, r.lo-1, r.lo, r.hi, r.hi+1)
		}
		probes = append(probes, r.Draw(t, "probe"))
		for _, p := range probes {
			if !utf8.ValidRune(p) {
				continue
			}
			want := false
			for _, r := range set {
				want = want || r.lo <= p && p <= r.hi
			}
			if got := c.matches([]byte(string(p))); got != want {
				t.Fatalf("%v matches %U: %t, want %t", set, p, got, want)
			}
		}
	})
}

func TestAClassMatchesNothingThatIsNoUTF8(t *testing.T) {
	all := newClass(runes{{0, utf8.MaxRune}})
	for _, b := range []string{"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE2\x82"} {
		if all.matches([]byte(b)) {
			t.Errorf("% x counts as a character", b)
		}
	}
}
