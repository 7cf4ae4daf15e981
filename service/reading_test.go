package service_test

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
	"github.com/seed4d217819/ebb/trace"
)

// Whoever wants the whole of an answer sleeps until its end: a reader that wakes at each token takes a core
// from the step that is being computed.
func TestAWholeAnswerIsNotReadBeforeItsEnd(t *testing.T) {
	var answer atomic.Pointer[service.Answer]
	var read atomic.Int64
	o := service.Options{Step: func(service.Step) { // before what the step has found is delivered
		if a := answer.Load(); a != nil && a.Usage().New > 0 && !a.HasNews() {
			read.Add(1)
		}
	}}
	s := servicetest.Open(t, ebb.Options{Context: 512}, o)
	a, err := s.Answer(t.Context(), continued(someTokens(1, 10), 300))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	answer.Store(a)
	texts, err := a.Texts(t.Context())
	if err != nil || len(texts[0].Tokens) != 300 {
		t.Fatalf("%d tokens, %v", len(texts[0].Tokens), err)
	}
	if n := read.Load(); n != 0 {
		t.Errorf("the reader has woken in %d of 300 steps before the end, want none", n)
	}
}

// What the goroutine that computes and the reader of events leave to the garbage collector for each token
// is little: the text of a part is the reader's.
func TestATokenLeavesLittleGarbage(t *testing.T) {
	if testing.Short() {
		t.Skip("quick tests run under the race detector, too, which has pools forget what they keep")
	}
	s := servicetest.Open(t, ebb.Options{Context: 1024}, service.Options{})
	objects := func(tokens int) float64 {
		r := say("Say it.")
		r.Config = ebb.GenerationConfig{MaxNewTokens: tokens, EOSTokenID: ebb.TokenIDs{}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		a, err := s.Answer(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		for _, err := range a.Events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		if got := a.Usage().New; got != tokens {
			t.Fatalf("%d tokens, want %d", got, tokens)
		}
		return float64(after.Mallocs - before.Mallocs)
	}
	const few, many = 100, 900
	objects(many) // what is done once, also for each token of the vocabulary
	if got := (objects(many) - objects(few)) / (many - few); got > 8 {
		t.Errorf("a token leaves %.1f objects, want at most 8", got)
	}
}

// A request that wants no tokens guessed gets none, whatever the service does for others.
func TestARequestCanDoWithoutPromptLookup(t *testing.T) {
	c := counted{t: t, tokens: new(atomic.Int64), steps: new(atomic.Int64)}
	guessed := false
	e := ebb.Options{Context: 512, Trace: func(s trace.Span) { c.count(s) }}
	c.Service = servicetest.Open(t, e, service.Options{PromptLookup: 3})
	prompt := append(someTokens(1, 20), someTokens(1, 20)...)
	for i, none := range []bool{false, true} {
		r := continued(prompt, 60)
		r.NoLookup, r.Salt = none, string(rune('a'+i))
		ids, _, computed := c.answer(r)
		switch alone := len(prompt) + len(ids) - 1; {
		case !none:
			guessed = computed > alone
		case computed != alone:
			t.Errorf("%d tokens are computed without lookup, want %d", computed, alone)
		}
	}
	if !guessed {
		t.Error("the service has guessed no tokens: the test shows nothing")
	}
}
