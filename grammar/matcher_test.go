package grammar

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/grammar/internal/grammartest"
)

type words = grammartest.Words

// letters has all bytes as tokens from 1 on.
func letters(more ...string) words { return grammartest.Letters(more...) }

func mustGrammar(t testing.TB, v Vocab, gbnf string) *Grammar {
	t.Helper()
	g, err := New(v, gbnf)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// matches reports whether text follows the grammar.
func (g *Grammar) matches(text string) bool {
	m := g.matcher
	m.restart()
	s := m.start
	for i := range len(text) {
		s = m.step(s, text[i])
	}
	return s.ends
}

func TestAGrammarMatchesItsTexts(t *testing.T) {
	for _, tc := range []struct {
		gbnf    string
		yes, no []string
	}{
		{`root ::= "a" | "bc"`, []string{"a", "bc"}, []string{"", "b", "abc", "aa"}},
		{`root ::= "a"*`, []string{"", "a", "aaaa"}, []string{"b", "ab"}},
		{`root ::= "ab"+`, []string{"ab", "abab"}, []string{"", "aba"}},
		{`root ::= "a"?"b"`, []string{"b", "ab"}, []string{"a", "aab"}},
		{`root ::= "a"{2}`, []string{"aa"}, []string{"a", "aaa"}},
		{`root ::= "a"{2,}`, []string{"aa", "aaaaa"}, []string{"a"}},
		{`root ::= "a"{0,2} "b"{1,3}`, []string{"b", "aabbb", "abb"}, []string{"aaab", "aa", "abbbb"}},
		{`root ::= "a"{0} "b"`, []string{"b"}, []string{"ab", ""}},
		{`root ::= ("a" "b"?){2}`, []string{"aa", "aba", "abab"}, []string{"a", "abb"}},
		{`root ::= ("a" | "b" ("c" | "d")*)+`, []string{"a", "bcda", "abb"}, []string{"", "ca"}},
		{`root ::= ("a"*)* "b"`, []string{"b", "aab"}, []string{"a"}},
		{`root ::= ("a"?){0,3}`, []string{"", "aaa"}, []string{"aaaa"}},
		{`root ::= "a"**`, []string{"", "aa"}, []string{"b"}},
		{`root ::= [a-cx] [^a-c\]]`, []string{"ax", "xy", "cé"}, []string{"a]", "ab", "dx"}},
		{`root ::= [-a] [a-]`, []string{"--", "aa"}, []string{"b-"}},
		{`root ::= [^-] .`, []string{"a\n", "语é", "\x00\U0010FFFF"}, []string{"-a", "a", "a\xff", "\xe8\xaf"}},
		{`root ::= [é-ü€\U0001F600-\U0001F64F]`, []string{"é", "ü", "€", "😀"}, []string{"è", "ý", "e", "🙐"}},
		{`root ::= "\x41\u00e9\U0001F600\t\r\n\\\"\[\]\-"`, []string{"Aé😀\t\r\n\\\"[]-"}, nil},
		{"root ::= a # one\n   # two\na ::= \"x\" # three\n\n", []string{"x"}, nil},
		{"root ::=\n \"a\" |\n \"b\" (\n\"c\"\n|\n\"d\" )\r\nb ::= \"e\"", []string{"a", "bc", "bd"}, []string{"e"}},
		{"root ::= |", []string{""}, []string{"a"}},
		{`root ::= ""`, []string{""}, []string{"a"}},
		{`root ::= "" "a"`, []string{"a"}, []string{""}},
		{`root ::= "("root")"|"x"`, []string{"x", "((x))"}, []string{"(x", "x)"}},
		{"root ::= e (\"+\" e)*\ne ::= \"n\" | \"(\" root \")\"", []string{"n", "n+(n+n)+n"}, []string{"n+", "(n"}},
		// Ambiguous, and with rules that match nothing in between.
		{"root ::= a a\na ::= b | b b\nb ::= | \"x\"", []string{"", "x", "xxxx"}, []string{"xxxxx"}},
		{"root ::= s\ns ::= \"a\" s s | ", []string{"", "aaaa"}, []string{"b"}},
	} {
		g := mustGrammar(t, letters(), tc.gbnf)
		for _, text := range tc.yes {
			if !g.matches(text) {
				t.Errorf("%s does not match %q", tc.gbnf, text)
			}
		}
		for _, text := range tc.no {
			if g.matches(text) {
				t.Errorf("%s matches %q", tc.gbnf, text)
			}
		}
	}
}

func TestAGrammarThatCannotBeReadSaysWhere(t *testing.T) {
	for gbnf, want := range map[string]string{
		"":                                     "there is no rule root",
		`a ::= "x"`:                            "there is no rule root",
		`root ::= "a`:                          `line 1, column 10: a text that begins with " does not end`,
		"root ::= \"a\"\nx = b":                `line 2, column 3: want "::=", found '='`,
		`root ::= [a`:                          "line 1, column 10: a set that begins with [ does not end",
		`root ::= [a-`:                         "line 1, column 10: a set that begins with [ does not end",
		`root ::= [z-a]`:                       "the range from 'z' to 'a' runs backwards",
		`root ::= []`:                          "the set contains no character",
		`root ::= [^\x00-\U0010FFFF]`:          "the set contains no character",
		`root ::= ("a"`:                        `want ")", found the end`,
		`root ::= "a")`:                        `want an expression or the end of the line, found ')'`,
		`root ::= *`:                           "found '*'",
		`root ::= "a"{`:                        "want a number, found the end",
		`root ::= "a"{2,1}`:                    "at least 2 times, and at most 1",
		`root ::= "a"{1 2}`:                    `want "}"`,
		`root ::= "a"{100001}`:                 "100001 times: want at most 100000",
		`root ::= "a"{9999999999999999999999}`: "want at most 100000",
		`root ::= "\q"`:                        `\ is followed by 'q'`,
		`root ::= "\x4"`:                       `want 2 hexadecimal digits after \x`,
		`root ::= "\U00110000"`:                `\U00110000 is no code point`,
		`root ::= "\ud800"`:                    `\ud800 is no character`,
		`root ::= "\`:                          `\ at the end`,
		"root ::= \"\xff\"":                    "not valid UTF-8",
		"root ::= é":                           "found 'é'",
		"root ::= \"a\"\nroot ::= \"b\"":       "rule root is defined twice, in lines 1 and 2",
		"root ::= a b\nc ::= d a":              "there is no rule a\nline 1, rule root: there is no rule b\nline 2, rule c: there is no rule d",
		`root ::= <nix>`:                       "the vocabulary has no token <nix>",
		`root ::= <nix`:                        "a token that begins with < does not end with >",
		`root ::= <[x]>`:                       "want a token id",
		`root ::= ''`:                          "is empty or does not end",
		"root ::= '<a\n>'":                     "is empty or does not end",
		`root ::= '<a>`:                        "is empty or does not end",
		`root ::= "a" root`:                    "no text follows the grammar",
		`root ::= root`:                        "no text follows the grammar",
		`root ::= root "a" | "b"`:              "rule root begins with itself",
		"root ::= a\na ::= b \"x\" | \"y\"\nb ::= a":                                      "begins with itself",
		"root ::= a\na ::= c a \"z\" | \"x\"\nc ::= b b\nb ::= | \"y\"":                   "rule a begins with itself",
		`root ::= ` + strings.Repeat("(", 501):                                            "more than 500 parentheses",
		strings.Repeat("#", MaxText+1):                                                    "want at most 4194304",
		`root ::= ((("a"{9}){90000}){90000} "b"){20}` + strings.Repeat(` "a"{90000}`, 12): "the grammar has more than 1048576 parts",
	} {
		_, err := New(letters(), gbnf)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "grammar: ") {
			t.Errorf("%.60q: error %v, want one that says %q", gbnf, err, want)
		}
	}
}

