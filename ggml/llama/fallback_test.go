package llama

import (
	"slices"
	"testing"
)

func TestFallbackFindsTheCharacterThatCannotBeSpelt(t *testing.T) {
	f := newFallback(slices.Values([]string{"<unk>", "a", "é", "\u2581", "\u2581the", "<0x0A>", "<0xE2>", "<0x82>", "<0xAC>", "<0xzz>"}))
	for _, tc := range []struct{ text, want string }{
		{"", ""},
		{"a é\na", ""},
		{"€", ""}, // in three byte tokens
		{"ab", "b"},
		{"aè", "è"},
		{"a\xED\xA0\x80", "\xED"},
	} {
		got, found := f.missing(tc.text)
		if got != tc.want || found != (tc.want != "") {
			t.Errorf("missing(%q) = %q, %t; want %q", tc.text, got, found, tc.want)
		}
	}
	var none *fallback
	if got, found := none.missing("\x00"); found {
		t.Errorf("a vocabulary without fallback misses %q", got)
	}
}
