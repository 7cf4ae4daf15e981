package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/conversation"
	"github.com/seed4d217819/ebb/service"
)

// pretended is a model of which only the name is there.
type pretended struct {
	Loaded
	name  string
	notes *notes
}

func (p *pretended) Model() service.Model {
	return service.Model{Name: p.name, Context: 77, Requests: atOnce}
}
func (p *pretended) Engine() ebb.Stats                        { return ebb.Stats{} }
func (p *pretended) Stats() service.Stats                     { return service.Stats{} }
func (p *pretended) Conversations(string) []conversation.Info { return nil }
func (p *pretended) Close() error                             { p.notes.add("close " + p.name); return nil }

// notes are what has happened, in order.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line)
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lines)
}

// atOnce is how many requests a model that is pretended takes at once.
const atOnce = 9

// pretend has models that take a second to load. One that is called bad cannot be loaded, and of one that
// is called damaged that is known before.
func pretend(n *notes, names ...string) *Models {
	var sources []Source
	for _, name := range names {
		describe := func() (service.Model, error) {
			if name == "damaged" {
				return service.Model{}, errors.New("it is damaged")
			}
			return service.Model{Context: 55, Requests: atOnce}, nil
		}
		sources = append(sources, Source{Name: name, Describe: describe, Open: func() (Loaded, error) {
			time.Sleep(time.Second)
			if name == "bad" {
				return nil, errors.New("it is broken")
			}
			n.add("open " + name)
			return &pretended{name: name, notes: n}, nil
		}})
	}
	return NewModels(time.Minute, slog.New(slog.DiscardHandler), sources...)
}

func use(t *testing.T, m *Models, name string) (done func()) {
	t.Helper()
	a, done, err := m.Use(t.Context(), name)
	if err != nil {
		t.Error(err)
		return func() {}
	}
	if got := a.Model().Name; got != name {
		t.Errorf("asked for %s and got %s", name, got)
	}
	return done
}

func TestAnotherModelIsLoadedWhenTheAnswersHaveEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notes{}
		m := pretend(n, "a", "b")
		done := use(t, m, "a")
		entered := make(chan struct{})
		for range 3 { // they load it once
			go func() { defer use(t, m, "b")(); entered <- struct{}{} }()
		}
		synctest.Wait()
		if got := n.all(); !slices.Equal(got, []string{"open a"}) || m.Waiting() != 3 {
			t.Errorf("while a answers: %v, %d wait", got, m.Waiting())
		}
		done()
		done() // as a second call does nothing, b is not closed below its users
		for range 3 {
			<-entered
		}
		if got := n.all(); !slices.Equal(got, []string{"open a", "close a", "open b"}) {
			t.Errorf("%v", got)
		}
		if l := m.List(); len(l) != 2 || l[0].Name != "a" || l[0].Context != 55 || l[1].Context != 77 {
			t.Errorf("the list is %+v", l)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if _, _, err := m.Use(t.Context(), "a"); !errors.Is(err, service.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestAStreamOfRequestsStarvesNoOtherModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := pretend(&notes{}, "a", "b")
		ctx, end := context.WithCancel(t.Context())
		var streams sync.WaitGroup
		for range 2 {
			streams.Go(func() { // one of both uses a at any time
				for ctx.Err() == nil {
					if _, done, err := m.Use(ctx, "a"); err == nil {
						time.Sleep(10 * time.Second)
						done()
					}
				}
			})
			time.Sleep(5 * time.Second)
		}
		for range 3 {
			begun := time.Now()
			done := use(t, m, "b")
			if waited := time.Since(begun); waited > 15*time.Second { // an answer and two loads
				t.Errorf("b was waited for %v", waited)
			}
			done()
			time.Sleep(30 * time.Second)
		}
		end()
		streams.Wait()
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A request comes as soon as the one before is answered, a tenth of a second later, or when nobody waits any more.
func TestModelsDoNotChangeAtEachRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notes{}
		m := pretend(n, "a", "b")
		ctx, end := context.WithTimeout(t.Context(), 30*time.Second)
		defer end()
		answers := map[string]*atomic.Int64{"a": {}, "b": {}}
		var clients sync.WaitGroup
		for name, count := range answers {
			clients.Go(func() {
				for {
					_, done, err := m.Use(ctx, name)
					if err != nil {
						return
					}
					time.Sleep(100 * time.Millisecond)
					done()
					count.Add(1)
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
		clients.Wait()
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		// A load and a stay take a second each, and in a stay there are six or seven answers.
		if a, b, loads := answers["a"].Load(), answers["b"].Load(), len(n.all())/2; min(a, b) < 40 || loads > 16 {
			t.Errorf("%d and %d answers with %d loads", a, b, loads)
		}
	})
}

func TestAModelThatNobodyAsksDoesNotStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := pretend(&notes{}, "a", "b")
		defer m.Close()
		begun := time.Now()
		for range 5 { // of one client, which asks one after the other
			use(t, m, "a")()
			m.Peek(func(Loaded) {}) // who looks on does not use it
			use(t, m, "b")()
		}
		if took := time.Since(begun); took > 11*time.Second {
			t.Errorf("10 loads of a second took %v", took)
		}
	})
}