func TestACheckNeedsNoVocabulary(t *testing.T) {
	if err := Check(`root ::= <a> !<b> '<c>' <[7]>`); err != nil {
		t.Error(err)
	}
	if err := Check(`root ::= <a> b`); err == nil || !strings.Contains(err.Error(), "there is no rule b") {
		t.Errorf("error %v, want one that says that there is no rule b", err)
	}
}

// allowedAfter returns the texts of the tokens that may come after ids.
func allowedAfter(t testing.TB, p *Processor, w words, ids []int32) []string {
	t.Helper()
	scores := make([]float32, len(w))
	if err := p.Process(ids, scores); err != nil {
		t.Fatal(err)
	}
	var allowed []string
	for id, x := range scores {
		if x > negInf {
			allowed = append(allowed, w[id])
		}
	}
	return allowed
}

func TestOnlyTokensThatCanBeContinuedAreAllowed(t *testing.T) {
	w := words{"<end>", "a", "b", "ab", "aa", "ba", "é", "\xc3", "\xa9", "\xc3\xa9b", "<think>", "x", "<a>"}
	for _, tc := range []struct {
		gbnf string
		ids  []int32
		want []string
	}{
		{`root ::= "a"+ "b"{1,2}`, nil, []string{"a", "ab", "aa"}},
		{`root ::= "a"+ "b"{1,2}`, []int32{3}, []string{"<end>", "b"}},
		{`root ::= "a"+ "b"{1,2}`, []int32{3, 2}, []string{"<end>"}},
		{`root ::= "é" "b"?`, nil, []string{"é", "\xc3", "\xc3\xa9b"}},
		{`root ::= "é" "b"?`, []int32{7}, []string{"\xa9"}},
		{`root ::= "é" "b"?`, []int32{7, 8}, []string{"<end>", "b"}},
		{`root ::= [^a]`, nil, []string{"b", "é", "\xc3", "x"}},
		{`root ::= .*`, nil, []string{"<end>", "a", "b", "ab", "aa", "ba", "é", "\xc3", "\xc3\xa9b", "x"}},
		{`root ::= <think> "a" | "x"`, nil, []string{"<think>", "x"}},
		{`root ::= <think> "a" | "x"`, []int32{10}, []string{"a"}},
		{`root ::= <[3]> <[0]>`, nil, []string{"ab"}},
		{`root ::= !<[3]>`, nil, []string{"<end>", "a", "b", "aa", "ba", "é", "\xc3", "\xa9", "\xc3\xa9b", "<think>", "x", "<a>"}[1:]},
		{`root ::= (<[3]> | "ab") "a"?`, []int32{3}, []string{"<end>", "a"}},
		{`root ::= '<think>' "a"`, nil, []string{"<think>"}},
		{`root ::= '<think>'? "a"`, []int32{10}, []string{"a"}},
		{`root ::= 'ab'`, nil, []string{"a", "ab"}}, // is text
		{`root ::= 'ab'+`, []int32{1}, []string{"b", "ba"}},
	} {
		g := mustGrammar(t, w, tc.gbnf)
		if diff := cmp.Diff(allowedAfter(t, g.Processor(0, nil), w, tc.ids), tc.want); diff != "" {
			t.Errorf("%s after %v (-got +want):\n%s", tc.gbnf, tc.ids, diff)
		}
	}
}

