package main

import (
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/generation"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// What a cut answer has computed is in files when its model is closed.
func TestAModelThatIsClosedLeavesItsConversations(t *testing.T) {
	model, dir := servicetest.WriteModel(t), t.TempDir()
	open := func() *served {
		e, err := ebb.Open(model, ebb.Options{Context: 2048})
		if err != nil {
			t.Fatal(err)
		}
		s, err := service.New(e, service.Options{CacheDir: dir, CacheBytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		return &served{s, e, &header{}}
	}
	const enough = 600 // tokens
	r := service.Request{Prompt: []int32{1, 2, 3}, Config: ebb.GenerationConfig{EOSTokenID: generation.TokenIDs{}}}
	first := open()
	a, err := first.Answer(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var said []int32
	for e, err := range a.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range e.Tokens {
			said = append(said, token.ID)
		}
		if len(said) >= enough {
			break
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open()
	r.Prompt = slices.Concat(r.Prompt, said)
	r.Config.MaxNewTokens = 1
	if a, err = second.Answer(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Texts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if cached := a.Usage().Cached; cached < enough/2 {
		t.Errorf("of %d tokens %d were there", len(r.Prompt), cached)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}
