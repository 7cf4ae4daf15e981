package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed4d217819/ebb/server/wire"
)

// open makes a server of a pretended model that is loaded, with routes of the test's own.
func openServer(t *testing.T, o Options, routes map[string]http.HandlerFunc) *Server {
	t.Helper()
	o.Models = pretend(&notes{}, "a")
	t.Cleanup(func() {
		if err := o.Models.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for pattern, h := range routes {
		s.routes.HandleFunc(pattern, h)
	}
	s.Ready()
	return s
}

// ask sends a request to a handler. Headers are NAME: VALUE.
func ask(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader("{}"))
	r.Host = "127.0.0.1:8080"
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if r.Header.Set(name, value); name == "Host" {
			r.Host = value
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestClientsWithoutAKeyAreRefused(t *testing.T) {
	salt := func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, wire.Salt(r.Context(), "")) }
	s := openServer(t, Options{Keys: []Key{NewKey("first"), NewKey("second")}}, map[string]http.HandlerFunc{"GET /v1/salt": salt})
	salts := map[string]bool{}
	for _, tt := range []struct {
		path, header string
		status       int
	}{
		{"/v1/salt", "Authorization: Bearer first", 200},
		{"/v1/salt", "Authorization: bearer  second", 200},
		{"/v1/salt", "X-Api-Key: first", 200},
		{"/v1/salt", "X-Api-Key: firs", 401},
		{"/v1/salt", "Authorization: Basic first", 401},
		{"/v1/salt", "X: y", 401},
		{"/v1/nothing", "X: y", 401}, // what is there is nobody else's business
		{"/v1/messages", "X: y", 401},
		{"/api/chat", "X: y", 401},
		{"/metrics", "X: y", 401},
		{"/metrics", "X-Api-Key: second", 200},
		{"/debug/pprof/", "X: y", 401},
		{"/debug/pprof/", "X-Api-Key: second", 200},
		{"/health", "X: y", 200},
		{"/v1/health", "X: y", 200},
		{"/", "X: y", 200},
	} {
		w := ask(s, "GET", tt.path, tt.header)
		if w.Code != tt.status {
			t.Errorf("GET %s with %s: status %d, want %d", tt.path, tt.header, w.Code, tt.status)
		}
		if tt.path == "/v1/salt" && w.Code == 200 {
			salts[w.Body.String()] = true
		}
	}
	if len(salts) != 2 || salts[""] || salts["first"] {
		t.Errorf("the salts of two keys are %v", salts)
	}
	if a, b := NewKey("first"), NewKey("first"); a != b {
		t.Error("a key has another salt after a restart")
	}
	both := httptest.NewRequest("GET", "/v1/salt", nil)
	both.Header.Set("X-Api-Key", "first")
	both.Header.Set("Authorization", "Bearer none")
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, both); w.Code != http.StatusOK || !salts[w.Body.String()] {
		t.Errorf("a key beside a word that is none: status %d", w.Code)
	}
	keyless := openServer(t, Options{}, map[string]http.HandlerFunc{"GET /v1/salt": salt})
	if w := ask(keyless, "GET", "/v1/salt", "X-Api-Key: any"); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("without keys: status %d, salt %q", w.Code, w.Body)
	}
	if w := ask(keyless, "GET", "/debug/pprof/"); w.Code != 404 {
		t.Errorf("profiles without a key: status %d", w.Code)
	}
}

