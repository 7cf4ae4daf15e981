package service_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/conversation"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
	"github.com/seed4d217819/ebb/trace"
)

// counted is a service whose steps are counted.
type counted struct {
	*service.Service
	t      *testing.T
	tokens *atomic.Int64 // that steps have computed
	steps  *atomic.Int64
}

func openCounted(t *testing.T, engine ebb.Options) counted {
	t.Helper()
	c := counted{t: t, tokens: new(atomic.Int64), steps: new(atomic.Int64)}
	engine.Trace = c.count
	c.Service = servicetest.Open(t, engine, service.Options{})
	return c
}

// count counts the tokens of steps.
func (c counted) count(s trace.Span) {
	if s.Track == trace.Step && s.Name == "step" {
		c.tokens.Add(int64(s.Tokens))
		c.steps.Add(1)
	}
}

// someTokens returns n tokens, the same ones for the same seed.
func someTokens(seed uint64, n int) (tokens []int32) {
	r := rand.New(rand.NewPCG(seed, 0))
	for range n {
		tokens = append(tokens, 10+r.Int32N(200))
	}
	return tokens
}

// continued is a request for some more tokens.
func continued(prompt []int32, more int) service.Request {
	return service.Request{Prompt: prompt, Config: ebb.GenerationConfig{MaxNewTokens: more, EOSTokenID: ebb.TokenIDs{-1}}}
}

