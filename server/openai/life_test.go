package openai_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4d217819/ebb/sample"
	"github.com/seed4d217819/ebb/server/openai"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// held is a model that calls before ahead of each new token.
type held struct {
	service.Answerer
	before func() error
}

// Answer answers a request.
func (h held) Answer(ctx context.Context, r service.Request) (*service.Answer, error) {
	wait := sample.Func(func([]int32, []float32) error { return h.before() })
	r.Config.Processors = append(slices.Clip(r.Config.Processors), wait)
	return h.Answerer.Answer(ctx, r)
}

// serveHeld serves a model that calls before ahead of each new token. ended gets an element when a
// handler has returned.
func serveHeld(t *testing.T, o service.Options, patience time.Duration, before func() error) (server *httptest.Server, ended chan struct{}) {
	t.Helper()
	_, script := serve(t, "", o)
	mux := http.NewServeMux()
	openai.New(service.Only(held{script.Answerer, before}), wire.Options{Patience: patience}).Register(mux)
	ended = make(chan struct{}, 100)
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r)
		ended <- struct{}{}
	}))
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if tcp, ok := c.(*net.TCPConn); ok && state == http.StateNew {
			_ = tcp.SetWriteBuffer(1) // as small as the system allows
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server, ended
}

// open sends a request and returns the response with its body unread.
func open(ctx context.Context, t *testing.T, server *httptest.Server, body string) (*http.Response, *bufio.Scanner) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return response, bufio.NewScanner(response.Body)
}

const endless = `{` + hi + `, "stream": true, "ignore_eos": true}`

func TestAStreamBeatsWhileThereAreNoNews(t *testing.T) {
	release := make(chan struct{})
	server, _ := serveHeld(t, service.Options{Beat: time.Millisecond}, 0, func() error { <-release; return nil })
	response, lines := open(t.Context(), t, server, `{`+hi+`, "stream": true, "max_tokens": 2}`)
	defer response.Body.Close()
	beats := 0
	for lines.Scan() {
		switch {
		case strings.Contains(lines.Text(), `"delta":{"content":""},"finish_reason":null`):
			if beats++; beats == 3 {
				close(release)
			}
		case strings.HasPrefix(lines.Text(), ":"):
			t.Errorf("a comment: %s", lines.Text())
		}
	}
	if beats < 3 {
		t.Errorf("%d beats", beats)
	}
}

func TestAnErrorInTheMiddleIsTold(t *testing.T) {
	var tokens atomic.Int64
	server, _ := serveHeld(t, service.Options{}, 0, func() error {
		if tokens.Add(1)%3 == 0 {
			return errors.New("the disk is full")
		}
		return nil
	})
	status, got := do(t, server, http.MethodPost, "/v1/chat/completions", `{`+hi+`, "stream": true, "ignore_eos": true, "stream_options": {"include_usage": true}}`)
	lines := events(t, got)
	n := len(lines)
	if status != http.StatusOK || n < 3 || lines[n-1] != "[DONE]" || !strings.Contains(lines[n-2], `the disk is full","type":"server_error"`) || strings.Contains(got, `"finish_reason":"`) {
		t.Errorf("%d %s", status, got)
	}
	status, got = do(t, server, http.MethodPost, "/v1/chat/completions", `{`+hi+`, "ignore_eos": true}`)
	if status != http.StatusInternalServerError || !strings.Contains(got, "the disk is full") {
		t.Errorf("%d %s", status, got)
	}
}