func TestErrorsHaveTheShapeOfTheirAPI(t *testing.T) {
	s := openServer(t, Options{}, map[string]http.HandlerFunc{"POST /v1/things": func(http.ResponseWriter, *http.Request) {}})
	for _, tt := range []struct {
		method, path, want string
		status             int
		allow              string
	}{
		{"GET", "/v1/nothing", `{"error":{"message":"there is nothing at GET /v1/nothing: /openapi.yaml describes what there is","type":"invalid_request_error","param":null,"code":"not_found"}}`, 404, ""},
		{"PUT", "/v1/things", `{"error":{"message":"/v1/things does not take PUT: want POST","type":"invalid_request_error","param":null,"code":"method_not_allowed"}}`, 405, "POST"},
		{"GET", "/v1/messages/x", `{"type":"error","error":{"type":"not_found_error","message":"there is nothing at GET /v1/messages/x: /openapi.yaml describes what there is"}}`, 404, ""},
		{"GET", "/api/nothing", `{"error":"there is nothing at GET /api/nothing: /openapi.yaml describes what there is"}`, 404, ""},
		{"GET", "/v1/messages", `{"type":"error","error":{"type":"not_found_error","message":"/v1/messages does not take GET: want POST"}}`, 405, "POST"},
		{"POST", "/v1/models", `{"error":{"message":"/v1/models does not take POST: want GET","type":"invalid_request_error","param":null,"code":"method_not_allowed"}}`, 405, "GET"},
		{"PATCH", "/api/chat", `{"error":"/api/chat does not take PATCH: want POST"}`, 405, "POST"},
		{"POST", "/v1/messages/batches", `{"type":"error","error":{"type":"not_found_error","message":"ebb does not offer batches of messages: send them at once, and one step serves all of them"}}`, 501, ""},
	} {
		w := ask(s, tt.method, tt.path)
		if got := strings.TrimSpace(w.Body.String()); got != tt.want || w.Code != tt.status {
			t.Errorf("%s %s: status %d, %s\nwant %s", tt.method, tt.path, w.Code, got, tt.want)
		}
		if allow := w.Header().Get("Allow"); allow != tt.allow {
			t.Errorf("%s %s: the header Allow is %q, want %q", tt.method, tt.path, allow, tt.allow)
		}
	}
	for path, to := range map[string]string{"/v1/things/": "/v1/things", "/api/chat/?a=b": "/api/chat?a=b", "//v1/things": "/v1/things"} {
		if w := ask(s, "POST", path); w.Code != http.StatusTemporaryRedirect || w.Header().Get("Location") != to {
			t.Errorf("%s: status %d, which leads to %q, want %q", path, w.Code, w.Header().Get("Location"), to)
		}
	}
}

