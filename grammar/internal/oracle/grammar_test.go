package oracle

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const tiny = "../../../testdata/models/tiny-gqa.gguf"

func openVocab(t *testing.T) *Vocab {
	t.Helper()
	v, err := OpenVocab(tiny)
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

func newGrammar(t *testing.T, v *Vocab, gbnf string) *Grammar {
	t.Helper()
	g, err := v.NewGrammar(gbnf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func TestAGrammarAllowsWhatFollows(t *testing.T) {
	g := newGrammar(t, openVocab(t), `root ::= "in" [x-z]?`)
	const in = 261
	for _, step := range []struct {
		accept int32
		want   []int32
	}{
		{-1, []int32{'i', in}},
		{in, []int32{'x', 'y', 'z', 257}},
		{'y', []int32{257}},
		{257, []int32{257}},
	} {
		if step.accept >= 0 {
			if err := g.Accept(step.accept); err != nil {
				t.Fatal(err)
			}
		}
		got, err := g.Allowed()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, step.want); diff != "" {
			t.Errorf("after %d (-got +want):\n%s", step.accept, diff)
		}
	}
}

// Each of these would end the process in libllama.
func TestAGrammarRefusesWhatMayNotCome(t *testing.T) {
	g := newGrammar(t, openVocab(t), `root ::= "ab"`)
	for id, want := range map[int32]string{'b': "may not come here", 257: "may not come here", 0xFF: "may not come here", -1: "outside", 264: "outside"} {
		if err := g.Accept(id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("accept %d: error %v, want one that says %q", id, err, want)
		}
	}
	if err := g.Accept('a'); err != nil {
		t.Error(err)
	}
}

func TestAClonedGrammarGoesOnByItself(t *testing.T) {
	g := newGrammar(t, openVocab(t), `root ::= "a" [bc] "d"`)
	if err := g.Accept('a'); err != nil {
		t.Fatal(err)
	}
	clone, err := g.Clone()
	if err != nil {
		t.Fatal(err)
	}
	if err := clone.Accept('b'); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := clone.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, []int32{'d'}); diff != "" {
		t.Errorf("the clone allows (-got +want):\n%s", diff)
	}
	if err := clone.Close(); err != nil {
		t.Error(err)
	}
}

func TestAGrammarThatCannotBeReadIsAnError(t *testing.T) {
	v := openVocab(t)
	for gbnf, want := range map[string]string{
		`root ::= "a`:        "failed to parse grammar",
		`other ::= "a"`:      "grammar does not contain a 'root' symbol",
		`root ::= root "a"`:  "left recursion",
		"root ::= \"a\x00\"": "zero byte",
		"":                   "no text",
	} {
		if _, err := v.NewGrammar(gbnf); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one that says %q", gbnf, err, want)
		}
	}
}

func TestAGrammarOutlivesItsVocabularyOnlyToBeClosed(t *testing.T) {
	v, err := OpenVocab(tiny)
	if err != nil {
		t.Fatal(err)
	}
	g, err := v.NewGrammar(`root ::= "a"`)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	_, allowedErr := g.Allowed()
	_, cloneErr := g.Clone()
	_, newErr := v.NewGrammar(`root ::= "a"`)
	for what, err := range map[string]error{"Allowed": allowedErr, "Accept": g.Accept('a'), "Clone": cloneErr, "NewGrammar": newErr} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after the vocabulary is closed: error %v, want ErrClosed", what, err)
		}
	}
	for range 2 {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
}
