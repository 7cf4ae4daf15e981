package grammar

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A search may ask for its beams in any order, come back to one and forget others.
func TestTheResultDependsOnTheTokensAlone(t *testing.T) {
	w := words{"<end>", "a", "b", "c", "(", ")", "ab"}
	g := mustGrammar(t, w, "root ::= e+\ne ::= \"a\" | \"b\" | \"(\" e{0,2} \")\"")
	shared, r := g.Processor(0, nil), rand.New(rand.NewPCG(1, 2))
	beams := [][]int32{nil}
	for range 300 {
		ids := beams[r.IntN(len(beams))]
		got := allowedAfter(t, shared, w, ids)
		want := allowedAfter(t, mustGrammar(t, w, "root ::= e+\ne ::= \"a\" | \"b\" | \"(\" e{0,2} \")\"").Processor(0, nil), w, ids)
		if diff := cmp.Diff(got, want); diff != "" {
			t.Fatalf("after %v (-got +want):\n%s", ids, diff)
		}
		if next := got[r.IntN(len(got))]; next != "<end>" {
			beams = append(beams, append(slices.Clone(ids), int32(slices.Index(w, next))))
		}
	}
	if len(shared.lately) != rememberedTexts {
		t.Errorf("%d texts remembered, want %d", len(shared.lately), rememberedTexts)
	}
}

func TestErrorsSayAfterWhatText(t *testing.T) {
	w := words{"<end>", "a", "b", "é"}
	long := slices.Repeat([]int32{3}, 100)
	for _, tc := range []struct {
		name, gbnf string
		prompt     int
		ids        []int32
		eos        []int32
		want       string
	}{
		{"no token fits", `root ::= "ab" "c"`, 1, []int32{9, 1, 2}, nil, `grammar: cannot continue after "ab": no token of the vocabulary fits`},
		{"nothing fits at all", `root ::= "c"`, 0, nil, nil, `grammar: cannot continue after "": `},
		{"all that fit end the text", `root ::= "a" "b"`, 0, []int32{1}, []int32{2}, `cannot continue after "a"`},
		{"a text of another grammar", `root ::= "ab"`, 0, []int32{1, 1}, nil, `the text does not follow the grammar: token 1 "a" cannot come after "a"`},
		{"goes on after its end", `root ::= "ab"`, 0, []int32{1, 2, 0}, nil, `token 0 "" cannot come after "ab"`},
		{"a token of another vocabulary", `root ::= "ab"`, 0, []int32{77}, nil, `token 77 "" cannot come after ""`},
		{"no end", `root ::= "ab"`, 0, []int32{1, 2}, []int32{}, `the text is complete after "ab", and no token ends it`},
		{"a long text", `root ::= "é"* "c"`, 0, append(long, 1), nil, `token 1 "a" cannot come after …"` + strings.Repeat("é", 30) + `"`},
		{"less than the prompt", `root ::= "a"`, 3, []int32{1}, nil, "the sequence has 1 tokens, and its prompt 3"},
	} {
		err := mustGrammar(t, w, tc.gbnf).Processor(tc.prompt, tc.eos).Process(tc.ids, make([]float32, len(w)))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one that says %s", tc.name, err, tc.want)
		}
	}
}

func TestAVocabularyWithoutTextIsRefused(t *testing.T) {
	if _, err := New(words{"<end>", "<a>", ""}, `root ::= "a"`); err == nil || !strings.Contains(err.Error(), "no token with a text") {
		t.Errorf("error %v", err)
	}
}

func TestAGrammarServesSeveralGoroutines(t *testing.T) {
	w := words{"<end>", "a", "b", "c"}
	p, err := ReadPieces(w)
	if err != nil {
		t.Fatal(err)
	}
	g, err := p.Grammar(`root ::= ("a" "b" | "c")+`)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			processor := g.Processor(0, nil)
			ids := []int32(nil)
			for j := range 200 {
				if err := processor.Process(ids, make([]float32, len(w))); err != nil {
					errs[i] = err
					return
				}
				if (i+j)%3 == 0 {
					ids = append(ids, 3)
				} else {
					ids = append(ids, 1, 2)
				}
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("goroutine %d: %v", i, err)
		}
	}
}

