package service

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/grammar"
)

// letters is a vocabulary of bytes, of which the first ends a text.
type letters struct{}

func (letters) Size() int    { return 256 }
func (letters) EOG() []int32 { return []int32{0} }
func (letters) Piece(id int32, _ bool) ([]byte, error) {
	return []byte{byte(id)}, nil
}

func TestTheLastGrammarsAreKept(t *testing.T) {
	pieces, err := grammar.ReadPieces(letters{})
	if err != nil {
		t.Fatal(err)
	}
	g := grammars{pieces: pieces}
	get := func(gbnf string) *grammar.Grammar {
		t.Helper()
		got, err := g.get(gbnf)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	gbnf := func(i int) string { return fmt.Sprintf(`root ::= "%d"`, i) }
	first := get(gbnf(0))
	for i := range maxGrammars {
		if get(gbnf(0)) != first {
			t.Errorf("after %d others the grammar is made again", i)
		}
		get(gbnf(i + 1))
	}
	for i := range maxGrammars {
		get(gbnf(i + 1))
	}
	if get(gbnf(0)) == first {
		t.Error("more grammars are kept than there may be")
	}
	if _, err := g.get("root := x"); err == nil {
		t.Error("no error")
	}
	long := gbnf(0) + strings.Repeat("#", maxGrammarText)
	if before := get(long); get(long) == before {
		t.Error("a long grammar is kept")
	}
	// One that knows a long text of which each place is another state is dropped.
	large := get(`root ::= [a-z]{0,90000} "1"`)
	ids := make([]int32, 60_000)
	for i := range ids {
		ids[i] = 'a'
	}
	if err := large.Processor(0, nil).Process(ids, make([]float32, 256)); err != nil {
		t.Fatal(err)
	}
	if size := large.Size(); size <= maxGrammarSize {
		t.Fatalf("the grammar knows %d bytes: the test wants more", size)
	}
	if get(`root ::= [a-z]{0,90000} "1"`) == large {
		t.Error("a grammar that has grown large is kept")
	}
}
