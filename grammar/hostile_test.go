package grammar

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/grammar/internal/grammartest"
)

// hostileGrammars are small texts that are large, deep or without end once they are read, with what
// becomes of them: an error when they are read, one for the first texts, or a grammar that works.
var hostileGrammars = map[string]struct{ gbnf, want string }{
	"exponentially many ways":             {ways(200), "works"},
	"left recursion":                      {`root ::= root "a" | "b"`, "begins with itself"},
	"left recursion behind nothing":       {"root ::= a\na ::= c a \"z\" | \"a\"\nc ::= b b\nb ::= \"\" | \"y\"", "begins with itself"},
	"a long cycle of rules":               {cycle(100_000) + "r100000 ::= r0 | \"a\"\n", "begins with itself"},
	"a long chain of rules":               {cycle(100_000) + "r100000 ::= \"a\"*\n", "too many ways"},
	"no end":                              {`root ::= "a" root`, "no text follows"},
	"deep parentheses":                    {"root ::= " + strings.Repeat("(", 1<<20) + strings.Repeat(")", 1<<20), "parentheses"},
	"parentheses that do not end":         {"root ::= " + strings.Repeat("(", 1<<22), "want at most"},
	"a large number":                      {`root ::= "a"{1,1000000000}`, "want at most"},
	"a number beyond all":                 {`root ::= "a"{` + strings.Repeat("9", 1<<20) + `}`, "want at most"},
	"large repetitions in each other":     {`root ::= (((("a"{90000}){90000}){90000}){90000}){90000}`, "works"},
	"the same, of any number":             {`root ::= (((("a"{0,2000}){0,2000}){0,2000}){0,2000})`, "too many ways"},
	"the same in rules":                   {"root ::= x{0,2000}\nx ::= y{0,2000}\ny ::= z{0,2000}\nz ::= \"a\"{0,2000}", "too many ways"},
	"many large repetitions":              {"root ::= " + strings.Repeat(`("a" "b"){90000} `, 100), "parts"},
	"repetitions of repetitions":          {"root ::= \"a\"" + strings.Repeat("*", 1<<20), "repetitions of one item"},
	"repetitions of nothing":              {`root ::= (((""*)*)*)* "a"*`, "works"},
	"many readings of every text":         {"root ::= s\ns ::= \"a\" s s s s | \"a\" s s s | \"a\" s s | \"a\"", "works"},
	"a long text":                         {`root ::= "` + strings.Repeat("a", 1<<21) + `"`, "parts"},
	"many alternatives":                   {"root ::= " + strings.Repeat(`"a" | `, 200_000) + `"a"*`, "too many ways"},
	"many sets":                           {"root ::= " + sets(10_000), "works"},
	"a long name":                         {"root ::= " + strings.Repeat("a", 1<<20), "the name of a rule"},
	"comments alone":                      {strings.Repeat("#\n", 1<<20), "no rule root"},
	"a set with a hundred thousand parts": {"root ::= [" + strings.Repeat("aé", 50_000) + "]*", "works"},
}

// A grammar may come from anybody.
func TestHostileGrammarsEndInAnError(t *testing.T) {
	names := map[string]string{}
	for name, g := range hostileGrammars {
		names[name] = g.want
	}
	grammartest.Alone(t, names, func(name string) error { return tryGrammar(hostileGrammars[name].gbnf) })
}

// tryGrammar reads a grammar and follows it for some tokens.
func tryGrammar(gbnf string) error {
	w := letters("aa", "aaaa", "aaaaaaaa")
	g, err := New(w, gbnf)
	if err != nil {
		return err
	}
	p := g.Processor(0, nil)
	var ids []int32
	for range 40 {
		scores := make([]float32, len(w))
		if err := p.Process(ids, scores); err != nil {
			return err
		}
		const a = 'a' + 1
		if scores[a] == negInf {
			return errors.New(`"a" is not allowed`)
		}
		ids = append(ids, a)
	}
	return nil
}

// ways has 2^n ways to begin a text.
func ways(n int) string {
	var b strings.Builder
	b.WriteString("root ::= \"a\"* r0\n")
	for i := range n {
		fmt.Fprintf(&b, "r%d ::= r%d \"x\" | r%d \"y\"\n", i, i+1, i+1)
	}
	fmt.Fprintf(&b, "r%d ::= \"z\"\n", n)
	return b.String()
}

// cycle has n rules, each of which calls the next; the last is to be written.
func cycle(n int) string {
	var b strings.Builder
	b.WriteString("root ::= r0 \"b\"?\n")
	for i := range n {
		fmt.Fprintf(&b, "r%d ::= r%d \"c\"?\n", i, i+1)
	}
	return b.String()
}

func sets(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "[a\\u%04X]? ", 0x400+i)
	}
	return b.String()
}
