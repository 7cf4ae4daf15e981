package grammar

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml/llama"
	"github.com/seed4d217819/ebb/grammar/internal/oracle"
)

func openVocab(t testing.TB) *llama.Vocab {
	t.Helper()
	v, err := llama.OpenVocab("../testdata/models/tiny-gqa.gguf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

// libllama's grammar sampler is another implementation of the same notation. It may allow more
// where a token ends within a character, as it takes what is no UTF-8 for the beginning of some; it
// spells control tokens out; and it allows no token that begins with the character zero.
func TestGrammarsAllowWhatLibllamaAllows(t *testing.T) {
	if testing.Short() {
		t.Skip("a fifth of the random grammars compares too few places")
	}
	v := openVocab(t)
	libllama, err := oracle.OpenVocab("../testdata/models/tiny-gqa.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer libllama.Close()
	p, err := ReadPieces(v)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		gbnf := drawGrammar(t)
		g, err := p.Grammar(gbnf)
		if err != nil {
			t.Fatalf("%v in\n%s", err, gbnf)
		}
		theirs, err := libllama.NewGrammar(gbnf)
		if err != nil && strings.Contains(err.Error(), "left recursion") {
			return // it takes repetitions of what may be empty for that
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, gbnf)
		}
		defer theirs.Close()
		processor, text := g.Processor(0, nil), []int32(nil)
		for range 10 {
			scores := make([]float32, v.Size())
			if err := processor.Process(text, scores); err != nil {
				t.Fatalf("%v after %v in\n%s", err, text, gbnf)
			}
			want, err := theirs.Allowed()
			if err != nil {
				t.Fatal(err)
			}
			var got, both []int32
			for id, x := range scores {
				if x > negInf && id != 0 {
					got = append(got, int32(id))
					if !v.IsEOG(int32(id)) {
						both = append(both, int32(id))
					}
				}
			}
			want = slices.DeleteFunc(want, func(id int32) bool {
				special := id >= 256 && id <= 258 && !v.IsEOG(id)
				partial := id < 256 && id >= 0x80
				return special || partial && !slices.Contains(got, id)
			})
			if diff := cmp.Diff(got, want); diff != "" {
				t.Fatalf("after %v (-got +want):\n%s\nin\n%s", text, diff, gbnf)
			}
			if len(both) == 0 {
				return
			}
			next := rapid.SampledFrom(both).Draw(t, "token")
			if err := theirs.Accept(next); err != nil {
				t.Fatal(err)
			}
			text = append(text, next)
			compared++
		}
	})
	if compared < 100 {
		t.Errorf("%d places compared: want many", compared)
	}
}

// The whole of a real vocabulary's text passes through a grammar that allows everything.
func TestEveryTextFollowsTheGrammarOfAllTexts(t *testing.T) {
	v := openVocab(t)
	g, err := New(v, "root ::= .*")
	if err != nil {
		t.Fatal(err)
	}
	text := "in the \x00 end, Ἐν ἀρχῇ ἦν ὁ λόγος 🙂"
	ids, err := v.Tokenize([]byte(text), false, false)
	if err != nil {
		t.Fatal(err)
	}
	var back bytes.Buffer
	p := g.Processor(0, nil)
	for i, id := range ids {
		scores := make([]float32, v.Size())
		if err := p.Process(ids[:i], scores); err != nil {
			t.Fatal(err)
		}
		if scores[id] != 0 {
			t.Fatalf("token %d may not come after %q", id, back.String())
		}
		back.Write(g.pieces.text(id))
	}
	if back.String() != text {
		t.Errorf("the tokens' texts are %q, want %q", back.String(), text)
	}
}
