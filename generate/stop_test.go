package generate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/generate"
)

func TestACutterEndsATextBeforeItsFirstStopString(t *testing.T) {
	for _, tt := range []struct {
		name   string
		stops  []string
		pieces []string
		want   []string // what comes with each piece
		rest   string
		ended  bool
	}{
		{"none", nil, []string{"a", "", "b"}, []string{"a", "", "b"}, "", false},
		{"in one piece", []string{"stop"}, []string{"a ", "b stop c"}, []string{"a ", "b "}, "", true},
		{"across pieces", []string{"stop"}, []string{"las", "t", "op", "x"}, []string{"la", "", "", ""}, "", true},
		{"not after all", []string{"stop"}, []string{"s", "to", "re"}, []string{"", "", "store"}, "", false},
		{"at the end, perhaps", []string{"stop"}, []string{"a st"}, []string{"a "}, "st", false},
		{"the one complete first", []string{"xyz", "y"}, []string{"ax", "yz"}, []string{"a", "x"}, "", true},
		{"the longer of two complete together", []string{"z", "yz"}, []string{"ax", "yz"}, []string{"ax", ""}, "", true},
		{"one that begins in another", []string{"aab"}, []string{"aaa", "b"}, []string{"a", ""}, "", true},
		{"nothing behind it", []string{"b"}, []string{"abc", "d"}, []string{"a", ""}, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := generate.NewCutter(tt.stops)
			var got []string
			ended := false
			for _, piece := range tt.pieces {
				var text string
				text, ended = c.Next(piece)
				got = append(got, text)
			}
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("text (-got +want):\n%s", diff)
			}
			if rest := c.Flush(); rest != tt.rest || ended != tt.ended {
				t.Errorf("%q is left, ended %v; want %q, %v", rest, ended, tt.rest, tt.ended)
			}
		})
	}
}

func TestACutterDoesNotCareHowATextIsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.StringMatching(`[abc]{1,4}`)
		stops := rapid.SliceOfN(letters, 0, 3).Draw(t, "stop strings")
		pieces := rapid.SliceOf(rapid.StringMatching(`[abc]{0,5}`)).Draw(t, "pieces")
		text := strings.Join(pieces, "")
		want, ends := text, false
		for end := 1; end <= len(text) && !ends; end++ {
			for _, stop := range stops {
				if before, found := strings.CutSuffix(text[:end], stop); found {
					ends = true
					want = want[:min(len(want), len(before))]
				}
			}
		}
		c := generate.NewCutter(stops)
		got, ended := "", false
		for _, piece := range pieces {
			var next string
			next, ended = c.Next(piece)
			got += next
		}
		got += c.Flush()
		if got != want || ended != ends {
			t.Errorf("%q, ended %v; want %q, %v", got, ended, want, ends)
		}
	})
}

// Of the beams, one that completes a stop string has ended, as one with an end token has.
func TestAStopStringEndsABeam(t *testing.T) {
	m := &model{vocab: 8, rows: [][]float32{
		{0, 5, 4, 0, 0, 0, 0, 0}, // "b" or "c"
		{0, 0, 0, 9, 0, 0, 0, 0}, // then "d"
		{0, 0, 0, 0, 9, 0, 0, 0},
		{0, 0, 0, 0, 9, 0, 0, 0},
	}}
	letter := func(id int32) string { return string('a' + id) }
	found := texts(t, m, []int32{0}, generate.Config{MaxNewTokens: 4, Beams: 2, Texts: 2, Stop: []string{"cd"}, Piece: letter, LengthPenalty: 1})
	got := map[string]generate.Finish{}
	for _, text := range found {
		word := ""
		for _, id := range text.IDs() {
			word += letter(id)
		}
		got[word] = text.Finish
	}
	if diff := cmp.Diff(got, map[string]generate.Finish{"cd": generate.StopString, "bdee": generate.LengthLimit}); diff != "" {
		t.Errorf("texts (-got +want):\n%s", diff)
	}
}

func TestFinishesHaveNames(t *testing.T) {
	m := &model{vocab: 8, rows: [][]float32{row(3), row(4)}}
	for want, c := range map[string]generate.Config{
		"length": {MaxNewTokens: 1}, "end token": {EOS: []int32{3}},
		"stop string": {Stop: []string{"x"}, Piece: func(int32) string { return "x" }},
	} {
		m.calls = 0
		if got := texts(t, m, []int32{1}, c)[0].Finish.String(); got != want {
			t.Errorf("finish %q, want %q", got, want)
		}
	}
	if got := generate.Finish(99).String(); got != "Finish(99)" {
		t.Errorf("an unknown finish is %q", got)
	}
}
