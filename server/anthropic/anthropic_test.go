package anthropic_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/server/anthropic"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// server is a server whose answers a test writes.
type server struct {
	*httptest.Server
	*servicetest.Script
}

func serve(tb testing.TB, answer string, o service.Options) server {
	tb.Helper()
	script := &servicetest.Script{Answerer: servicetest.Open(tb, ebb.Options{Context: 4096}, o), Answers: func(service.Request) string { return answer }}
	mux := http.NewServeMux()
	anthropic.New(service.Only(script), wire.Options{}).Register(mux)
	s := server{httptest.NewServer(mux), script}
	tb.Cleanup(s.Close)
	return s
}

// post sends a body and returns the response and its body.
func (s server) post(tb testing.TB, path, body string) (*http.Response, string) {
	tb.Helper()
	response, err := http.Post(s.URL+path, "application/json", strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return response, strings.TrimSuffix(string(data), "\n")
}

// last returns the last request that the service has got.
func (s server) last(tb testing.TB) service.Request {
	tb.Helper()
	all := s.Requests()
	if len(all) == 0 {
		tb.Fatal("the service has got no request")
	}
	return all[len(all)-1]
}

var (
	ids    = regexp.MustCompile(`(msg|toolu)_[A-Z2-7]{26}(?:_call0000\d)?`)
	counts = regexp.MustCompile(`((?:"in|"out)put_tokens":)[1-9]\d*`)
	cached = regexp.MustCompile(`("cache_read_input_tokens":)[1-9]\d*`) // by the request before
	deltas = regexp.MustCompile(`^{"type":"content_block_delta","index":(\d+),"delta":{"type":"(?:text|thinking)_delta","(?:text|thinking)":"(.*)"}}$`)
)

// events returns the data of a stream's events, with ids and counts replaced, and neighbouring deltas of
// text or thinking joined.
func events(tb testing.TB, stream string) (all []string) {
	tb.Helper()
	for e := range strings.SplitSeq(strings.TrimSuffix(stream, "\n"), "\n\n") {
		name, line, _ := strings.Cut(e, "\n")
		var typed struct{ Type string }
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok || json.Unmarshal([]byte(data), &typed) != nil || name != "event: "+typed.Type {
			tb.Fatalf("%q is no event", e)
		}
		data = counts.ReplaceAllString(ids.ReplaceAllString(data, "${1}_ID"), "${1}N")
		if is := deltas.FindStringSubmatch(data); is != nil && len(all) > 0 {
			if before := deltas.FindStringSubmatch(all[len(all)-1]); before != nil && before[1] == is[1] {
				all[len(all)-1] = strings.TrimSuffix(all[len(all)-1], `"}}`) + is[2] + `"}}`
				continue
			}
		}
		all = append(all, data)
	}
	return all
}

const (
	weather = `"tools": [{"name": "weather", "description": "Says how it is.", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]`
	hello   = `"messages": [{"role": "user", "content": "Hello."}]`
	started = `{"type":"message_start","message":{"id":"msg_ID","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,` +
		`"usage":{"input_tokens":N,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}`
	used    = `"usage":{"input_tokens":N,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":N}`
	stopped = `{"type":"message_stop"}`
)

func TestAStreamIsTheMessageEventByEvent(t *testing.T) {
	for _, tt := range []struct {
		name, answer, body string
		want               []string // between message_start and message_stop
		whole              string   // the message of the same request that is no stream, up to its usage
	}{
		{
			"text", "It is <warm> & dry.", `"model": "m", "max_tokens": 100, ` + hello,
			[]string{
				`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"It is <warm> & dry."}}`,
				`{"type":"content_block_stop","index":0}`,
				`{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},` + used + `}`,
			},
			`"content":[{"type":"text","text":"It is <warm> & dry."}],"stop_reason":"end_turn","stop_sequence":null`,
		},
		{
			"thinking, text and calls", `<think>hm</think>See:<tool_call>{"name": "weather", "arguments": {"city": "Ulm"}}</tool_call>` +
				`<tool_call>{"name": "weather", "arguments": {"city": "Bonn"}}</tool_call>`,
			`"model": "m", "max_tokens": 300, "thinking": {"type": "enabled", "budget_tokens": 1024}, ` + weather + `, ` + hello,
			[]string{
				`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"ebb"}}`,
				`{"type":"content_block_stop","index":0}`,
				`{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}`,
				`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"See:"}}`,
				`{"type":"content_block_stop","index":1}`,
				`{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_ID","name":"weather","input":{}}}`,
				`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"city\": \"Ulm\"}"}}`,
				`{"type":"content_block_stop","index":2}`,
				`{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_ID","name":"weather","input":{}}}`,
				`{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"city\": \"Bonn\"}"}}`,
				`{"type":"content_block_stop","index":3}`,
				`{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},` + used + `}`,
			},
			`"content":[{"type":"thinking","thinking":"hm","signature":"ebb"},{"type":"text","text":"See:"},` +
				`{"type":"tool_use","id":"toolu_ID","name":"weather","input":{"city":"Ulm"}},` +
				`{"type":"tool_use","id":"toolu_ID","name":"weather","input":{"city":"Bonn"}}],"stop_reason":"tool_use","stop_sequence":null`,
		},
		{
			"one call alone", `<tool_call>{"name": "weather", "arguments": {}}</tool_call><tool_call>{"name": "weather", "arguments": {}}</tool_call>`,
			`"model": "m", "max_tokens": 300, "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}, ` + weather + `, ` + hello,
			[]string{
				`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_ID","name":"weather","input":{}}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}`,
				`{"type":"content_block_stop","index":0}`,
				`{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},` + used + `}`,
			},
			`"content":[{"type":"tool_use","id":"toolu_ID","name":"weather","input":{}}],"stop_reason":"tool_use","stop_sequence":null`,
		},
		{
			"a stop sequence", "one, two, three", `"model": "m", "max_tokens": 100, "stop_sequences": ["thr", "two,", "two, three"], ` + hello,
			[]string{
				`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"one, "}}`,
				`{"type":"content_block_stop","index":0}`,
				`{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"two,"},` + used + `}`,
			},
			`"content":[{"type":"text","text":"one, "}],"stop_reason":"stop_sequence","stop_sequence":"two,"`,
		},
		{
			"too few tokens", "<<<<", `"model": "m", "max_tokens": 1, ` + hello,
			[]string{
				`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"<"}}`,
				`{"type":"content_block_stop","index":0}`,
				`{"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},` + used + `}`,
			},
			`"content":[{"type":"text","text":"<"}],"stop_reason":"max_tokens","stop_sequence":null`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.answer, service.Options{})
			response, body := s.post(t, "/v1/messages?beta=true", `{"stream": true, `+tt.body+`}`)
			if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/event-stream") {
				t.Fatalf("%s, %s: %s", response.Status, kind, body)
			}
			if diff := cmp.Diff(events(t, body), slices.Concat([]string{started}, tt.want, []string{stopped})); diff != "" {
				t.Errorf("events (-got +want):\n%s", diff)
			}
			_, body = s.post(t, "/v1/messages", `{`+tt.body+`}`)
			got := cached.ReplaceAllString(counts.ReplaceAllString(ids.ReplaceAllString(body, "${1}_ID"), "${1}N"), "${1}0")
			if want := `{"id":"msg_ID","type":"message","role":"assistant","model":"m",` + tt.whole + `,` + used + `}`; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestAConversationIsTranslatedToMessages(t *testing.T) {
	s := serve(t, "ok", service.Options{})
	response, body := s.post(t, "/v1/messages", `{
		"model": "claude-haiku", "max_tokens": 5, `+weather+`,
		"system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cch=a81f3;"}, {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "Be kind."}],
		"messages": [
			{"role": "user", "content": [{"type": "text", "text": "How is"}, {"type": "text", "text": "the weather?"}]},
			{"role": "assistant", "content": [
				{"type": "thinking", "thinking": "hm", "signature": "of another"}, {"type": "redacted_thinking", "data": "xyz"}, {"type": "text", "text": "See:"},
				{"type": "tool_use", "id": "toolu_ABCDEFGHIJKLMNOPQRSTUVWXYZ_call00000", "name": "weather", "input": {"city": "Ulm"}}, {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": "{broken"}, {"type": "tool_use", "id": "toolu_3", "name": "weather"}]},
			{"role": "user", "content": [
				{"type": "tool_result", "tool_use_id": "toolu_ABCDEFGHIJKLMNOPQRSTUVWXYZ_call00000", "content": "warm"}, {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": true, "content": [{"type": "text", "text": "no"}, {"type": "text", "text": "such city"}]}, {"type": "tool_result", "tool_use_id": "toolu_3"},
				{"type": "text", "text": "And?"}]},
			{"role": "user", "content": "Well?"}
		],
		"temperature": 0, "top_p": 0.9, "top_k": 7, "stop_sequences": ["STOP"], "output_config": {"effort": "max"}, "thinking": {"type": "disabled"},
		"metadata": {"user_id": "user_1_account__session_abc"}, "context_management": {"edits": []}, "cache_salt": "pepper"
	}`)
	if response.StatusCode != http.StatusOK || !strings.Contains(body, `"model":"claude-haiku"`) {
		t.Fatalf("%s: %s", response.Status, body)
	}
	r := s.last(t)
	want := []chat.Message{
		{Role: "system", Content: "Be brief.\nBe kind."},
		{Role: "user", Content: "How is\nthe weather?"},
		{Role: "assistant", Reasoning: "hm", Content: "See:", ToolCalls: []chat.ToolCall{
			{ID: "call00000", Name: "weather", Arguments: `{"city":"Ulm"}`}, {ID: "toolu_2", Name: "weather", Arguments: "{broken"}, {ID: "toolu_3", Name: "weather", Arguments: "{}"},
		}},
		{Role: "tool", Name: "weather", ToolCallID: "call00000", Content: "warm"},
		{Role: "tool", Name: "weather", ToolCallID: "toolu_2", Content: "no\nsuch city"},
		{Role: "tool", Name: "weather", ToolCallID: "toolu_3"},
		{Role: "user", Content: "And?\nWell?"},
	}
	if diff := cmp.Diff(r.Chat.Messages, want); diff != "" {
		t.Errorf("messages (-got +want):\n%s", diff)
	}
	tools, err := json.Marshal(r.Chat.Tools)
	if err != nil || string(tools) != `[{"function":{"name":"weather","description":"Says how it is.","parameters":{"type":"object","properties":{"city":{"type":"string"}}}},"type":"function"}]` {
		t.Errorf("tools are %s, %v", tools, err)
	}
	if c := r.Config; c.DoSample || *c.TopP != 0.9 || *c.TopK != 7 || c.MaxNewTokens != 5 || !slices.Equal(c.StopStrings, []string{"STOP"}) {
		t.Errorf("the configuration is %+v", c)
	}
	if got := string(r.Chat.Variables); got != `{"enable_thinking":false,"reasoning_effort":"high"}` {
		t.Errorf("variables are %s", got)
	}
	if r.Conversation != "abc" || r.Salt != wire.Salt(t.Context(), "pepper") || r.Chat.Continue {
		t.Errorf("the request is %+v", r)
	}
}

func TestFieldsOfARequestAreKept(t *testing.T) {
	s := serve(t, "ok", service.Options{})
	for _, tt := range []struct {
		name, fields string
		kept         func(service.Request) bool
	}{
		{"sampling by default", hello, func(r service.Request) bool {
			return r.Config.DoSample && r.Config.Temperature == nil && *r.Config.TopK == 0 && r.Config.TopP == nil
		}},
		{"system prompt as a text", `"system": "x-anthropic-billing-header: cch=1;\nBe brief.", ` + hello, func(r service.Request) bool {
			return r.Chat.Messages[0].Content == "Be brief."
		}},
		{"no system prompt", `"system": [{"type": "text", "text": "x-anthropic-billing-header: cch=1;"}], ` + hello, func(r service.Request) bool {
			return r.Chat.Messages[0].Role == "user"
		}},
		{"a beginning of the answer", `"messages": [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "It"}]`, func(r service.Request) bool {
			return r.Chat.Continue
		}},
		{"a schema", `"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}, ` + hello, func(r service.Request) bool {
			return string(r.Schema) == `{"type": "object"}`
		}},
		{"no tools", `"tool_choice": {"type": "none"}, ` + weather + `, ` + hello, func(r service.Request) bool {
			return r.Chat.Choice.Mode == service.ToolsNone
		}},
		{"any tool", `"tool_choice": {"type": "any"}, ` + weather + `, ` + hello, func(r service.Request) bool {
			return r.Chat.Choice == service.ToolChoice{Mode: service.ToolsRequired}
		}},
		{"one tool", `"tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": true}, ` + weather + `, ` + hello, func(r service.Request) bool {
			return r.Chat.Choice == service.ToolChoice{Mode: service.ToolsRequired, Name: "weather", Single: true}
		}},
	} {
		response, body := s.post(t, "/v1/messages", `{"max_tokens": 1, `+tt.fields+`}`)
		if r := s.last(t); !tt.kept(r) {
			t.Errorf("%s: %s %s: %+v", tt.name, response.Status, body, r)
		}
	}
	response, _ := s.post(t, "/v1/messages", `{"max_tokens": 1, "tools": [{"type": "web_search_20250305", "name": "web_search"}], `+hello+`}`)
	if got := response.Header.Get("X-Ebb-Skipped"); got != "web_search_20250305" {
		t.Errorf("the header names %q as left out", got)
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	s := serve(t, "ok", service.Options{})
	for _, tt := range []struct {
		body, kind, want string
		status           int
	}{
		{``, "invalid_request_error", "empty", 400},
		{`[]`, "invalid_request_error", "object", 400},
		{`{"messages": 5}`, "invalid_request_error", "messages", 400},
		{`{"messages": []}`, "invalid_request_error", "messages", 400},
		{`{"messages": [{"role": "user", "content": 5}]}`, "invalid_request_error", "a string or a list of blocks", 400},
		{`{"messages": [{"role": "wizard", "content": "x"}]}`, "invalid_request_error", "messages.0.role", 400},
		{`{"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}`, "invalid_request_error", `messages.0.content.0 is a block of type "image"`, 400},
		{`{"messages": [{"role": "user", "content": [{"text": "x"}]}]}`, "invalid_request_error", "messages.0.content.0.type", 400},
		{`{"messages": [{"role": "user", "content": [{"type": "tool_result", "content": 5}]}]}`, "invalid_request_error", "messages.0.content.0.content", 400},
		{`{"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [{"type": "image"}]}]}]}`, "invalid_request_error", "messages.0.content.0.content.0", 400},
		{`{"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "x"}]}]}`, "invalid_request_error", "messages.0.content.0.name", 400},
		{`{"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "f"}]}]}`, "invalid_request_error", "tool calls", 400},
		{`{"messages": [{"role": "assistant", "content": [{"type": "document"}]}]}`, "invalid_request_error", "document", 400},
		{`{"system": [{"type": "image"}], ` + hello + `}`, "invalid_request_error", "system.0", 400},
		{`{"max_tokens": 0, ` + hello + `}`, "invalid_request_error", "max_tokens", 400},
		{`{"max_tokens": "many", ` + hello + `}`, "invalid_request_error", "max_tokens", 400},
		{`{"temperature": -1, ` + hello + `}`, "invalid_request_error", "temperature", 400},
		{`{"stop_sequences": [""], ` + hello + `}`, "invalid_request_error", "stop", 400},
		{`{"thinking": {"type": "deep"}, ` + hello + `}`, "invalid_request_error", "thinking.type", 400},
		{`{"tools": [{"input_schema": {}}], ` + hello + `}`, "invalid_request_error", "tools.0.name", 400},
		{`{"tools": [{"name": "f", "input_schema": 5}], ` + hello + `}`, "invalid_request_error", "tools.0.input_schema", 400},
		{`{"tool_choice": {"type": "any"}, ` + hello + `}`, "invalid_request_error", "tool_choice", 400},
		{`{"tool_choice": {"type": "tool", "name": "g"}, ` + weather + `, ` + hello + `}`, "invalid_request_error", "tool_choice.name", 400},
		{`{"tool_choice": {"type": "all"}, ` + hello + `}`, "invalid_request_error", "tool_choice.type", 400},
		{`{"output_format": {"type": "xml"}, ` + hello + `}`, "invalid_request_error", "output_format.type", 400},
		{`{"output_config": {"format": {"type": "json_schema"}}, ` + hello + `}`, "invalid_request_error", "output_config.format.schema", 400},
		{`{"messages": [{"role": "user", "content": "refuse me"}]}`, "invalid_request_error", "not that", 400},
		{`{"messages": [{"role": "user", "content": "` + strings.Repeat("word ", 9000) + `"}]}`, "invalid_request_error", "prompt is too long: ", 400},
	} {
		response, body := s.post(t, "/v1/messages", tt.body)
		var got struct {
			Type  string
			Error struct{ Type, Message string }
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != tt.status || got.Type != "error" || got.Error.Type != tt.kind || !strings.Contains(got.Error.Message, tt.want) {
			t.Errorf("%.200s: %s %s, want %d and a message with %q", tt.body, response.Status, body, tt.status, tt.want)
		}
	}
	if response, body := s.post(t, "/v1/messages/batches", `{}`); response.StatusCode != http.StatusNotImplemented || !strings.Contains(body, "not_found_error") {
		t.Errorf("%s %s", response.Status, body)
	}
}

func TestTokensAreCountedAsTheyAreUsed(t *testing.T) {
	s := serve(t, "ok", service.Options{})
	body := `"max_tokens": 1, "system": "Be brief.", ` + weather + `, ` + hello
	var counted struct {
		Tokens int `json:"input_tokens"`
	}
	var message struct {
		Usage struct {
			Input  int `json:"input_tokens"`
			Cached int `json:"cache_read_input_tokens"`
		}
	}
	_, count := s.post(t, "/v1/messages/count_tokens?beta=true", `{`+body+`}`)
	_, whole := s.post(t, "/v1/messages", `{`+body+`}`)
	if err := json.Unmarshal([]byte(count), &counted); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(whole), &message); err != nil {
		t.Fatal(err)
	}
	if u := message.Usage; counted.Tokens == 0 || counted.Tokens != u.Input+u.Cached {
		t.Errorf("%d tokens are counted, and %+v used", counted.Tokens, u)
	}
}

func TestPingsComeWhileNothingElseDoes(t *testing.T) {
	s := serve(t, `<tool_call>{"name": "weather", "arguments": {"city": "`+strings.Repeat("word ", 50)+`"}}</tool_call>`, service.Options{Beat: time.Microsecond})
	_, body := s.post(t, "/v1/messages", `{"stream": true, `+weather+`, `+hello+`}`)
	if !strings.Contains(body, "event: ping\ndata: {\"type\":\"ping\"}\n\n") || strings.Contains(body, "id:") {
		t.Errorf("the stream is %.500s", body)
	}
}

func TestAnErrorInTheMiddleIsAnEvent(t *testing.T) {
	s := serve(t, strings.Repeat("word ", 200), service.Options{})
	service, ok := s.Answerer.(*service.Service)
	if !ok {
		t.Fatal("no service")
	}
	response, err := http.Post(s.URL+"/v1/messages", "application/json", strings.NewReader(`{"stream": true, `+hello+`}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	last := ""
	for closed := false; lines.Scan(); {
		if strings.Contains(lines.Text(), "text_delta") && !closed {
			closed = true
			if err := service.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if lines.Text() != "" {
			last = lines.Text()
		}
	}
	if !strings.HasPrefix(last, `data: {"type":"error","error":{"type":"overloaded_error","message":`) {
		t.Errorf("the last event is %s", last)
	}
}

func TestAClientThatGoesAwayEndsTheComputation(t *testing.T) {
	s := serve(t, strings.Repeat("word ", 2000), service.Options{Queue: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/v1/messages", strings.NewReader(`{"stream": true, `+hello+`}`))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if other, body := s.post(t, "/v1/messages", `{`+hello+`}`); other.StatusCode != http.StatusTooManyRequests || other.Header.Get("Retry-After") == "" || !strings.Contains(body, "rate_limit_error") {
		t.Errorf("with a full queue: %s %s", other.Status, body)
	}
	cancel()
	for { // until its place in the queue is free
		other, _ := s.post(t, "/v1/messages", `{"max_tokens": 1, `+hello+`}`)
		if other.StatusCode == http.StatusOK {
			return
		}
	}
}

func FuzzBodies(f *testing.F) {
	mux := http.NewServeMux()
	anthropic.New(service.Only(servicetest.Open(f, ebb.Options{Context: 256}, service.Options{})), wire.Options{}).Register(mux)
	f.Add(`{"max_tokens": 3, "stream": true, ` + weather + `, ` + hello + `}`)
	f.Add(`{"max_tokens": 3, "system": [{"type": "text", "text": "x-anthropic-billing-header:"}], "messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": []}, {"type": "text"}]}]}`)
	f.Add(`{"max_tokens": 3, "stop_sequences": ["a", "b"], "tool_choice": {"type": "any", "disable_parallel_tool_use": true}, "messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]}`)
	f.Add("\xef\xbb\xbf{}")
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/v1/messages", "/v1/messages/count_tokens"} {
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
			if w.Code >= http.StatusInternalServerError || strings.Contains(w.Body.String(), "api_error") {
				t.Errorf("%d: %s", w.Code, w.Body)
			}
		}
	})
}

func TestAResponseSaysWhatWasCached(t *testing.T) {
	s := serve(t, "ok", service.Options{})
	first, _ := s.post(t, "/v1/messages", `{"system": "Be brief.", "messages": [{"role": "user", "content": "One."}]}`)
	second, _ := s.post(t, "/v1/messages", `{"stream": true, "system": "Be brief.", "messages": [{"role": "user", "content": "Two."}]}`)
	if got := first.Header.Get(wire.CacheHeader); !strings.HasPrefix(got, "0 of ") || strings.Contains(got, ";") {
		t.Errorf("of the first request: %q", got)
	}
	if got := second.Trailer.Get(wire.CacheHeader); strings.HasPrefix(got, "0 of ") || !strings.Contains(got, " tokens; diverged at ") {
		t.Errorf("behind the second one's stream: %q", got)
	}
}