func TestPagesOfOthersMayUseTheServerOnlyIfAllowed(t *testing.T) {
	routes := map[string]http.HandlerFunc{"POST /v1/things": func(http.ResponseWriter, *http.Request) {}, "GET /v1/things": func(http.ResponseWriter, *http.Request) {}}
	closed := openServer(t, Options{Private: true}, routes)
	network := openServer(t, Options{}, routes)
	some := openServer(t, Options{Origins: []string{"https://a.example"}}, routes)
	all := openServer(t, Options{Origins: []string{"*"}}, routes)
	keyed := openServer(t, Options{Origins: []string{"https://a.example"}, Keys: []Key{NewKey("k")}}, routes)
	for _, tt := range []struct {
		name    string
		s       *Server
		method  string
		headers []string
		status  int
		allow   string
	}{
		{"a program", closed, "POST", nil, 200, ""},
		{"its own page", closed, "POST", []string{"Origin: http://127.0.0.1:8080", "Sec-Fetch-Site: same-origin"}, 200, ""},
		{"a page of another", closed, "POST", []string{"Origin: https://a.example", "Sec-Fetch-Site: cross-site"}, 403, ""},
		{"a page of another in an old browser", closed, "POST", []string{"Origin: https://a.example"}, 403, ""},
		{"a page that is allowed", some, "POST", []string{"Origin: https://a.example", "Sec-Fetch-Site: cross-site"}, 200, "https://a.example"},
		{"a page that is not", some, "POST", []string{"Origin: https://b.example", "Sec-Fetch-Site: cross-site"}, 403, ""},
		{"reading, which the browser refuses to it", some, "GET", []string{"Origin: https://b.example", "Sec-Fetch-Site: cross-site"}, 200, ""},
		{"any page", all, "POST", []string{"Origin: https://b.example", "Sec-Fetch-Site: cross-site"}, 200, "https://b.example"},
		{"a preflight", some, "OPTIONS", []string{"Origin: https://a.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"}, 204, "https://a.example"},
		{"a preflight, which has no key", keyed, "OPTIONS", []string{"Origin: https://a.example", "Access-Control-Request-Method: POST"}, 204, "https://a.example"},
		{"a page with a key", keyed, "POST", []string{"Origin: https://c.example", "X-Api-Key: k"}, 200, ""},
		{"a name that leads here", closed, "GET", []string{"Host: rebound.example:8080"}, 403, ""},
		{"a name that leads here, with a key", keyed, "GET", []string{"Host: ebb.example", "X-Api-Key: k"}, 200, ""},
		{"a name that leads here from a network", network, "GET", []string{"Host: ebb.example"}, 200, ""},
		{"localhost", closed, "GET", []string{"Host: LocalHost.:8080"}, 200, ""},
		{"an address", closed, "GET", []string{"Host: [::1]:8080"}, 200, ""},
		{"an address", closed, "GET", []string{"Host: [::1]"}, 200, ""},
	} {
		w := ask(tt.s, tt.method, "/v1/things", tt.headers...)
		if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != tt.status || got != tt.allow {
			t.Errorf("%s: status %d, allowed %q; want %d, %q: %s", tt.name, w.Code, got, tt.status, tt.allow, w.Body)
		}
	}
	if w := ask(some, "OPTIONS", "/v1/things", "Origin: https://a.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"); w.Header().Get("Access-Control-Allow-Headers") != "authorization" {
		t.Errorf("a preflight is answered with %v", w.Header())
	}
	if w := ask(some, "GET", "/v1/nothing", "Origin: https://a.example"); !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "X-Should-Retry") || w.Header().Get("X-Should-Retry") == "" {
		t.Errorf("a page does not read whether to ask again: %v", w.Header())
	}
	if _, err := New(Options{Models: pretend(&notes{}, "a"), Origins: []string{"a.example"}}); err == nil {
		t.Error("an origin without a scheme is taken")
	}
}

func TestAPanicIsAnErrorOfItsRequest(t *testing.T) {
	var log bytes.Buffer
	s := openServer(t, Options{Log: slog.New(slog.NewJSONHandler(&log, nil))}, map[string]http.HandlerFunc{
		"GET /v1/early": func(http.ResponseWriter, *http.Request) { panic("oh") },
		"GET /v1/late": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic("oh")
		},
	})
	h := httptest.NewServer(s)
	defer h.Close()
	r, err := http.Get(h.URL + "/v1/early")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != 500 || !strings.Contains(string(body), r.Header.Get("X-Request-Id")) {
		t.Errorf("status %d, %s, %v", r.StatusCode, body, err)
	}
	if r, err = http.Get(h.URL + "/v1/late"); err == nil {
		_, err = io.ReadAll(r.Body)
	}
	if err == nil {
		t.Error("a response that was cut looks whole")
	}
	h.Close() // its requests are logged then
	if got := log.String(); strings.Count(got, `"panic":"oh"`) != 2 || !strings.Contains(got, "server_test.go") {
		t.Errorf("the log is %s", got)
	}
}

func TestTheLogSaysWhatHappenedAndNoText(t *testing.T) {
	var log bytes.Buffer
	s := openServer(t, Options{Log: slog.New(slog.NewJSONHandler(&log, nil))}, nil)
	w := ask(s, "GET", "/v1/secret?q=secret", "X-Request-Id: mine-1")
	var line struct {
		ID, Method, Path string
		Status           int
	}
	if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.ID != "mine-1" || line.Method != "GET" || line.Path != "/v1/secret" || line.Status != 404 {
		t.Errorf("%+v, %v", line, err)
	}
	if w.Header().Get("X-Request-Id") != "mine-1" || strings.Contains(log.String(), "q=") {
		t.Errorf("%v, %s", w.Header(), &log)
	}
	for _, id := range []string{"", "a b", strings.Repeat("x", 101), "a\"b"} {
		if w := ask(s, "GET", "/health", "X-Request-Id: "+id); !strings.HasPrefix(w.Header().Get("X-Request-Id"), "req_") {
			t.Errorf("the id %q is taken", id)
		}
	}
}

