package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/generation"
	"github.com/seed4d217819/ebb/server/metrics"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
	"github.com/seed4d217819/ebb/session"
)

// tiny is a tiny model that answers.
type tiny struct {
	*service.Service
	engine *ebb.Engine
}

func (l *tiny) Engine() ebb.Stats { return l.engine.Stats() }
func (l *tiny) Close() error      { return errors.Join(l.Service.Close(), l.engine.Close()) }

// openTiny has tiny models.
func openTiny(t *testing.T, counts *metrics.Metrics, names ...string) *Models {
	t.Helper()
	path := servicetest.WriteModel(t)
	var sources []Source
	for _, name := range names {
		sources = append(sources, Source{Name: name, Open: func() (Loaded, error) {
			e, err := ebb.Open(path, ebb.Options{Context: 512})
			if err != nil {
				return nil, err
			}
			s, err := service.New(e, service.Options{Name: name, Step: counts.Step})
			if err != nil {
				return nil, errors.Join(err, e.Close())
			}
			return &tiny{s, e}, nil
		}})
	}
	m := NewModels(0, slog.New(slog.DiscardHandler), sources...)
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// say sends a message and returns the status.
func say(t *testing.T, s *Server, model, key, text string) int {
	t.Helper()
	body := fmt.Sprintf(`{"model": %q, "stream": false, "options": {"temperature": 0, "num_predict": 3}, "messages": [{"role": "user", "content": %q}]}`, model, text)
	r := httptest.NewRequest("POST", "/api/chat", strings.NewReader(body))
	r.Host = "localhost"
	r.Header.Set("X-Api-Key", key)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code
}

func TestConversationsAreSeenUnderTheirKeyAlone(t *testing.T) {
	var log bytes.Buffer
	counts := metrics.New()
	s, err := New(Options{
		Models: openTiny(t, counts, "a"), Keys: []Key{NewKey("first"), NewKey("second")}, Metrics: counts, Log: slog.New(slog.NewJSONHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.options.Models.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Ready()
	const text = "a secret that is long enough to be found again"
	for _, key := range []string{"first", "second"} {
		if status := say(t, s, "a", key, text); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
	got := ask(s, "GET", "/metrics", "X-Api-Key: first").Body.String()
	for _, want := range []string{
		`ebb_prompts_total{found="new"} 2`, `ebb_prompts_total{found="continued"} 0`, `ebb_prompts_total{found="forked"} 0`,
		`ebb_answers_total{end="whole"} 2`, "ebb_new_tokens_total 6", "ebb_conversations 2", "ebb_answer_seconds_count 2",
		`ebb_http_requests_total{route="POST /api/chat",status="2xx"} 2`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("the metrics have no %s", want)
		}
	}
	if !strings.Contains(log.String(), `"model":"a","prompt":`) || strings.Contains(log.String(), "secret") {
		t.Errorf("the log is %s", &log)
	}

	list := func(key string) (of struct{ Data []kept }) {
		w := ask(s, "GET", "/v1/cache/conversations", "X-Api-Key: "+key)
		if err := json.Unmarshal(w.Body.Bytes(), &of); err != nil || strings.Contains(w.Body.String(), "secret") {
			t.Fatalf("%s: %v", w.Body, err)
		}
		return of
	}
	first, second := list("first").Data, list("second").Data
	if len(first) != 1 || len(second) != 1 || first[0].ID == second[0].ID || first[0].State != "idle" || first[0].Tokens == 0 ||
		first[0].Bytes.Device == 0 {
		t.Fatalf("%+v and %+v", first, second)
	}
	path := "/v1/cache/conversations/" + first[0].ID
	file := ask(s, "GET", path+"/file", "X-Api-Key: first")
	name := filepath.Join(t.TempDir(), "exported")
	if err := os.WriteFile(name, file.Body.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := session.Open(name); err != nil || len(f.Header().Tokens) != first[0].Tokens {
		t.Errorf("the exported file: status %d, %v", file.Code, err)
	} else if err := f.Close(); err != nil {
		t.Error(err)
	}
	bounded := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	export := httptest.NewRequest("GET", path+"/file", nil)
	export.Header.Set("X-Api-Key", "first")
	if s.ServeHTTP(bounded, export); time.Until(bounded.write) <= 0 {
		t.Error("an export may be read without an end")
	}
	for _, tt := range []struct {
		method, path, key string
		status            int
	}{
		{"GET", path, "second", 404},
		{"GET", path + "/file", "second", 404},
		{"DELETE", path, "second", 404},
		{"POST", path, "first", 400}, // it says nothing
		{"GET", path, "first", 200},
		{"GET", "/slots", "first", 200},
		{"DELETE", path, "first", 200},
		{"DELETE", path, "first", 404},
	} {
		if w := ask(s, tt.method, tt.path, "X-Api-Key: "+tt.key); w.Code != tt.status {
			t.Errorf("%s %s as %s: status %d, %s", tt.method, tt.path, tt.key, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest("POST", "/v1/cache/conversations/"+second[0].ID, strings.NewReader(`{"pinned": true}`))
	r.Header.Set("X-Api-Key", "second")
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != 200 || !list("second").Data[0].Pinned {
		t.Errorf("pinning: status %d, %s", w.Code, w.Body)
	}
	if len(list("first").Data) != 0 {
		t.Error("a conversation that was deleted is there")
	}
}

func TestConversationsAreHiddenFromANetworkWithoutKeys(t *testing.T) {
	for _, private := range []bool{false, true} {
		s := openServer(t, Options{Private: private}, nil)
		want := http.StatusForbidden
		if private {
			want = http.StatusNotFound
		}
		if w := ask(s, "GET", "/v1/cache/conversations/x"); w.Code != want {
			t.Errorf("private %v: status %d, %s", private, w.Code, w.Body)
		}
	}
}

func TestRequestsOfTwoModels(t *testing.T) {
	counts := metrics.New()
	s, err := New(Options{Models: openTiny(t, counts, "a", "b"), Metrics: counts})
	if err != nil {
		t.Fatal(err)
	}
	s.Ready()
	var clients sync.WaitGroup
	for _, model := range []string{"a", "b"} {
		for range 3 {
			clients.Go(func() {
				for range 3 {
					if status := say(t, s, model, "", "Hello."); status != http.StatusOK {
						t.Errorf("%s: status %d", model, status)
					}
				}
			})
		}
	}
	clients.Wait()
	r := httptest.NewRequest("POST", "/v1/messages", strings.NewReader(`{"model": "claude-haiku-4-5", "max_tokens": 1, "messages": [{"role": "user", "content": "Hello."}]}`))
	w := httptest.NewRecorder()
	loaded := ""
	s.options.Models.Peek(func(l Loaded) { loaded = l.Model().Name })
	if s.ServeHTTP(w, r); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"model":"claude-haiku-4-5"`) {
		t.Errorf("a model of Anthropic's: status %d, %s", w.Code, w.Body)
	}
	s.options.Models.Peek(func(l Loaded) {
		if name := l.Model().Name; name != loaded {
			t.Errorf("%s was loaded for it, and %s was there", name, loaded)
		}
	})
	if status := say(t, s, "c", "", "Hello."); status != http.StatusNotFound {
		t.Errorf("a model that is not there: status %d", status)
	}
}

// An answer that nobody reads any more, or slowly, is whole when its model is closed.
func TestWhoReadsSlowlyKeepsNoModel(t *testing.T) {
	m := openTiny(t, metrics.New(), "a", "b")
	begin := func(name string) *service.Answer {
		t.Helper()
		model, done, err := m.Use(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		a, err := model.Answer(t.Context(), service.Request{Prompt: []int32{5, 6, 7}, Config: ebb.GenerationConfig{MaxNewTokens: 40, EOSTokenID: generation.TokenIDs{}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.Close)
		return a
	}
	read := func(a *service.Answer) string {
		t.Helper()
		texts, err := a.Texts(t.Context())
		if err != nil || len(texts) != 1 || len(texts[0].Tokens) != 40 {
			t.Fatal(texts, err)
		}
		return texts[0].Message.Content
	}
	slow := begin("a")
	next, stop := iter.Pull2(slow.Events(t.Context()))
	defer stop()
	var beginning string
	for beginning == "" { // the rest is not read yet
		e, _, _ := next()
		beginning = e.Part.Text
	}
	unread := begin("a")
	read(begin("b")) // a is closed for that
	if m.Peek(func(l Loaded) { beginning += l.Model().Name }); !strings.HasSuffix(beginning, "b") {
		t.Error("b is not loaded")
	}
	got := strings.TrimSuffix(beginning, "b")
	for e, err, more := next(); more; e, err, more = next() {
		if err != nil {
			t.Fatal(err)
		}
		got += e.Part.Text
	}
	want := read(begin("a"))
	if other := read(unread); got != want || other != want || want == "" {
		t.Errorf("read slowly it is %q, unread %q, want %q", got, other, want)
	}
}

// stuck is a response that its client does not read before it is free.
type stuck struct {
	*httptest.ResponseRecorder
	begun, free chan struct{}
	once        sync.Once
}

func (s *stuck) Write(data []byte) (int, error) {
	s.once.Do(func() { close(s.begun); <-s.free })
	return s.ResponseRecorder.Write(data)
}

func TestAClientThatDoesNotReadKeepsNoModel(t *testing.T) {
	counts := metrics.New()
	s, err := New(Options{Models: openTiny(t, counts, "a", "b"), Metrics: counts})
	if err != nil {
		t.Fatal(err)
	}
	s.Ready()
	hi := `"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3`
	for path, tt := range map[string]struct{ body, end string }{
		"/v1/chat/completions": {hi, "data: [DONE]\n\n"},
		"/v1/completions":      {`"prompt": ["a", "b"], "max_tokens": 3`, "data: [DONE]\n\n"},
		"/v1/responses":        {`"input": "hi", "max_output_tokens": 3`, "\n\n"},
		"/v1/messages":         {hi, "data: {\"type\":\"message_stop\"}\n\n"},
		"/api/chat":            {hi + `, "options": {"num_predict": 3}`, "}\n"},
	} {
		w := &stuck{httptest.NewRecorder(), make(chan struct{}), make(chan struct{}), sync.Once{}}
		var client sync.WaitGroup
		client.Go(func() {
			s.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(`{"model": "a", "stream": true, `+tt.body+`}`)))
		})
		<-w.begun
		if status := say(t, s, "b", "", "Hello."); status != http.StatusOK { // a is closed for it
			t.Errorf("%s: beside it another model has status %d", path, status)
		}
		close(w.free)
		client.Wait()
		if got := w.Body.String(); w.Code != http.StatusOK || !strings.HasSuffix(got, tt.end) || strings.Contains(got, `"error":{`) {
			t.Errorf("%s: status %d, %s", path, w.Code, got)
		}
	}
}