func TestAClientThatGoesAwayEndsItsComputation(t *testing.T) {
	var tokens atomic.Int64
	begun, release := make(chan struct{}, 1000), make(chan struct{})
	server, ended := serveHeld(t, service.Options{Queue: 1}, 0, func() error {
		tokens.Add(1)
		begun <- struct{}{}
		<-release
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	response, _ := open(ctx, t, server, endless)
	defer response.Body.Close()
	<-begun
	status, got := do(t, server, http.MethodPost, "/v1/completions", `{"prompt": "a"}`)
	if status != http.StatusTooManyRequests || !strings.Contains(got, `"code":"queue_full"`) {
		t.Errorf("with a full queue: %d %s", status, got)
	}
	<-ended
	cancel()
	<-ended
	close(release)
	for status != http.StatusOK { // the answer ends with the step
		status, _ = do(t, server, http.MethodPost, "/v1/completions", `{"prompt": "a", "max_tokens": 1}`)
	}
	if n := tokens.Load(); n > 3 {
		t.Errorf("%d tokens were computed for a client that had gone and one more", n)
	}
}

func TestASlowReaderHoldsNobody(t *testing.T) {
	server, ended := serveHeld(t, service.Options{}, 50*time.Millisecond, func() error { return nil })
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.(*net.TCPConn).SetReadBuffer(1); err != nil { //nolint:forcetypeassert // it is TCP
		t.Fatal(err)
	}
	body := `{` + hi + `, "stream": true, "ignore_eos": true, "n": 4}`
	if _, err := fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(c, first); err != nil {
		t.Fatal(err)
	}
	status, got := do(t, server, http.MethodPost, "/v1/chat/completions", `{`+hi+`, "max_tokens": 50}`)
	if status != http.StatusOK {
		t.Errorf("beside a slow reader: %d %s", status, got)
	}
	<-ended
	<-ended // the slow reader's handler does not wait for ever
}

func TestClientsThatGoAwayLeaveNoGoroutine(t *testing.T) {
	server, ended := serveHeld(t, service.Options{}, 0, func() error { return nil })
	before := runtime.NumGoroutine()
	for i := range 30 {
		ctx, cancel := context.WithCancel(t.Context())
		response, lines := open(ctx, t, server, endless)
		for range i {
			lines.Scan()
		}
		cancel()
		_ = response.Body.Close()
		<-ended
	}
	server.Client().CloseIdleConnections()
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if i == 500 {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func FuzzBodies(f *testing.F) {
	for _, body := range []string{
		`{` + hi + `, "max_tokens": 2, "n": 2, "stream": true, "stream_options": {"include_usage": true}}`,
		`{` + hi + `, "logprobs": true, "top_logprobs": 20, "max_tokens": 3, "num_beams": 2, "num_beam_groups": 2, "diversity_penalty": 1}`,
		`{` + hi + `, "response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": ["a"]}}}, "tools": [], "tool_choice": null}`,
		`{"messages": [{"role": "tool", "tool_call_id": "", "content": []}, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[["}}]}]}`,
		`{"messages": [null], "chat_template_kwargs": {"messages": 5}, "reasoning_effort": "none"}`,
		`{"prompt": [[1, 2], [3]], "echo": true, "logprobs": 5, "max_tokens": 0}`,
		`{"prompt": ["\ud800", "\u0000"], "max_tokens": 1, "logit_bias": {"3": 1e-3}, "seed": -5, "min_tokens": 4}`,
		`{"prompt": "a", "prompt_lookup_num_tokens": 3, "temperature": 0, "stop": [""], "presence_penalty": -2, "max_tokens": 9}`,
		`{"content": "a", "tokens": [1], "with_pieces": true}`,
	} {
		f.Add(body)
	}
	server, _ := serve(f, "", service.Options{})
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize", "/apply-template"} {
			status, got := do(t, server, http.MethodPost, path, body)
			stream := strings.HasPrefix(got, "data: ")
			if status != http.StatusOK && status != http.StatusBadRequest || !stream && !json.Valid([]byte(got)) || stream && !strings.HasSuffix(got, "data: [DONE]\n\n") {
				t.Errorf("%s %s: %d %s", path, body, status, got)
			}
			if strings.Contains(got, `"server_error"`) {
				t.Errorf("%s %s: %s", path, body, got)
			}
		}
	})
}