func TestWhatIsAskedEveryFewSecondsIsNotLogged(t *testing.T) {
	var log bytes.Buffer
	s := openServer(t, Options{Private: true, Log: slog.New(slog.NewTextHandler(&log, nil))}, nil)
	for _, path := range []string{"/health", "/metrics", "/v1/cache/conversations"} {
		if w := ask(s, "GET", path); w.Code != http.StatusOK {
			t.Errorf("%s has status %d", path, w.Code)
		}
	}
	if log.Len() > 0 {
		t.Errorf("the log has %s", &log)
	}
}

func TestHealthSaysWhetherRequestsAreAnswered(t *testing.T) {
	s, err := New(Options{Models: pretend(&notes{}, "a"), Drain: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, status int, want string) {
		t.Helper()
		for _, path := range []string{"/health", "/v1/health"} {
			if w := ask(s, "GET", path); w.Code != status || strings.TrimSpace(w.Body.String()) != want {
				t.Errorf("%s: status %d, %s", when, w.Code, w.Body)
			}
		}
	}
	check("while it loads", 503, `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`)
	s.routes.HandleFunc("POST /v1/things", func(http.ResponseWriter, *http.Request) {})
	if w := ask(s, "POST", "/v1/things"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a request while it loads: status %d, %v", w.Code, w.Header())
	}
	if w := ask(s, "GET", "/metrics"); w.Code != 200 || !strings.Contains(w.Body.String(), "ebb_model_loaded 0") {
		t.Errorf("metrics while it loads: status %d", w.Code)
	}
	s.Ready()
	check("when it is loaded", 200, `{"status":"ok"}`)
	s.drain(func(error) {})
	check("when it is about to end", 503, `{"error":{"code":503,"message":"The server is about to end","type":"unavailable_error"}}`)
}

func TestDrainingLetsAnswersEndOrCutsThem(t *testing.T) {
	entered, finish := make(chan struct{}), make(chan struct{})
	cause := make(chan error, 1)
	routes := map[string]http.HandlerFunc{"GET /v1/long": func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		select {
		case <-finish:
		case <-r.Context().Done():
			cause <- context.Cause(r.Context())
		}
		_, _ = io.WriteString(w, "whole")
	}}
	for _, tt := range []struct {
		name string
		ends bool
	}{{"answers end", true}, {"answers are cut", false}} {
		t.Run(tt.name, func(t *testing.T) {
			patience := time.Minute
			if !tt.ends {
				patience = 50 * time.Millisecond
			}
			s := openServer(t, Options{Drain: patience}, routes)
			l, err := Listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, end := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- s.Serve(ctx, l) }()
			answer := make(chan string, 1)
			go func() {
				r, err := http.Get(URL(l, false) + "/v1/long")
				if err != nil {
					answer <- err.Error()
					return
				}
				defer r.Body.Close()
				body, _ := io.ReadAll(r.Body)
				answer <- string(body)
			}()
			<-entered
			end()
			for s.state.refusal() == "" {
				time.Sleep(time.Millisecond)
			}
			if tt.ends {
				r, err := http.Get(URL(l, false) + "/v1/long")
				if err != nil || r.StatusCode != 503 {
					t.Errorf("a request meanwhile: %v, %v", r, err)
				}
				close(finish)
			}
			if got := <-answer; got != "whole" {
				t.Errorf("the answer is %q", got)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
			if !tt.ends {
				if err := <-cause; !errors.Is(err, errDraining) {
					t.Errorf("the answer was cut by %v", err)
				}
			}
			finish = make(chan struct{})
		})
	}
}

