package jsonschema

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed4d217819/ebb/grammar"
	"github.com/seed4d217819/ebb/grammar/internal/grammartest"
)

// asString returns text as a JSON string with the escapes that grammars of patterns write; false
// for control characters that they do not write.
func asString(text string) (string, bool) {
	quoted := strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`, "\b", `\b`, "\f", `\f`).Replace(text)
	return `"` + quoted + `"`, !strings.ContainsFunc(quoted, func(r rune) bool { return r < ' ' || r == 0x7F })
}

// testdata/ecma.json is the output of testdata/ecma.js, run with node 20.
func TestPatternsAreThoseOfECMAScript(t *testing.T) {
	data, err := os.ReadFile("testdata/ecma.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Pattern string
			Yes, No []string
		}
		Unsupported, Errors []string
	}
	if err := json.Unmarshal(data, &file); err != nil || len(file.Cases) < 50 {
		t.Fatalf("%d cases, error %v", len(file.Cases), err)
	}
	for _, c := range file.Cases {
		parsed, err := parseECMA(c.Pattern)
		if err != nil {
			t.Errorf("pattern %q: %v", c.Pattern, err)
			continue
		}
		written := patternGrammar(t, c.Pattern)
		check := func(text string, want bool) {
			got, err := (&validator{}).matches(parsed, []rune(text))
			if err != nil || got != want {
				t.Errorf("pattern %q matches %q: %t, error %v, want %t", c.Pattern, text, got, err, want)
			}
			if quoted, ok := asString(text); ok && written != nil && grammartest.Matches(written, quoted) != want {
				t.Errorf("the grammar of pattern %q allows %s: %t, want %t", c.Pattern, quoted, !want, want)
			}
		}
		for _, text := range c.Yes {
			check(text, true)
		}
		for _, text := range c.No {
			check(text, false)
		}
	}
	for _, pattern := range file.Unsupported {
		if _, err := parseECMA(pattern); err == nil || !strings.Contains(err.Error(), "is not supported") {
			t.Errorf("pattern %q: error %v, want one that says what is not supported", pattern, err)
		}
	}
	for _, pattern := range file.Errors {
		if _, err := parseECMA(pattern); err == nil {
			t.Errorf("pattern %q: no error, and ECMAScript has one", pattern)
		}
	}
}

// patternGrammar returns what keeps bytes to the grammar of a pattern; nil for one of control
// characters alone.
func patternGrammar(t *testing.T, pattern string) grammartest.Processor {
	t.Helper()
	text, _ := asString(pattern)
	gbnf, err := Grammar([]byte(`{"type":"string","pattern":` + text + `}`))
	if err != nil {
		if !strings.Contains(err.Error(), "control characters") {
			t.Errorf("pattern %q: %v", pattern, err)
		}
		return nil
	}
	g, err := grammar.New(grammartest.Letters(), gbnf)
	if err != nil {
		t.Errorf("pattern %q: %v", pattern, err)
		return nil
	}
	return g.Processor(0, nil)
}

func TestFlagsOfAGroupHoldWithinIt(t *testing.T) {
	for _, test := range []struct {
		pattern string
		yes, no string
	}{
		{`^(?i:ab)c$`, "aBc", "abC"},
		{`^(?i:\w)$`, "ſ", "é"},
		{`^(?i:[^k])$`, "j", "K"},
		{`^(?s:.).$`, "\na", "a\n"},
		{`^(?is:A(?-i:B).)$`, "aB\n", "ab\n"},
	} {
		n, err := parseECMA(test.pattern)
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		yes, _ := (&validator{}).matches(n, []rune(test.yes))
		no, _ := (&validator{}).matches(n, []rune(test.no))
		if !yes || no {
			t.Errorf("%s matches %q: %t, and %q: %t", test.pattern, test.yes, yes, test.no, no)
		}
	}
}

func TestAPatternThatIsNotSupportedIsNamed(t *testing.T) {
	for pattern, want := range map[string]string{
		`(?=a)`:                          "(?=…) is not supported: a lookahead cannot be written as a grammar",
		`a\b`:                            `\b is not supported: a word boundary`,
		`(a)\1`:                          `\1 is not supported: a backreference`,
		`(?P<y>a)`:                       "(?P<name>…) is not ECMA-262: want (?<name>…)",
		`(?i)a`:                          "is not ECMA-262: want flags for a group, as in (?i:…)",
		`(?m:^a)`:                        "the flag m in (?m:…) is not supported: want i or s",
		`a\Z`:                            `\Z is not ECMA-262`,
		`[[:alpha:]`:                     "",
		`a{,5}`:                          "{,5} is no count: want {n}, {n,} or {n,m}",
		`\p{Foo}`:                        `\p{Foo} is not supported`,
		`\uD83D`:                         "half of a surrogate pair",
		`[]`:                             "a class contains no character",
		`)`:                              "unexpected )",
		`(^)*`:                           "",
		`a{100001}`:                      "is no count",
		`(a{100}){100}`:                  "invalid repeat count",
		"a" + strings.Repeat("a", 1<<14): "want at most 16384",
		strings.Repeat("(", 300):         "more than 200 groups within each other",
	} {
		_, err := parseECMA(pattern)
		if want == "" && err == nil {
			continue
		}
		if err == nil || want == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("pattern %.30q: error %v, want one that contains %q", pattern, err, want)
		}
	}
}

// Any text either is a pattern, with which matching ends and whose grammar is read, or an error.
func FuzzPattern(f *testing.F) {
	for _, p := range []string{`^[a-z]{2,3}(-[0-9]+)?$`, `(?<n>\w+)\s`, `[^\d\-]|\u{1F600}`, `(?i:a*)*$`, `\p{L}{1,3}`} {
		f.Add(p, "ab-1 é😀")
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(text) {
			return
		}
		n, err := parseECMA(pattern)
		if err != nil {
			return
		}
		_, _ = (&validator{}).matches(n, []rune(text))
		p := patternWriter{char: "char"}
		if expr := p.write(n); p.err == "" && len(expr) < 10_000 {
			if err := grammar.Check("root ::= " + expr + "\nchar ::= [a-z]"); err != nil && !strings.Contains(err.Error(), "parts") &&
				!strings.Contains(err.Error(), "repetitions of one item") {
				t.Errorf("pattern %q: %v in %s", pattern, err, expr)
			}
		}
	})
}
