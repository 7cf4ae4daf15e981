package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/server/metrics"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
	"github.com/seed4d217819/ebb/trace"
)

// running is a server on a socket, with a tiny model.
type running struct {
	t       *testing.T
	url     string
	server  *Server
	tiny    *tiny
	tokens  *atomic.Int64 // that steps have computed
	client  *http.Client
	end     context.CancelFunc
	served  chan error
	answers *Models
	hold    atomic.Pointer[hold] // nil: none
}

// hold holds the goroutine that computes at the end of a step.
type hold struct {
	at   int64 // tokens that steps have computed
	held chan struct{}
	let  chan struct{}
}

// holdAt holds the goroutine that computes at the end of the step with which steps have computed some tokens.
func (r *running) holdAt(tokens int64) *hold {
	h := &hold{at: tokens, held: make(chan struct{}), let: make(chan struct{})}
	r.hold.Store(h)
	return h
}

// start starts a server. Its engine and its service have the options.
func start(t *testing.T, model string, engine ebb.Options, o service.Options, server Options) *running {
	t.Helper()
	return startWith(t, model, engine, o, server, func(l *tiny) Loaded { return l })
}

// startWith starts a server of a model that answers as loaded says. Its connections are as accepted leaves them.
func startWith(t *testing.T, model string, engine ebb.Options, o service.Options, server Options, loaded func(*tiny) Loaded, accepted ...func(net.Conn)) *running {
	t.Helper()
	r := &running{t: t, tokens: new(atomic.Int64), served: make(chan error, 1), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
	engine.Trace = func(s trace.Span) {
		if s.Track == trace.Step && s.Name == "step" {
			computed := r.tokens.Add(int64(s.Tokens))
			if h := r.hold.Load(); h != nil && computed >= h.at && r.hold.CompareAndSwap(h, nil) {
				close(h.held)
				<-h.let
			}
		}
	}
	counts := metrics.New()
	o.Name, o.Step = "a", counts.Step
	r.answers = NewModels(0, server.withDefaults().Log, Source{Name: "a", Open: func() (Loaded, error) {
		e, err := ebb.Open(model, engine)
		if err != nil {
			return nil, err
		}
		s, err := service.New(e, o)
		if err != nil {
			return nil, errors.Join(err, e.Close())
		}
		r.tiny = &tiny{s, e}
		return loaded(r.tiny), nil
	}})
	if err := r.answers.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.Models, server.Metrics, server.Private, server.Drain = r.answers, counts, true, time.Millisecond
	var err error
	if r.server, err = New(server); err != nil {
		t.Fatal(err)
	}
	r.server.Ready()
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = URL(l, false)
	var ctx context.Context
	ctx, r.end = context.WithCancel(context.Background())
	go func() { r.served <- r.server.Serve(ctx, &accepting{l, accepted}) }()
	return r
}

// accepting is a listener that does something with the connections that it accepts.
type accepting struct {
	net.Listener
	accepted []func(net.Conn)
}

func (l *accepting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		for _, do := range l.accepted {
			do(c)
		}
	}
	return c, err
}

// close ends the server and closes its model: what was not written to files is lost, as when the process is
// killed.
func (r *running) close() {
	r.t.Helper()
	r.client.CloseIdleConnections()
	r.end()
	if err := errors.Join(<-r.served, r.answers.Close()); err != nil {
		r.t.Error(err)
	}
}

// post begins a request.
func (r *running) post(ctx context.Context, key, path, body string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Api-Key", key)
	return r.client.Do(request)
}

// complete continues a prompt greedily, and returns the text and how many of the prompt's tokens were there.
func (r *running) complete(key, prompt string, more int) (text string, cached, tokens int) {
	r.t.Helper()
	response, err := r.post(r.t.Context(), key, "/v1/completions", completion(prompt, more, false))
	if err != nil {
		r.t.Error(err)
		return "", 0, 0
	}
	defer response.Body.Close()
	var got struct {
		Choices []struct{ Text string }
		Usage   struct {
			Prompt  int `json:"prompt_tokens"`
			Details struct {
				Cached int `json:"cached_tokens"`
			} `json:"prompt_tokens_details"`
		}
	}
	data, err := io.ReadAll(response.Body)
	if err = errors.Join(err, json.Unmarshal(data, &got)); err != nil || response.StatusCode != http.StatusOK || len(got.Choices) != 1 {
		r.t.Errorf("status %d, %v: %.300s", response.StatusCode, err, data)
		return "", 0, 0
	}
	return got.Choices[0].Text, got.Usage.Details.Cached, got.Usage.Prompt
}

func object(fields map[string]any) string {
	data, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func completion(prompt string, more int, stream bool) string {
	return object(map[string]any{"model": "a", "prompt": prompt, "max_tokens": more, "stream": stream, "temperature": 0, "ignore_eos": true})
}

// endpoints have the bodies by which a text is continued.
var endpoints = map[string]func(text string, more int, stream bool) string{
	"/v1/completions": completion,
	"/v1/chat/completions": func(text string, more int, stream bool) string {
		return object(map[string]any{"model": "a", "messages": said(text), "max_tokens": more, "stream": stream, "ignore_eos": true})
	},
	"/v1/responses": func(text string, more int, stream bool) string {
		return object(map[string]any{"model": "a", "input": text, "max_output_tokens": more, "stream": stream})
	},
	"/v1/messages": func(text string, more int, stream bool) string {
		return object(map[string]any{"model": "a", "messages": said(text), "max_tokens": more, "stream": stream})
	},
	"/api/chat": func(text string, more int, stream bool) string {
		return object(map[string]any{"model": "a", "messages": said(text), "stream": stream, "options": map[string]any{"num_predict": more}})
	},
	"/api/generate": func(text string, more int, stream bool) string {
		return object(map[string]any{"model": "a", "prompt": text, "stream": stream, "options": map[string]any{"num_predict": more}})
	},
}

func said(text string) []map[string]string {
	return []map[string]string{{"role": "user", "content": text}}
}

// words returns a text of n letters, whose beginnings are the same for the same seed.
func words(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 0))
	var b strings.Builder
	for range n {
		b.WriteByte(" abcdefghijklmnopqrstuvwxyz"[r.IntN(27)])
	}
	return b.String()
}