func TestSlowSendersAreCut(t *testing.T) {
	got := make(chan error, 1)
	s := openServer(t, Options{BodyTime: 50 * time.Millisecond}, map[string]http.HandlerFunc{
		"POST /v1/things": func(w http.ResponseWriter, r *http.Request) {
			_, fault := wire.Read(w, r, 0)
			if fault != nil {
				got <- fault
				_ = wire.JSON(w, fault.Status, fault.Message)
				return
			}
			time.Sleep(100 * time.Millisecond) // longer than the body may take: its deadline has ended
			got <- r.Context().Err()
		},
	})
	h := httptest.NewServer(s)
	defer h.Close()
	c, err := net.Dial("tcp", h.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /v1/things HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err == nil {
		t.Error("half a body was read")
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "HTTP/1.1 408" {
		t.Errorf("the answer is %q, %v", answer, err)
	}
	if _, err := http.Post(h.URL+"/v1/things", "", strings.NewReader("{}")); err != nil {
		t.Error(err)
	}
	if err := <-got; err != nil {
		t.Errorf("an answer that takes longer than a body may: %v", err)
	}
}

// A request that is refused is answered, and its connection closed, when its body has not arrived in time: net/http
// reads it before it sends the answer.
func TestSlowSendersOfWhatIsRefusedAreCut(t *testing.T) {
	for name, tt := range map[string]struct {
		o    Options
		head string
		want string
	}{
		"without a key":         {Options{Keys: []Key{NewKey("first")}}, "POST /v1/things HTTP/1.1\r\nHost: localhost\r\n", "HTTP/1.1 401"},
		"without a route":       {Options{}, "POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\n", "HTTP/1.1 404"},
		"from another's page":   {Options{}, "POST /v1/things HTTP/1.1\r\nHost: localhost\r\nOrigin: https://example.org\r\n", "HTTP/1.1 403"},
		"with another's name":   {Options{Private: true}, "POST /v1/things HTTP/1.1\r\nHost: example.org\r\n", "HTTP/1.1 403"},
		"with a slash too many": {Options{}, "POST /v1/things/ HTTP/1.1\r\nHost: localhost\r\n", "HTTP/1.1 307"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.o.BodyTime = 50 * time.Millisecond
			h := httptest.NewServer(openServer(t, tt.o, map[string]http.HandlerFunc{"POST /v1/things": func(http.ResponseWriter, *http.Request) {}}))
			defer h.Close()
			c, err := net.Dial("tcp", h.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(10 * time.Second)) // against a server that waits for ever
			if _, err := io.WriteString(c, tt.head+"Content-Length: 10\r\n\r\n{"); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(got), tt.want) {
				t.Errorf("the answer is %q, %v; want %s, and the end", got, err, tt.want)
			}
		})
	}
}

func TestResponsesAreKeptInTheirFolder(t *testing.T) {
	s := openServer(t, Options{Responses: t.TempDir()}, nil)
	if w := ask(s, "GET", "/v1/responses/resp_x"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "Response with id 'resp_x' not found.") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	models := pretend(&notes{}, "a")
	defer models.Close()
	if _, err := New(Options{Models: models, Responses: file}); err == nil {
		t.Error("a file is taken for a folder")
	}
}

// deadlines is a response whose connection has deadlines.
type deadlines struct {
	*httptest.ResponseRecorder
	write time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

func TestWhoReadsNothingIsCut(t *testing.T) {
	s := openServer(t, Options{}, map[string]http.HandlerFunc{"GET /v1/things": func(http.ResponseWriter, *http.Request) {}})
	for path, bounded := range map[string]bool{"/metrics": true, "/": true, "/v1/things": false} {
		w := &deadlines{httptest.NewRecorder(), time.Unix(1, 0)} // that of the request before
		r := httptest.NewRequest("GET", path, nil)
		s.ServeHTTP(w, r)
		if left := time.Until(w.write); w.write.IsZero() == bounded || bounded && (left <= 0 || left > time.Minute) {
			t.Errorf("%s may be read until %v", path, w.write)
		}
	}
}