// drawGrammar draws a grammar without left recursion: a rule calls those after it anywhere, and
// others only after a character.
func drawGrammar(t *rapid.T) string {
	n := rapid.IntRange(1, 5).Draw(t, "rules")
	name := func(i int) string {
		if i == 0 {
			return "root"
		}
		return fmt.Sprintf("r%d", i)
	}
	var e func(rule, depth int) string
	e = func(rule, depth int) string {
		switch kind := rapid.IntRange(0, 11).Draw(t, "kind"); {
		case kind < 3 || depth == 0:
			return rapid.SampledFrom([]string{`"a"`, `"b"`, `"ab"`, `"in"`, `" t"`, `"he"`, `""`}).Draw(t, "text")
		case kind < 5:
			return rapid.SampledFrom([]string{`[ab]`, `[^a]`, `.`, `[a-z]`, `[^\x00-\x7F]`, `[é-ö]`}).Draw(t, "set")
		case kind < 6 && rule+1 < n:
			return name(rapid.IntRange(rule+1, n-1).Draw(t, "call"))
		case kind < 7:
			return `"(" ` + name(rapid.IntRange(0, n-1).Draw(t, "call")) + ` ")"`
		case kind < 9:
			return e(rule, depth-1) + " " + e(rule, depth-1)
		case kind < 10:
			return "(" + e(rule, depth-1) + " | " + e(rule, depth-1) + ")"
		default:
			times := rapid.SampledFrom([]string{"*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}"}).Draw(t, "times")
			return "(" + e(rule, depth-1) + ")" + times
		}
	}
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s ::= %s | %s\n", name(i), e(i, 3), rapid.SampledFrom([]string{`"x"`, `"ay"`, `""`}).Draw(t, "leaf"))
	}
	return b.String()
}

