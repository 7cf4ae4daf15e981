package wire_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/conversation"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// either is a field that may be a string or true.
type either string

func (either) Wanted() string { return "a string or true" }

func (e *either) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case '"', 't', 'n':
		*e = either(data)
		return nil
	}
	return wire.Mismatch[either](data)
}

type sized struct {
	Size int `json:"size"`
}

type body struct {
	sized
	Seed     uint64   `json:"seed"`
	Heat     *float64 `json:"heat"`
	Messages []struct {
		Role   string `json:"role"`
		Either either `json:"either"`
		Deep   bool   `json:"deep"`
	} `json:"messages"`
	Options struct {
		Include bool `json:"include"`
	} `json:"options"`
}

func TestWhatIsWrongWithABodyNamesTheField(t *testing.T) {
	for _, tt := range []struct{ body, param, want string }{
		{`{}`, "", ""},
		{"\xef\xbb\xbf" + `{"heat": null, "unknown": {"x": [1]}, "messages": [{"either": true}]}`, "", ""},
		{``, "", "the body is empty: want a JSON object"},
		{" \n", "", "the body is empty: want a JSON object"},
		{`[]`, "", "the body is a list: want an object"},
		{`null`, "", "the body is null: want an object"},
		{`"x"`, "", "the body is a string: want an object"},
		{`{"size": 1`, "", "the body is not JSON: unexpected end of JSON input at byte 10"},
		{`{"size": 1}{}`, "", "the body is not JSON: invalid character '{' after top-level value at byte 12"},
		{`{"size": "1"}`, "size", "size is a string: want a whole number"},
		{`{"size": 1.5}`, "size", "size is 1.5: want a whole number"},
		{`{"seed": -1}`, "seed", "seed is -1: want a whole number that is not negative"},
		{`{"heat": {}}`, "heat", "heat is an object: want a number"},
		{`{"heat": 1e999}`, "heat", "heat is 1e999: want a number"},
		{`{"messages": "hi"}`, "messages", "messages is a string: want a list"},
		{`{"messages": [{"role": []}]}`, "messages.role", "messages.role is a list: want a string"},
		{`{"messages": [{"deep": 0}]}`, "messages.deep", "messages.deep is a number: want true or false"},
		{`{"messages": [{"either": 5}]}`, "messages.either", "messages.either is a number: want a string or true"},
		{`{"options": true}`, "options", "options is true or false: want an object"},
	} {
		var b body
		f := wire.Decode([]byte(tt.body), &b)
		if f == nil {
			f = &wire.Fault{}
		} else if f.Status != http.StatusBadRequest {
			t.Errorf("%s: status %d", tt.body, f.Status)
		}
		if f.Message != tt.want || f.Param != tt.param {
			t.Errorf("%s: %q names %q, want %q and %q", tt.body, f.Message, f.Param, tt.want, tt.param)
		}
	}
}

func TestWhatIsWrongWithAPartOfABodyNamesThePart(t *testing.T) {
	for _, tt := range []struct{ part, param, want string }{
		{`{}`, "", ""},
		{`null`, "m[3]", "m[3] is null: want an object"},
		{`5`, "m[3]", "m[3] is a number: want an object"},
		{`{"role": 5}`, "m[3].role", "m[3].role is a number: want a string"},
		{`{"content": {}}`, "m[3]", `m[3]: the content of a message is {}: want a text, null, or parts as in [{"type": "text", "text": "…"}]`},
	} {
		f := wire.DecodePart("m[3]", []byte(tt.part), new(chat.Message))
		if f == nil {
			f = &wire.Fault{}
		}
		if f.Message != tt.want || f.Param != tt.param {
			t.Errorf("%s: %q names %q, want %q and %q", tt.part, f.Message, f.Param, tt.want, tt.param)
		}
	}
}

func TestABodyIsReadWholeWithinItsLimit(t *testing.T) {
	for _, tt := range []struct {
		size, status int
		encoding     string
	}{{size: 100}, {size: 101, status: http.StatusRequestEntityTooLarge}, {size: 1, encoding: "gzip", status: http.StatusUnsupportedMediaType}} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", tt.size)))
		r.Header.Set("Content-Encoding", tt.encoding)
		data, f := wire.Read(httptest.NewRecorder(), r, 100)
		if f == nil && len(data) == tt.size {
			f = &wire.Fault{}
		}
		if f.Status != tt.status {
			t.Errorf("%d bytes: %+v, want status %d", tt.size, f, tt.status)
		}
	}
}