// What is kept of states is dropped when it grows too large; texts go on.
func TestForgettingChangesNothing(t *testing.T) {
	w := letters("aa", "((")
	gbnf := "root ::= e\ne ::= \"a\"{1,3} | \"(\" e \")\" e?"
	remembers, forgets := mustGrammar(t, w, gbnf).Processor(0, nil), mustGrammar(t, w, gbnf).Processor(0, nil)
	r := []int32(nil)
	for i := range 60 {
		want := allowedAfter(t, remembers, w, r)
		if i%2 == 0 {
			forgets.grammar.matcher.size = maxSize + 1
		}
		if i%5 == 0 {
			forgets.lately = nil
		}
		if diff := cmp.Diff(allowedAfter(t, forgets, w, r), want); diff != "" {
			t.Fatalf("after %v (-got +want):\n%s", r, diff)
		}
		next := want[(i*7)%len(want)]
		r = append(r, int32(slices.Index(w, next)))
		if next == "<end>" {
			r = nil
		}
	}
}

// In a list that goes on, states come back: a long text takes no more memory than a short one.
func TestALongTextReachesTheSameStates(t *testing.T) {
	w := letters()
	g := mustGrammar(t, w, jsonGrammar)
	states := func(text string) int {
		if !g.matches(text) {
			t.Fatalf("the grammar of JSON does not match %.60s", text)
		}
		return len(g.matcher.states)
	}
	list := func(n int) string { return `{"a": [` + strings.Repeat(`{"b": "text", "c": [1.5, true]},`, n) + `0]}` }
	few := states(list(3))
	if many := states(list(500)); many != few {
		t.Errorf("%d states after 500 items, %d after 3", many, few)
	}
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}" }
	if got := states(deep(3000)); got > 20*3000 {
		t.Errorf("%d states for a text 3000 deep", got)
	}
}

const jsonGrammar = `root ::= object
object ::= "{" ws (pair ("," ws pair)*)? "}" ws
pair ::= string ":" ws value
value ::= object | array | string | number | ("true" | "false" | "null") ws
array ::= "[" ws (value ("," ws value)*)? "]" ws
string ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}))* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= "" | " " | "\n" [ \t]{0,20}
`

func BenchmarkProcess(b *testing.B) {
	w := letters()
	for i := range 40_000 {
		w = append(w, fmt.Sprintf("w%x", i))
	}
	for _, bench := range []struct{ name, text string }{{"in a string", `{"`}, {"before a value", `{"a": `}} {
		b.Run(bench.name, func(b *testing.B) {
			p := mustGrammar(b, w, jsonGrammar).Processor(0, nil)
			var ids []int32
			for i := range len(bench.text) {
				ids = append(ids, int32(bench.text[i])+1)
			}
			scores := make([]float32, len(w))
			for b.Loop() {
				clear(scores)
				if err := p.Process(ids, scores); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestEndedIsTrueWhereNothingMayFollow(t *testing.T) {
	w := words{"<end>", "a", "b"}
	for _, tt := range []struct {
		gbnf string
		eos  []int32
		ids  []int32
		want bool
	}{
		{`root ::= "ab"`, []int32{}, []int32{1, 2}, true},
		{`root ::= "ab"`, []int32{7, -1}, []int32{1, 2}, true}, // outside the vocabulary
		{`root ::= "ab"`, []int32{}, []int32{1}, false},
		{`root ::= "ab"`, []int32{0}, []int32{1, 2}, false}, // the token that ends the text may follow
		{`root ::= "ab" "b"*`, []int32{}, []int32{1, 2}, false},
		{`root ::= "ab"`, []int32{}, []int32{2}, false}, // does not follow the grammar
	} {
		if got := mustGrammar(t, w, tt.gbnf).Processor(0, tt.eos).Ended(tt.ids); got != tt.want {
			t.Errorf("%s after %v with the end tokens %v: ended %v, want %v", tt.gbnf, tt.ids, tt.eos, got, tt.want)
		}
	}
}
