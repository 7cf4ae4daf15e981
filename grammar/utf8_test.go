package grammar

import (
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/grammar/internal/charset"
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
		var set charset.Set
		for range rapid.IntRange(0, 4).Draw(t, "ranges") {
			a, b := r.Draw(t, "from"), r.Draw(t, "to")
			set = append(set, charset.Range{Lo: min(a, b), Hi: max(a, b)})
		}
		if set = set.Normalize(); rapid.Bool().Draw(t, "complement") {
			set = set.Complement()
		}
		c := newClass(set)
		if len(c) > 40 {
			t.Fatalf("%d nodes for %v: want few", len(c), set)
		}
		probes := append([]rune(nil), edges...)
		for _, r := range set {
			probes = append(probes, r.Lo-1, r.Lo, r.Hi, r.Hi+1)
		}
		probes = append(probes, r.Draw(t, "probe"))
		for _, p := range probes {
			if !utf8.ValidRune(p) {
				continue
			}
			want := false
			for _, r := range set {
				want = want || r.Lo <= p && p <= r.Hi
			}
			if got := c.matches([]byte(string(p))); got != want {
				t.Fatalf("%v matches %U: %t, want %t", set, p, got, want)
			}
		}
	})
}

func TestAClassMatchesNothingThatIsNoUTF8(t *testing.T) {
	all := newClass(charset.All())
	for _, b := range []string{"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE2\x82"} {
		if all.matches([]byte(b)) {
			t.Errorf("% x counts as a character", b)
		}
	}
}
