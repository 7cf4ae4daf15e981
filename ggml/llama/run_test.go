package llama

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestRunsAreCutBeforeTheyOverflowTheStack(t *testing.T) {
	none := func() [][]byte { return nil }
	for _, tc := range []struct {
		name, text string
		parts      int
	}{
		{"short", "word", 1},
		{"long with spaces", strings.Repeat("some words ", 2000), 1},
		{"as long as allowed", strings.Repeat("é", maxRun), 1},
		{"one longer", strings.Repeat("é", maxRun+1), 2},
		{"spaces", strings.Repeat(" ", 3*maxRun), 3},
		{"no-break spaces are no end", strings.Repeat("a\u00a0", maxRun), 2},
		{"nor among spaces", strings.Repeat(" \u00a0", maxRun), 2},
		{"bytes that are no text", strings.Repeat("\xff", 2*maxRun), 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			parts := cutRuns([]byte(tc.text), none)
			if len(parts) != tc.parts {
				t.Errorf("%d parts, want %d", len(parts), tc.parts)
			}
			if got := string(bytes.Join(parts, nil)); got != tc.text {
				t.Error("the parts together are not the text")
			}
			for i, p := range parts {
				if n := longestRun(string(p)); n > maxRun {
					t.Errorf("part %d has a run of %d code points, want at most %d", i, n, maxRun)
				}
			}
		})
	}
}

func longestRun(text string) int {
	longest := 0
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r < utf8.RuneSelf && unicode.IsSpace(r) }) {
		longest = max(longest, utf8.RuneCountInString(word))
	}
	return longest
}

func TestCutsGoBetweenLettersAndPunctuation(t *testing.T) {
	sentence := strings.Repeat("語", 99) + "。"
	parts := cutRuns([]byte(strings.Repeat(sentence, 100)), func() [][]byte { return nil })
	if len(parts) < 2 {
		t.Fatalf("%d parts, want several", len(parts))
	}
	for i, p := range parts[1:] {
		if !bytes.HasPrefix(p, []byte("。")) {
			t.Errorf("part %d starts with %q, want 。", i+1, string(p[:3]))
		}
	}
}

func TestCutsSpareSpecialTokens(t *testing.T) {
	const special = "<|im_end|>"
	for shift := range len(special) + 2 {
		text := strings.Repeat("a", maxRun-shift) + special + strings.Repeat("b", maxRun)
		found := 0
		for _, p := range cutRuns([]byte(text), func() [][]byte { return [][]byte{[]byte(special)} }) {
			found += bytes.Count(p, []byte(special))
		}
		if found != 1 {
			t.Errorf("shift %d: the special token is whole in %d parts, want 1", shift, found)
		}
	}
}
