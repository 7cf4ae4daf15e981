package server

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// Whatever the body, a request is answered, or refused with an error in JSON that is not the server's fault.
func FuzzBodiesOfAllEndpoints(f *testing.F) {
	e, err := ebb.Open(servicetest.WriteModel(f), ebb.Options{Context: 64})
	if err != nil {
		f.Fatal(err)
	}
	sv, err := service.New(e, service.Options{Name: "a"})
	if err != nil {
		f.Fatal(err)
	}
	models := NewModels(0, Options{}.withDefaults().Log, Source{Open: func() (Loaded, error) { return &tiny{sv, e}, nil }})
	f.Cleanup(func() {
		if err := models.Close(); err != nil {
			f.Error(err)
		}
	})
	if err := models.Load(context.Background()); err != nil {
		f.Fatal(err)
	}
	s, err := New(Options{Models: models, Private: true})
	if err != nil {
		f.Fatal(err)
	}
	s.Ready()
	paths := append(slices.Sorted(maps.Keys(endpoints)),
		"/v1/messages/count_tokens", "/v1/responses/input_tokens", "/tokenize", "/detokenize", "/apply-template", "/api/show", "/v1/cache/conversations/x")
	for i, path := range paths {
		if body := endpoints[path]; body != nil {
			f.Add(byte(i), []byte(body("hello", 3, false)))
			f.Add(byte(i), []byte(body("\x00\xff", -1, true)))
		}
		for _, body := range []string{
			"", "null", "[]", "{", `{"messages": [{}]}`, `{"messages": [{"role": "tool", "content": [{"type": "text"}]}], "max_tokens": 2}`,
			`{"input": [{"type": "function_call"}]}`, `{"prompt": [[1, -1], "x"]}`, `{"tokens": [99999999]}`,
			`{"messages": [{"role": "user", "content": "refuse me"}], "max_tokens": 1e99, "tools": [{}], "tool_choice": "required"}`,
			`{"prompt": "x", "n": 1000000, "best_of": 0, "logprobs": 99, "max_tokens": 1, "format": {"type": 3}}`,
		} {
			f.Add(byte(i), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		path := paths[int(which)%len(paths)]
		r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
		r.Host = "localhost"
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusNotImplemented && w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
		}
		var refusal struct{ Error any }
		if err := json.Unmarshal(w.Body.Bytes(), &refusal); w.Code != http.StatusOK && (err != nil || refusal.Error == nil) {
			t.Errorf("%s: status %d without an error in JSON: %s", path, w.Code, w.Body)
		}
		if w.Code == http.StatusOK && strings.Contains(w.Body.String(), "internal_error") {
			t.Errorf("%s: the stream ends with %s", path, w.Body)
		}
	})
}