// A token is allowed if its bytes, one after the other, lead somewhere: the tree of tokens changes
// nothing.
func TestTheTreeOfTokensAllowsWhatTheirBytesAllow(t *testing.T) {
	w := letters("ab", "aa", "aab", "in", "inx", "é", "\xc3\xa9a", "(((", "x)", " t", "the", "ab", "")
	p, err := ReadPieces(w)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		gbnf := drawGrammar(t)
		g, err := p.Grammar(gbnf)
		if err != nil {
			t.Fatalf("%v in\n%s", err, gbnf)
		}
		processor, text := g.Processor(0, nil), []int32(nil)
		for range rapid.IntRange(1, 8).Draw(t, "length") {
			scores := make([]float32, len(w)+3)
			if err := processor.Process(text, scores); err != nil {
				t.Fatalf("%v after %v in\n%s", err, text, gbnf)
			}
			var allowed []int32
			state, err := g.Processor(0, nil).reach(text)
			if err != nil {
				t.Fatal(err)
			}
			for id := range scores {
				want := id == 0 && state.ends
				if id > 0 && id < len(w) && w[id] != "" {
					s := state
					for i := range len(w[id]) {
						s = g.matcher.step(s, w[id][i])
					}
					want = s != dead
				}
				if got := scores[id] > negInf; got != want {
					t.Fatalf("token %d allowed %t, want %t, after %v in\n%s", id, got, want, text, gbnf)
				}
				if want && id > 0 {
					allowed = append(allowed, int32(id))
				}
			}
			if len(allowed) == 0 {
				return
			}
			text = append(text, rapid.SampledFrom(allowed).Draw(t, "token"))
		}
	})
}

// Scores that are allowed are left as they are, also those of tokens that end the text and are text
// themselves.
func TestAllowedScoresStay(t *testing.T) {
	w := words{"<end>", "a", "b", "\n"}
	g := mustGrammar(t, w, `root ::= [ab\n] "b"?`)
	for _, tc := range []struct {
		name string
		ids  []int32
		eos  []int32
		want []float32
	}{
		{"the text cannot end yet", []int32{9}, []int32{3}, []float32{negInf, 1, 2, negInf}},
		{"it can", []int32{9, 1}, []int32{3, 0}, []float32{0, negInf, 2, 3}},
		{"it must", []int32{9, 1, 2}, nil, []float32{0, negInf, negInf, negInf}},
		{"ends outside the vocabulary", []int32{9, 1, 2}, []int32{0, 77, -5}, []float32{0, negInf, negInf, negInf}},
	} {
		scores := []float32{0, 1, 2, 3}
		if err := g.Processor(1, tc.eos).Process(tc.ids, scores); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if diff := cmp.Diff(scores, tc.want); diff != "" {
			t.Errorf("%s: scores (-got +want):\n%s", tc.name, diff)
		}
	}
	wide := slices.Repeat([]float32{1}, 200)
	if err := g.Processor(0, nil).Process(nil, wide); err != nil {
		t.Fatal(err)
	}
	for id, x := range wide[4:] {
		if !math.IsInf(float64(x), -1) {
			t.Errorf("token %d, which is beyond the vocabulary, is allowed", id+4)
		}
	}
}

// readable is a vocabulary whose tags are text, as Qwen's <tool_call> is.
type readable struct{ words }

func (r readable) Piece(id int32, _ bool) ([]byte, error) { return r.words.Piece(id, true) }

// A tag is its token also where that is text: as this token it is read again, as a part of a prompt.
func TestATagThatIsTextIsItsTokenAndNoOther(t *testing.T) {
	w := words{"<end>", "<", "call", ">", "<call>", "<ca", "a"}
	g := mustGrammar(t, readable{w}, `root ::= '<call>' "a"`)
	if diff := cmp.Diff(allowedAfter(t, g.Processor(0, nil), w, nil), []string{"<call>"}); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(allowedAfter(t, g.Processor(0, nil), w, []int32{4}), []string{"a"}); diff != "" {
		t.Errorf("behind the tag (-got +want):\n%s", diff)
	}
}
