package openai_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed4d217819/ebb/server/openai"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

func TestAnAnswerThatTheServerCutsSaysSo(t *testing.T) {
	ending := fmt.Errorf("%w: the server is about to end", service.ErrClosed)
	_, script := serve(t, "", service.Options{})
	cutAnswer := func(path, body string) *httptest.ResponseRecorder {
		ctx, cut := context.WithCancelCause(t.Context())
		defer cut(nil)
		var tokens atomic.Int64
		mux := http.NewServeMux()
		openai.New(service.Only(held{script.Answerer, func() error {
			if tokens.Add(1) == 4 {
				cut(ending)
			}
			return nil
		}}), wire.Options{}).Register(mux)
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		mux.ServeHTTP(w, r.WithContext(ctx))
		return w
	}
	const fault = `"type":"unavailable_error"`
	for range 8 { // who hears first of the end is another one each time
		for path, prompt := range map[string]string{"/v1/chat/completions": hi, "/v1/completions": `"prompt": "a", "max_tokens": -1`} {
			if w := cutAnswer(path, `{`+prompt+`, "ignore_eos": true}`); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), fault) {
				t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
			}
			w := cutAnswer(path, `{`+prompt+`, "ignore_eos": true, "stream": true}`)
			got := w.Body.String()
			began := w.Code == http.StatusOK // otherwise the end came before the stream, and the status says so
			if !strings.Contains(got, fault) || strings.HasSuffix(got, "\n\ndata: [DONE]\n\n") != began || !began && w.Code != http.StatusServiceUnavailable {
				t.Errorf("%s: the stream ends with %s, status %d", path, got[max(0, len(got)-300):], w.Code)
			}
		}
	}
}
