package server

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// A model that takes 20 seconds to load has its streams say twice that they go on, in the words of their API.
// What happens then is an event; before, it would have been a status.
func TestStreamsSayThatTheirModelIsLoading(t *testing.T) {
	path := servicetest.WriteModel(t)
	synctest.Test(t, func(t *testing.T) {
		source := func(name string, takes time.Duration) Source {
			return Source{Name: name, Open: func() (Loaded, error) {
				time.Sleep(takes)
				if strings.HasPrefix(name, "bad") {
					return nil, errors.New("no")
				}
				e, err := ebb.Open(path, ebb.Options{Context: 256})
				if err != nil {
					return nil, err
				}
				s, err := service.New(e, service.Options{Name: name})
				if err != nil {
					return nil, errors.Join(err, e.Close())
				}
				return &tiny{s, e}, nil
			}}
		}
		const long = 20 * time.Second
		m := NewModels(0, slog.New(slog.DiscardHandler), source("a", long), source("b", long), source("bad", 0), source("bad-late", long))
		s, err := New(Options{Models: m, Private: true})
		if err != nil {
			t.Fatal(err)
		}
		s.Ready()
		stream := func(path, model, body string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("POST", path, strings.NewReader(`{"model": "`+model+`", "stream": true, `+body+`}`))
			r.Host = "localhost"
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			return w
		}
		const failed = `cannot be loaded: the log of the server says why`
		hi := `"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2`
		for _, tt := range []struct {
			path, body  string
			beats       []string // in their order, before anything else
			last, error string
		}{
			{"/v1/chat/completions", hi, []string{`"delta":{"role":"assistant","content":""}`, `"delta":{"content":""}`}, "data: [DONE]", `data: {"error":{"message":"`},
			{"/v1/completions", `"prompt": "a", "max_tokens": 2`, []string{`"text":""`, `"text":""`}, "data: [DONE]", `data: {"error":{"message":"`},
			{"/v1/responses", `"input": "hi", "max_output_tokens": 2`, []string{`"response.created"`, `"response.in_progress"`, `"response.in_progress"`}, `{"type":"response.incomplete"`, `{"type":"response.failed"`},
			{"/v1/messages", hi, []string{`{"type":"ping"}`, `{"type":"ping"}`, `{"type":"message_start"`}, `{"type":"message_stop"`, "event: error\ndata: {\"type\":\"error\""},
			{"/api/chat", `"messages": [{"role": "user", "content": "hi"}], "options": {"num_predict": 2}`, []string{`"content":""},"done":false`, `"content":""},"done":false`}, `"done":true`, `{"error":"`},
			{"/api/generate", `"prompt": "hi", "options": {"num_predict": 2}`, []string{`"response":"","done":false`, `"response":"","done":false`}, `"done":true`, `{"error":"`},
		} {
			for _, model := range []string{"a", "b"} {
				w := stream(tt.path, model, tt.body)
				separator := "\n\n"
				if strings.HasPrefix(tt.path, "/api/") {
					separator = "\n"
				}
				events := strings.Split(strings.TrimSuffix(w.Body.String(), separator), separator)
				for i, beat := range tt.beats {
					if len(events) <= len(tt.beats) || !strings.Contains(events[i], beat) {
						t.Fatalf("%s: event %d is not %s: %s", tt.path, i, beat, w.Body)
					}
				}
				if last := events[len(events)-1]; !strings.Contains(last, tt.last) || w.Code != 200 {
					t.Errorf("%s: status %d, and the end is %s", tt.path, w.Code, last)
				}
			}
			if w := stream(tt.path, "bad", tt.body); w.Code != 500 || !strings.Contains(w.Body.String(), failed) {
				t.Errorf("%s of a model that fails at once: status %d, %s", tt.path, w.Code, w.Body)
			}
			if w := stream(tt.path, "bad-late", tt.body); w.Code != 200 || !strings.Contains(w.Body.String(), failed) || !strings.Contains(w.Body.String(), tt.error) {
				t.Errorf("%s of a model that fails late: status %d, %s", tt.path, w.Code, w.Body)
			}
			time.Sleep(retryLoad)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}