// files returns how many files the process has open, where the system says so.
func files() int {
	all, _ := os.ReadDir("/proc/self/fd") // elsewhere there is none
	return len(all)
}

// memory returns how many bytes the K/V of a context take.
func memory(t *testing.T, model string, context int) int64 {
	t.Helper()
	e, err := ebb.Open(model, ebb.Options{Context: context})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return int64(context) * e.Stats().Cache.TokenBytes
}

// eventually waits until something is so.
func eventually(t *testing.T, so func() bool, format string, args ...any) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf(format+"\n%s", append(args, stacks[:runtime.Stack(stacks, true)])...)
		}
	}
}

// Whenever clients go away, nothing is left of their requests but conversations: no goroutine, no file, no
// place in the queue, no byte of the cache.
func TestClientsThatGoAwayLeaveNothing(t *testing.T) {
	cancels := 2000
	if testing.Short() {
		cancels = 300
	}
	warm, err := net.Listen("tcp", "127.0.0.1:0") // what the first one opens stays
	if err != nil {
		t.Fatal(err)
	}
	_ = warm.Close()
	goroutines, open := runtime.NumGoroutine(), files()
	model := servicetest.WriteModel(t)
	r := start(t, model, ebb.Options{Context: 512, StepTokens: 64, KVMemory: 2 * memory(t, model, 512)}, service.Options{Queue: 16, CacheDir: t.TempDir(), CacheBytes: 1 << 30},
		Options{Keys: []Key{NewKey("one"), NewKey("two"), NewKey("right")}})
	none := r.tiny.engine.Stats().Cache
	question := words(99, 300)
	want, _, _ := r.complete("right", question, 20)

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var paths []string
	for path := range endpoints {
		paths = append(paths, path)
	}
	var began, answered, refused atomic.Int64
	var clients sync.WaitGroup
	for i := range 12 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			for began.Add(1) <= int64(cancels) {
				text := words(uint64(random.IntN(6)), 1+random.IntN(300)) + words(random.Uint64(), random.IntN(20))
				path, stream := paths[random.IntN(len(paths))], random.IntN(3) > 0
				body := endpoints[path](text, 1+random.IntN(40), stream)
				key := []string{"one", "two"}[random.IntN(2)]
				ctx, cancel := context.WithCancel(t.Context())
				if random.IntN(10) > 0 { // the others are answered
					ctx, cancel = context.WithTimeout(t.Context(), time.Duration(random.IntN(1<<(8+random.IntN(12))))*time.Microsecond)
				}
				response, err := r.post(ctx, key, path, body)
				if err == nil {
					var n int64
					if random.IntN(3) == 0 { // in the middle of the stream
						n, err = io.CopyN(io.Discard, response.Body, int64(random.IntN(2000)))
					} else {
						var data []byte
						data, err = io.ReadAll(response.Body)
						n = int64(len(data))
					}
					_ = response.Body.Close()
					switch {
					case response.StatusCode == http.StatusTooManyRequests:
						refused.Add(1)
						began.Add(-1)
						time.Sleep(5 * time.Millisecond)
					case response.StatusCode != http.StatusOK:
						t.Errorf("%s: status %d, %d bytes: %s", path, response.StatusCode, n, body)
					case err == nil:
						answered.Add(1)
					}
				}
				cancel()
			}
		})
	}
	clients.Wait()
	t.Logf("%d were answered and %d refused, beside %d", answered.Load(), refused.Load(), cancels)
	eventually(t, func() bool { return r.server.state.count() == 0 && r.tiny.Stats().Requests == 0 }, "%d requests are left", r.tiny.Stats().Requests)
	if got, _, _ := r.complete("right", question, 20); got != want {
		t.Errorf("afterwards the answer is %q; want %q", got, want)
	}
	stats := r.tiny.Stats()
	if stats.Failed != 0 || stats.Conversations.Unwritten != 0 || stats.Conversations.GivenUp == 0 {
		t.Errorf("of the answers, those that were cancelled alone may fail, and memory has to be short: %+v", stats)
	}
	for _, key := range r.server.options.Keys {
		for _, c := range r.tiny.Conversations(key.salt) {
			if c.Busy {
				t.Errorf("conversation %+v is busy, and there are no requests", c)
			}
			if err := r.tiny.DeleteConversation(key.salt, c.ID); err != nil {
				t.Error(err)
			}
		}
	}
	if n := r.tiny.Stats().Conversations.Conversations; n != 0 {
		t.Errorf("%d conversations are nobody's", n)
	}
	eventually(t, func() bool {
		left := r.tiny.engine.Stats().Cache
		return left.DeviceBytes == none.DeviceBytes && left.HostBytes == none.HostBytes
	}, "without conversations, the cache has not %+v", none)
	r.close()
	eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines }, "%d goroutines; there were %d", runtime.NumGoroutine(), goroutines)
	if now := files(); now > open {
		t.Errorf("%d files are open; there were %d", now, open)
	}
}