func TestWhatDoesNotLoadIsAnErrorOfItsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notes{}
		m := pretend(n, "a", "bad", "damaged")
		defer m.Close()
		for range 3 {
			use(t, m, "a")()
			for name, why := range map[string]string{"bad": "it is broken", "damaged": "it is damaged"} {
				_, _, err := m.Use(t.Context(), name)
				var failed *service.LoadError
				if !errors.As(err, &failed) || failed.Name != name || !strings.Contains(err.Error(), why) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if got := n.all(); !slices.Equal(got, []string{"open a", "close a", "open a"}) {
			t.Errorf("what does not load is tried again at once, or when it is known: %v", got)
		}
		time.Sleep(retryLoad)
		if _, _, err := m.Use(t.Context(), "bad"); err == nil || len(n.all()) != 4 {
			t.Errorf("later it is not tried again: %v, %v", err, n.all())
		}
		var unknown *service.UnknownModelError
		if _, _, err := m.Use(t.Context(), "c"); !errors.As(err, &unknown) || len(unknown.Known) != 3 {
			t.Errorf("a model that is not there: %v", err)
		}
	})
}

func TestWaitingForAModelHasABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := pretend(&notes{}, "a", "b")
		defer m.Close()
		done := use(t, m, "a")
		begun := time.Now()
		if _, _, err := m.Use(t.Context(), "b"); !errors.Is(err, service.ErrModelBusy) || time.Since(begun) != time.Minute {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := m.Use(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a client that goes away: %v", err)
		}
		use(t, m, "a")() // nobody waits for b any more
		done()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if _, _, err := m.Use(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) { // it is loaded all the same
			t.Errorf("a client that goes away while its model is loaded: %v", err)
		}
		use(t, m, "b")()
	})
}

// What any model may answer has none loaded beside what others wait for.
func TestWhichModelAnswersSoonest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := pretend(&notes{}, "a", "b")
		defer m.Close()
		soonest := func(when, want string) {
			t.Helper()
			for _, l := range m.List() {
				if l.Soonest != (l.Name == want) {
					t.Errorf("%s: %s answers soonest: %t; want %s to", when, l.Name, l.Soonest, want)
				}
			}
		}
		soonest("before all", "a")
		done := use(t, m, "a")
		soonest("a is loaded", "a")
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if _, _, err := m.Use(ctx, "b"); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		soonest("b is waited for while a stays", "a")
		time.Sleep(time.Second)
		soonest("b is the next one", "b")
		done()
		synctest.Wait()
		soonest("b is loading", "b")
		cancel()
		waiting.Wait()
		soonest("nobody waits for b any more", "b")
		time.Sleep(time.Second)
		synctest.Wait()
		soonest("b is loaded", "b")
	})
}

// many is a model with many conversations.
type many struct {
	pretended
	asked int // how often its engine was
}

func (l *many) Conversations(string) []conversation.Info { return make([]conversation.Info, 1000) }
func (l *many) Engine() ebb.Stats                        { l.asked++; return ebb.Stats{} }

// The page lists conversations each second.
func TestAListOfConversationsAsksTheEngineOnce(t *testing.T) {
	l := &many{pretended: pretended{name: "a", notes: &notes{}}}
	m := NewModels(0, slog.New(slog.DiscardHandler), Source{Name: "a", Open: func() (Loaded, error) { return l, nil }})
	defer m.Close()
	if err := m.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Models: m, Private: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Ready()
	if w := ask(s, "GET", "/v1/cache/conversations?limit=1"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"conversations":1000,`) || l.asked != 1 {
		t.Errorf("%d %s; the engine was asked %d times", w.Code, w.Body, l.asked)
	}
}

// Requests that wait for a model hold their bodies, and are as many as may wait for an answer.
func TestNotMoreWaitForAModelThanForAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := pretend(&notes{}, "a", "b")
		defer m.Close()
		done := use(t, m, "a")
		var waiting sync.WaitGroup
		for range atOnce {
			waiting.Go(func() { use(t, m, "b")() })
		}
		synctest.Wait()
		if _, _, err := m.Use(t.Context(), "b"); !errors.Is(err, service.ErrBusy) || m.Waiting() != atOnce {
			t.Errorf("while %d wait: %v", m.Waiting(), err)
		}
		use(t, m, "a")() // it need not wait while a stays
		time.Sleep(time.Second)
		if _, _, err := m.Use(t.Context(), "a"); !errors.Is(err, service.ErrBusy) {
			t.Errorf("behind %d that wait: %v", m.Waiting(), err)
		}
		done()
		waiting.Wait()
	})
}

func TestOneModelHasAnyName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := pretend(&notes{}, "a")
		defer m.Close()
		if m.Peek(func(Loaded) {}) {
			t.Error("a model is there that was not loaded")
		}
		if err := m.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"", "claude-haiku-4-5"} {
			a, done, err := m.Use(t.Context(), name)
			if err != nil || a.Model().Name != "a" {
				t.Fatalf("%q: %v", name, err)
			}
			done()
		}
	})
}