func TestAnErrorHasAStatusAndSaysWhetherToSendAgain(t *testing.T) {
	for _, tt := range []struct {
		err         error
		status      int
		code, param string
		head        string
	}{
		{&service.ContextError{Tokens: 9, Context: 8}, 400, "context_length_exceeded", "", "false"},
		{&service.RequestError{Field: "tools", Err: errors.New("no")}, 400, "", "tools", "false"},
		{&service.UnknownModelError{Name: "x", Known: []string{"y"}}, 404, "model_not_found", "model", "false"},
		{fmt.Errorf("a request: %w", service.ErrBusy), 429, "queue_full", "", "after 1"},
		{service.ErrClosed, 503, "unavailable", "", "after 5"},
		{service.ErrModelBusy, 503, "model_busy", "", "after 10"},
		{&service.LoadError{Name: "x", Short: true}, 503, "model_not_loaded", "", "after 30"},
		{&service.LoadError{Name: "x"}, 500, "model_not_loaded", "", "false"},
		{context.Canceled, wire.StatusClosed, "", "", "false"},
		{errors.New("disk full"), 500, "internal_error", "", "false"},
		{wire.NotOffered("images"), 501, "not_implemented", "", "false"},
		{&wire.Fault{Status: http.StatusRequestTimeout}, 408, "", "", ""},
	} {
		f := wire.FaultOf(tt.err)
		h := http.Header{}
		f.Head(h)
		head := h.Get("X-Should-Retry")
		if after := h.Get("Retry-After"); after != "" {
			head += "after " + after
		}
		if f.Status != tt.status || f.Code != tt.code || f.Param != tt.param || head != tt.head {
			t.Errorf("%v is %+v, retry %q, want %+v", tt.err, f, head, tt)
		}
	}
	if f := wire.FaultOf(&service.ContextError{Tokens: 9, Context: 8}); f.Tokens != 9 || f.Context != 8 {
		t.Errorf("a long prompt: %+v", f)
	}
	if f := wire.FaultOf(&service.LoadError{Name: "x", Err: errors.New("/a/file")}); strings.Contains(f.Message, "/a/file") {
		t.Errorf("a client is told of a file: %s", f.Message)
	}
	for text, want := range map[string]string{
		"chat: the tool f: jsonschema: #: type \"nope\" is unknown": "tools: the tool f: #: type \"nope\" is unknown",
		"ebb: tokenizer: it is too long":                            "tools: it is too long",
		"generation: top_k is -1\ngeneration: top_p is 3":           "tools: top_k is -1; top_p is 3",
		"a grammar: it is read by package json":                     "tools: a grammar: it is read by package json",
	} {
		if f := wire.FaultOf(&service.RequestError{Field: "tools", Err: errors.New(text)}); f.Message != want {
			t.Errorf("%q is told as %q, want %q", text, f.Message, want)
		}
	}
	if f := wire.FaultOf(nil); f != nil {
		t.Errorf("no error is %+v", f)
	}
}

func TestStreamsAreFramed(t *testing.T) {
	w := httptest.NewRecorder()
	s := wire.NewEvents(w, 0)
	if s.Begun() || w.Flushed {
		t.Fatal("the header is sent before there is anything")
	}
	if err := s.Begin(); err != nil || !s.Begun() || !w.Flushed {
		t.Fatalf("%v; sent at once: %t", err, w.Flushed)
	}
	err := errors.Join(s.Event("", map[string]string{"a": "<&\n>\u2028é"}), s.Event("ping", struct{}{}), s.Text("[DONE]"))
	if err == nil {
		err = s.Event("bad", func() {})
	}
	if err == nil {
		t.Error("a function is no JSON, and there is no error")
	}
	want := "data: {\"a\":\"<&\\n>\\u2028é\"}\n\nevent: ping\ndata: {}\n\ndata: [DONE]\n\n"
	if diff := cmp.Diff(w.Body.String(), want); diff != "" {
		t.Errorf("events (-got +want):\n%s", diff)
	}
	if h := w.Header(); h.Get("Content-Type") != "text/event-stream; charset=utf-8" || h.Get("Cache-Control") != "no-cache" || h.Get("X-Accel-Buffering") != "no" {
		t.Errorf("the header is %v", h)
	}

	w = httptest.NewRecorder()
	s = wire.NewLines(w, 0)
	if err := errors.Join(s.Line(1), s.Line("x")); err != nil || w.Body.String() != "1\n\"x\"\n" {
		t.Errorf("lines are %q, %v", w.Body, err)
	}
}