// answer returns the new tokens of a request, and how many tokens steps have computed for it, where it is
// alone.
func (c counted) answer(r service.Request) (ids []int32, u service.Usage, computed int) {
	c.t.Helper()
	before := c.tokens.Load()
	a, err := c.Answer(c.t.Context(), r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer a.Close()
	texts, err := a.Texts(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, t := range texts[0].Tokens {
		ids = append(ids, t.ID)
	}
	return ids, a.Usage(), int(c.tokens.Load() - before)
}

// Two conversations in turn, a request for a title and one of a sub-agent between them: nothing is
// computed but what is new.
func TestConversationsThatAlternateComputeWhatIsNewAlone(t *testing.T) {
	for _, policy := range []kv.Policy{kv.Auto, kv.Static, kv.Offloaded} {
		t.Run(policy.String(), func(t *testing.T) {
			o := ebb.Options{Context: 1024, Sequences: 4, Cache: policy, ForcedCopies: true}
			c := openCounted(t, o)
			fresh := openCounted(t, o)
			system := someTokens(1, 60)
			talks := [][]int32{slices.Concat(system, someTokens(2, 30)), slices.Concat(someTokens(3, 50), someTokens(4, 20))}
			there := []int{0, 0}
			turn := func(i, cached int) {
				t.Helper()
				ids, u, computed := c.answer(continued(talks[i], 8))
				if u.Cached != cached || computed != len(talks[i])-cached+7 {
					t.Errorf("talk %d of %d tokens: %d were there and %d were computed; want %d and the others", i, len(talks[i]), u.Cached, computed, cached)
				}
				want, _, _ := fresh.answer(service.Request{Prompt: talks[i], Config: continued(nil, 8).Config, Salt: string(rune('a' + there[i]))})
				if !slices.Equal(ids, want) {
					t.Errorf("talk %d goes on with %v; want %v, as without a conversation", i, ids, want)
				}
				talks[i] = slices.Concat(talks[i], ids, someTokens(uint64(100+len(talks[i])), 10))
				there[i]++
			}
			turn(0, 0)
			turn(1, 0)
			title := slices.Concat(talks[0][:98-1], someTokens(9, 20)) // all but the last token that was computed
			if _, u, computed := c.answer(continued(title, 4)); u.Cached != 97 || computed != 20+3 {
				t.Errorf("a title: %d tokens were there, %d were computed; want 97 and 23", u.Cached, computed)
			}
			agent := slices.Concat(system, someTokens(7, 25))
			if _, u, computed := c.answer(continued(agent, 4)); u.Cached != 60 || computed != 25+3 {
				t.Errorf("a sub-agent: %d tokens were there, %d were computed; want 60 and 28", u.Cached, computed)
			}
			for range 3 {
				turn(0, len(talks[0])-11)
				turn(1, len(talks[1])-11)
			}
		})
	}
}

// A request that ends in its prompt leaves what was computed, and its repetition computes the rest.
func TestACancelledPromptIsContinued(t *testing.T) {
	c := openCounted(t, ebb.Options{Context: 2048, StepTokens: 64})
	prompt := someTokens(1, 1000)
	ctx, cancel := context.WithCancelCause(t.Context())
	a, err := c.Answer(ctx, continued(prompt, 4))
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	defer cancel(nil)
	for e, err := range a.Events(t.Context()) {
		if e.Kind == service.Prefill && e.Progress.Done > 0 {
			cancel(gone)
		}
		if err != nil && !errors.Is(err, gone) {
			t.Fatal(err)
		}
	}
	done := int(c.tokens.Load())
	if done == 0 || done >= 1000 {
		t.Fatalf("%d of 1000 tokens were computed when the request was cancelled", done)
	}
	_, u, computed := c.answer(continued(prompt, 4))
	if u.Cached == 0 || u.Cached%64 != 0 || u.Cached+computed != 1003 {
		t.Errorf("the repetition found %d tokens and computed %d; want those of whole passes, and the others", u.Cached, computed)
	}
}

// The same prompt several times at once is computed once, and if the first one is cancelled, the others
// go on from where it was.
func TestTwinsAreComputedOnce(t *testing.T) {
	for _, cancelled := range []bool{false, true} {
		c := openCounted(t, ebb.Options{Context: 2048, StepTokens: 64})
		prompt := someTokens(1, 800)
		ctx, cancel := context.WithCancel(t.Context())
		var answers []*service.Answer
		for i := range 3 {
			of := t.Context()
			if i == 0 {
				of = ctx
			}
			a, err := c.Answer(of, continued(prompt, 5))
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, a)
		}
		if cancelled {
			cancel()
		}
		var texts [][]generate.Token
		for i, a := range answers {
			found, err := a.Texts(t.Context())
			if cancelled && i == 0 {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, found[0].Tokens)
		}
		for _, text := range texts[1:] {
			if !slices.EqualFunc(text, texts[0], func(x, y generate.Token) bool { return x.ID == y.ID }) {
				t.Errorf("twins have other texts: %v, %v", text, texts[0])
			}
		}
		// The last token of each prompt is its own, and so is what is generated.
		if got, most := c.tokens.Load(), int64(800+2+3*4); got > most+64 || !cancelled && got != most {
			t.Errorf("three times the same prompt, the first cancelled: %v: %d tokens were computed; want %d", cancelled, got, most)
		}
		cancel()
	}
}

// What was computed for one salt is never used for another.
func TestSaltsShareNothing(t *testing.T) {
	c := openCounted(t, ebb.Options{})
	r := continued(someTokens(1, 100), 4)
	for _, salt := range []string{"a", "b", ""} {
		r.Salt = salt
		if _, u, _ := c.answer(r); u.Cached != 0 {
			t.Errorf("the first request of salt %q found %d tokens", salt, u.Cached)
		}
		if _, u, _ := c.answer(r); u.Cached != 99 {
			t.Errorf("the second request of salt %q found %d tokens; want 99", salt, u.Cached)
		}
	}
}

// A service that drains lets answers end, and says of each where its prompt has left what was there.
func TestWhatAServiceSaysOfItsConversations(t *testing.T) {
	var steps atomic.Int64
	s := servicetest.Open(t, ebb.Options{}, service.Options{PromptLookup: 3, Step: func(s service.Step) {
		if s.Requests > 0 && s.Took > 0 {
			steps.Add(1)
		}
	}})
	c := counted{Service: s, t: t, tokens: new(atomic.Int64)}
	r := continued(someTokens(1, 50), 4)
	r.Salt, r.Conversation = "key", "chat 1"
	_, first, _ := c.answer(r)
	r.Prompt = slices.Concat(r.Prompt[:40], someTokens(2, 30))
	r.Salt = "key\x00more"
	c.answer(r)
	r.Salt = "key"
	_, u, _ := c.answer(r)
	if u.Diverged.Conversation != first.Conversation || u.Diverged.Token != 40 || u.Diverged.Of != 53 {
		t.Errorf("the prompt left %+v; want token 40 of 53 of %s", u.Diverged, first.Conversation)
	}
	if u.Cached != 40 || u.CachedBy.Device != 40 || u.Conversation == first.Conversation {
		t.Errorf("an edit: %+v", u)
	}
	all := s.Conversations("key")
	if len(all) != 3 || all[0].ID != u.Conversation || all[0].Name != "chat 1" || all[0].Tokens != 73 || all[0].Busy {
		t.Errorf("the conversations of a key are %+v", all)
	}
	if len(s.Conversations("k")) != 0 || len(s.Conversations("ke\x00")) != 0 {
		t.Error("another key sees conversations")
	}
	if err := s.DeleteConversation("other", u.Conversation); !errors.Is(err, conversation.ErrUnknown) {
		t.Errorf("another key deletes a conversation: %v", err)
	}
	if err := errors.Join(s.PinConversation("key", first.Conversation, true), s.DeleteConversation("key", u.Conversation)); err != nil {
		t.Error(err)
	}
	if stats := s.Stats(); stats.Answers != 3 || stats.Failed != 0 || stats.Prompt != 190 || stats.Cached.Device != 40 || stats.New != 12 || stats.Conversations.Conversations != 2 {
		t.Errorf("stats are %+v", stats)
	}
	if steps.Load() == 0 {
		t.Error("nobody heard of the steps")
	}
	long, err := s.Answer(t.Context(), continued(someTokens(3, 20), 30))
	if err != nil || !s.Ready() {
		t.Fatalf("ready: %v, %v", s.Ready(), err)
	}
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if texts, err := long.Texts(t.Context()); err != nil || len(texts[0].Tokens) != 30 {
		t.Errorf("an answer that was under way ended with %v", err)
	}
	if _, err := s.Answer(t.Context(), r); !errors.Is(err, service.ErrClosed) || s.Ready() {
		t.Errorf("a request after that: %v", err)
	}
}

// cancelSometime begins a random request, and cancels it after some events or closes its answer, if it has not
// ended by then.
func cancelSometime(t *testing.T, s *service.Service, random *rand.Rand, i int) {
	r := continued(someTokens(random.Uint64N(5), 1+random.IntN(80)), 1+random.IntN(6))
	if i%7 == 0 {
		r.Salt = "other"
	}
	switch i % 11 {
	case 0:
		r.Config.NumBeams = 2
	case 1:
		r.Config.NumReturnSequences, r.Config.DoSample = 2, true
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a, err := s.Answer(ctx, r)
	if err != nil {
		t.Error(err)
		return
	}
	left := random.IntN(8)
	if left == 0 {
		cancel()
	}
	for _, err := range a.Events(t.Context()) {
		if err != nil && !errors.Is(err, context.Canceled) && !strings.Contains(err.Error(), "closed") {
			t.Errorf("request %d: %v", i, err)
		}
		if left--; left == 0 && i%2 == 0 {
			cancel()
		} else if left == 0 {
			a.Close()
		}
	}
}

// Whenever requests are cancelled, nothing is left of them but what was computed.
func TestCancelledRequestsLeaveNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	e, err := ebb.Open(servicetest.WriteModel(t), ebb.Options{Context: 1024, StepTokens: 32})
	if err != nil {
		t.Fatal(err)
	}
	s, err := service.New(e, service.Options{CacheDir: t.TempDir(), CacheBytes: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(s.Close(), e.Close()); err != nil {
			t.Error(err)
		}
	}()
	none := e.Stats().Cache
	requests := 125 // of each of 8 workers
	if testing.Short() {
		requests = 20
	}
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for i := range requests {
				cancelSometime(t, s, random, i)
			}
		})
	}
	all.Wait()
	for s.Stats().Requests > 0 {
		time.Sleep(time.Millisecond)
	}
	if stats := s.Stats(); stats.Answers != 8*requests || stats.Cached.Device == 0 {
		t.Errorf("stats are %+v: want %d answers, some of which began", stats, 8*requests)
	}
	for _, owner := range []string{"", "other"} {
		for _, c := range s.Conversations(owner) {
			if c.Busy {
				t.Errorf("conversation %+v is busy, and there are no requests", c)
			}
			err := s.DeleteConversation(owner, c.ID)
			if c.InFiles && errors.Is(err, conversation.ErrUnknown) { // one that is written now has more of it, or is in its place
				continue
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	for range 1000 { // one may still be written
		if e.Stats().Cache.DeviceBytes == none.DeviceBytes {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if left := e.Stats().Cache; left.DeviceBytes != none.DeviceBytes || left.HostBytes != none.HostBytes {
		t.Errorf("without conversations %d bytes are left; want %d", left.DeviceBytes+left.HostBytes, none.DeviceBytes+none.HostBytes)
	}
	if now := runtime.NumGoroutine(); now > before+10 {
		t.Errorf("%d goroutines; there were %d", now, before)
	}
}

// Where a fork would have no room, or layers are streamed, the beginning is copied, and the conversation that
// it is of goes on with its own.
func TestBeginningsAreCopiedWhereForksHaveNoRoom(t *testing.T) {
	for _, policy := range []kv.Policy{kv.Auto, kv.Offloaded} {
		t.Run(policy.String(), func(t *testing.T) {
			c := openCounted(t, ebb.Options{Context: 512, Cache: policy, ForcedCopies: true})
			fresh := openCounted(t, ebb.Options{Context: 512, Cache: policy, ForcedCopies: true})
			talk := someTokens(1, 300)
			ids, _, _ := c.answer(continued(talk, 10))
			for i := range 3 {
				agent := slices.Concat(talk[:200], someTokens(uint64(2+i), 150))
				got, u, computed := c.answer(continued(agent, 100))
				if u.Cached != 200 || computed != 150+99 || u.Diverged.Token != 200 {
					t.Errorf("agent %d: %+v, and %d tokens were computed; want 200 and 249", i, u, computed)
				}
				if want, _, _ := fresh.answer(service.Request{Prompt: agent, Config: continued(nil, 100).Config, Salt: string(rune('a' + i))}); !slices.Equal(got, want) {
					t.Errorf("agent %d says %v; want %v", i, got, want)
				}
			}
			next := slices.Concat(talk, ids, someTokens(9, 10))
			if _, u, _ := c.answer(continued(next, 10)); u.Cached != 309 {
				t.Errorf("the next turn of the conversation found %+v; want 309 tokens", u)
			}
			if s := c.Stats().Conversations; s.Copied != 3 || s.Forked != 0 {
				t.Errorf("%+v; want three copies and no fork", s)
			}
		})
	}
}

// Idle conversations take no more host memory than they may.
func TestIdleConversationsAreBoundedInHostMemory(t *testing.T) {
	e, err := ebb.Open(servicetest.WriteModel(t), ebb.Options{Context: 1024, Cache: kv.Offloaded, ForcedCopies: true})
	if err != nil {
		t.Fatal(err)
	}
	bytes := 1024 * e.Stats().Cache.TokenBytes
	s, err := service.New(e, service.Options{HostBytes: bytes})
	if err != nil {
		t.Fatal(err)
	}
	c := counted{Service: s, t: t, tokens: new(atomic.Int64)}
	for i := range 8 {
		c.answer(continued(someTokens(uint64(i), 250), 4))
		for s.Stats().Requests > 0 {
			time.Sleep(time.Millisecond)
		}
		if now := e.Stats().Cache.HostBytes; now > bytes {
			t.Errorf("after %d conversations %d bytes are taken; %d are allowed", i+1, now, bytes)
		}
	}
	if stats := s.Stats().Conversations; stats.Lost == 0 || stats.Conversations < 3 {
		t.Errorf("%+v: want some conversations, and others lost", stats)
	}
	if err := errors.Join(s.Close(), e.Close()); err != nil {
		t.Error(err)
	}
}