func TestAReaderThatDoesNotReadEndsItsStream(t *testing.T) {
	ended := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s := wire.NewEvents(w, 50*time.Millisecond)
		var err error
		for err == nil {
			err = s.Text(strings.Repeat("x", 1<<20))
		}
		if again := s.Text("x"); !errors.Is(again, err) || !s.Lost() {
			t.Errorf("what is written behind the error ends with %v, want %v", again, err)
		}
		ended <- err
	}))
	defer server.Close()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestConversationsAreNamedByHeadersAndFields(t *testing.T) {
	all := wire.Hints{UserID: "user_1_account__session_u", CacheKey: "k", Conversation: "c"}
	for _, tt := range []struct {
		name  string
		head  map[string]string
		hints wire.Hints
		want  string
	}{
		{"nothing", nil, wire.Hints{UserID: "alice"}, ""},
		{"claude", map[string]string{"X-Claude-Code-Session-Id": "a", "X-Session-ID": "b"}, all, "a"},
		{"a user's session", map[string]string{"X-Session-ID": "b"}, all, "u"},
		{"an object", nil, wire.Hints{UserID: `{"device_id": "d", "session_id": "s"}`}, "s"},
		{"a header", map[string]string{"X-Session-ID": " b "}, wire.Hints{CacheKey: "k"}, "b"},
		{"opencode", map[string]string{"x-session-affinity": "o"}, wire.Hints{CacheKey: "k"}, "o"},
		{"a key", nil, wire.Hints{CacheKey: "k", Conversation: "c"}, "k"},
		{"a field", nil, wire.Hints{Conversation: "c"}, "c"},
		{"long", nil, wire.Hints{CacheKey: strings.Repeat("é", 300)}, strings.Repeat("é", 100)},
		{"cut within a character", nil, wire.Hints{CacheKey: "x" + strings.Repeat("é", 300)}, "x" + strings.Repeat("é", 99)},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		for name, value := range tt.head {
			r.Header.Set(name, value)
		}
		if got := wire.Conversation(r, tt.hints); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestABodyDoesNotLeaveTheSaltOfItsKey(t *testing.T) {
	ctx := wire.WithSalt(t.Context(), "one")
	if got := wire.Salt(ctx, ""); got != "one" {
		t.Errorf("the salt is %q", got)
	}
	if a, b := wire.Salt(ctx, "x"), wire.Salt(t.Context(), "x"); a == b || b == wire.Salt(t.Context(), "") {
		t.Errorf("salts %q and %q", a, b)
	}
	if a, b := wire.ID("x-"), wire.ID("x-"); a == b || !strings.HasPrefix(a, "x-") {
		t.Errorf("ids %q and %q", a, b)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"size": 1.5, "messages": [{"either": 5}], "options": null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var b body
		if f := wire.Decode(data, &b); f != nil && (f.Status != http.StatusBadRequest || f.Message == "") {
			t.Errorf("%+v", f)
		}
	})
}

func TestTheNameOfACallLeadsBackToItsID(t *testing.T) {
	a, b := wire.CallID("call_", "call00001"), wire.CallID("call_", "call00001")
	if a == b {
		t.Errorf("two calls are called %s", a)
	}
	for name, want := range map[string]string{a: "call00001", b: "call00001", "call_x": "call_x", "": "", "toolu_" + a: "toolu_" + a} {
		if got := wire.OwnCallID("call_", name); got != want {
			t.Errorf("the id of %q is %q, want %q", name, got, want)
		}
	}
}

func TestWhatIsSkippedIsSaidOnceAndBounded(t *testing.T) {
	h := http.Header{}
	wire.Skip(h, nil)
	if len(h) > 0 {
		t.Errorf("nothing is skipped, and the header is %v", h)
	}
	wire.Skip(h, []string{"web_search", "b\r\nad", "web_search"})
	if got := h.Get(wire.SkippedHeader); got != "b??ad, web_search" {
		t.Errorf("the header is %q", got)
	}
	wire.Skip(h, []string{strings.Repeat("x", 1000)})
	if got := h.Get(wire.SkippedHeader); len(got) > 200 {
		t.Errorf("the header has %d bytes", len(got))
	}
}

func TestTheCacheIsTold(t *testing.T) {
	for want, u := range map[string]service.Usage{
		"0 of 5 tokens": {Prompt: 5},
		"4 of 5 tokens": {Prompt: 5, Cached: 4, Diverged: conversation.Left{Conversation: "c1", Token: 4, Of: 4}},
		"5 of 6 tokens": {Prompt: 6, Cached: 5, Diverged: conversation.Left{Conversation: "c1", Token: 6, Of: 70}}, // it was there whole
		"4 of 9 tokens; diverged at 4 from conversation c1 of 70": {Prompt: 9, Cached: 4, Diverged: conversation.Left{Conversation: "c1", Token: 4, Of: 70}},
	} {
		h := http.Header{}
		wire.Cache(h, u)
		wire.CacheBehind(h, u)
		if got := h.Get(wire.CacheHeader); got != want || h.Get(http.TrailerPrefix+wire.CacheHeader) != want {
			t.Errorf("%+v: %q, want %q", u, got, want)
		}
	}
}
