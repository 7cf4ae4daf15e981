package responses_test

import (
	"bufio"
	"bytes"
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
	"github.com/seed4d217819/ebb/server/responses"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// server is a server whose answers a test writes. The header field Salt of a request is its salt.
type server struct {
	*httptest.Server
	*servicetest.Script
}

func serve(tb testing.TB, answer string, o service.Options) server {
	tb.Helper()
	return serveWith(tb, &servicetest.Script{
		Answerer: servicetest.Open(tb, ebb.Options{Context: 4096}, o), Answers: func(service.Request) string { return answer },
	}, responses.Options{})
}

func serveWith(tb testing.TB, script *servicetest.Script, o responses.Options) server {
	tb.Helper()
	h, err := responses.New(service.Only(script), o)
	if err != nil {
		tb.Fatal(err)
	}
	mux := http.NewServeMux()
	h.Register(mux)
	s := server{httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(wire.WithSalt(r.Context(), r.Header.Get("Salt"))))
	})), script}
	tb.Cleanup(s.Close)
	return s
}

// send sends a request of a salt and returns the response and its body.
func (s server) send(tb testing.TB, salt, method, path, body string) (*http.Response, string) {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("Salt", salt)
	response, err := http.DefaultClient.Do(r)
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

// post sends a body, which must be answered, and returns what is answered.
func (s server) post(tb testing.TB, body string) (text string, r response) {
	tb.Helper()
	answered, text := s.send(tb, "", http.MethodPost, "/v1/responses", body)
	if answered.StatusCode != http.StatusOK {
		tb.Fatalf("%s: %s", answered.Status, text)
	}
	return text, parse(tb, text)
}

// response is what tests read of a response.
type response struct {
	ID, Object, Status string
	Previous           *string `json:"previous_response_id"`
	Store              bool
	Output             []json.RawMessage
	Incomplete         *struct{ Reason string } `json:"incomplete_details"`
	Error              *struct{ Code, Message string }
	Usage              *struct {
		Input        int `json:"input_tokens"`
		InputDetails struct {
			Cached int `json:"cached_tokens"`
		} `json:"input_tokens_details"`
		Output        int `json:"output_tokens"`
		OutputDetails struct {
			Reasoning int `json:"reasoning_tokens"`
		} `json:"output_tokens_details"`
		Total int `json:"total_tokens"`
	}
}

func parse(tb testing.TB, text string) (r response) {
	tb.Helper()
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		tb.Fatalf("%v: %.300s", err, text)
	}
	return r
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
	ids    = regexp.MustCompile(`(resp|msg|rs|fc|call)_[A-Z2-7]{26}(?:_call0000\d)?`)
	times  = regexp.MustCompile(`("created_at":|_tokens":)[1-9]\d*`)
	number = regexp.MustCompile(`"sequence_number":(\d+),?`)
	whole  = regexp.MustCompile(`"response":{.*}}$`)
	deltas = regexp.MustCompile(`^(.*_text.delta.*"delta":")(.*)("(,"logprobs":\[\])?})$`)
)

// anonymous returns a text with ids and numbers replaced.
func anonymous(text string) string {
	return times.ReplaceAllString(ids.ReplaceAllString(text, "${1}_ID"), "${1}N")
}

// events returns the data of a stream's events, anonymous, with the number that each must have left
// out, the response left out where there is one, and neighbouring deltas joined.
func events(tb testing.TB, stream string) (all []string, last response) {
	tb.Helper()
	for i, e := range strings.Split(strings.TrimSpace(stream), "\n\n") {
		name, line, _ := strings.Cut(e, "\n")
		var typed struct {
			Type     string
			Number   int `json:"sequence_number"`
			Response response
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok || json.Unmarshal([]byte(data), &typed) != nil || name != "event: "+typed.Type || typed.Number != i {
			tb.Fatalf("%q is not event %d", e, i)
		}
		last = typed.Response
		data = whole.ReplaceAllString(number.ReplaceAllString(anonymous(data), ""), `"response":…}`)
		if is := deltas.FindStringSubmatch(data); is != nil {
			if before := deltas.FindStringSubmatch(all[len(all)-1]); before != nil && before[1] == is[1] {
				all[len(all)-1] = is[1] + before[2] + is[2] + is[3]
				continue
			}
		}
		all = append(all, data)
	}
	return all, last
}

const weather = `"tools": [{"type": "function", "name": "weather", "description": "Says how it is.", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}, "strict": true}, {"type": "web_search"}]`

func TestAStreamIsTheResponseEventByEvent(t *testing.T) {
	const created, progress = `{"type":"response.created","response":…}`, `{"type":"response.in_progress","response":…}`
	for _, tt := range []struct {
		name, answer, body string
		want               []string // behind the first two
		output             string   // of the same request that is no stream
		status             string
	}{
		{
			"text", "It is <warm> & dry.", `"input": "Hello."`,
			[]string{
				`{"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"msg_ID","status":"in_progress","role":"assistant","content":[]}}`,
				`{"type":"response.content_part.added","item_id":"msg_ID","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}`,
				`{"type":"response.output_text.delta","item_id":"msg_ID","output_index":0,"content_index":0,"delta":"It is <warm> & dry.","logprobs":[]}`,
				`{"type":"response.output_text.done","item_id":"msg_ID","output_index":0,"content_index":0,"text":"It is <warm> & dry.","logprobs":[]}`,
				`{"type":"response.content_part.done","item_id":"msg_ID","output_index":0,"content_index":0,"part":{"type":"output_text","text":"It is <warm> & dry.","annotations":[],"logprobs":[]}}`,
				`{"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"msg_ID","status":"completed","role":"assistant","content":[{"type":"output_text","text":"It is <warm> & dry.","annotations":[],"logprobs":[]}]}}`,
				`{"type":"response.completed","response":…}`,
			},
			`[{"type":"message","id":"msg_ID","status":"completed","role":"assistant","content":[{"type":"output_text","text":"It is <warm> & dry.","annotations":[],"logprobs":[]}]}]`,
			"completed",
		},
		{
			"reasoning and calls", `<think>hm</think><tool_call>{"name": "weather", "arguments": {"city": "Ulm"}}</tool_call>` +
				`<tool_call>{"name": "weather", "arguments": {"city": "Bonn"}}</tool_call>`,
			`"input": "Hello.", "include": ["reasoning.encrypted_content"], ` + weather,
			[]string{
				`{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs_ID","status":"in_progress","summary":[],"content":[]}}`,
				`{"type":"response.content_part.added","item_id":"rs_ID","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":""}}`,
				`{"type":"response.reasoning_text.delta","item_id":"rs_ID","output_index":0,"content_index":0,"delta":"hm"}`,
				`{"type":"response.reasoning_text.done","item_id":"rs_ID","output_index":0,"content_index":0,"text":"hm"}`,
				`{"type":"response.content_part.done","item_id":"rs_ID","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":"hm"}}`,
				`{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs_ID","status":"completed","summary":[],"content":[{"type":"reasoning_text","text":"hm"}],"encrypted_content":"ebb:aG0="}}`,
				`{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","id":"fc_ID","status":"in_progress","call_id":"call_ID","name":"weather","arguments":""}}`,
				`{"type":"response.function_call_arguments.delta","item_id":"fc_ID","output_index":1,"delta":"{\"city\": \"Ulm\"}"}`,
				`{"type":"response.function_call_arguments.done","item_id":"fc_ID","output_index":1,"name":"weather","arguments":"{\"city\": \"Ulm\"}"}`,
				`{"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","id":"fc_ID","status":"completed","call_id":"call_ID","name":"weather","arguments":"{\"city\": \"Ulm\"}"}}`,
				`{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","id":"fc_ID","status":"in_progress","call_id":"call_ID","name":"weather","arguments":""}}`,
				`{"type":"response.function_call_arguments.delta","item_id":"fc_ID","output_index":2,"delta":"{\"city\": \"Bonn\"}"}`,
				`{"type":"response.function_call_arguments.done","item_id":"fc_ID","output_index":2,"name":"weather","arguments":"{\"city\": \"Bonn\"}"}`,
				`{"type":"response.output_item.done","output_index":2,"item":{"type":"function_call","id":"fc_ID","status":"completed","call_id":"call_ID","name":"weather","arguments":"{\"city\": \"Bonn\"}"}}`,
				`{"type":"response.completed","response":…}`,
			},
			`[{"type":"reasoning","id":"rs_ID","status":"completed","summary":[],"content":[{"type":"reasoning_text","text":"hm"}],"encrypted_content":"ebb:aG0="},` +
				`{"type":"function_call","id":"fc_ID","status":"completed","call_id":"call_ID","name":"weather","arguments":"{\"city\": \"Ulm\"}"},` +
				`{"type":"function_call","id":"fc_ID","status":"completed","call_id":"call_ID","name":"weather","arguments":"{\"city\": \"Bonn\"}"}]`,
			"completed",
		},
		{
			"one call alone", `<tool_call>{"name": "weather", "arguments": {}}</tool_call><tool_call>{"name": "weather", "arguments": {}}</tool_call>`,
			`"input": "Hello.", "parallel_tool_calls": false, ` + weather,
			[]string{
				`{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","id":"fc_ID","status":"in_progress","call_id":"call_ID","name":"weather","arguments":""}}`,
				`{"type":"response.function_call_arguments.delta","item_id":"fc_ID","output_index":0,"delta":"{}"}`,
				`{"type":"response.function_call_arguments.done","item_id":"fc_ID","output_index":0,"name":"weather","arguments":"{}"}`,
				`{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","id":"fc_ID","status":"completed","call_id":"call_ID","name":"weather","arguments":"{}"}}`,
				`{"type":"response.completed","response":…}`,
			},
			`[{"type":"function_call","id":"fc_ID","status":"completed","call_id":"call_ID","name":"weather","arguments":"{}"}]`,
			"completed",
		},
		{
			"too few tokens", "<<<<", `"input": [], "max_output_tokens": 1`,
			[]string{
				`{"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"msg_ID","status":"in_progress","role":"assistant","content":[]}}`,
				`{"type":"response.content_part.added","item_id":"msg_ID","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}`,
				`{"type":"response.output_text.delta","item_id":"msg_ID","output_index":0,"content_index":0,"delta":"<","logprobs":[]}`,
				`{"type":"response.output_text.done","item_id":"msg_ID","output_index":0,"content_index":0,"text":"<","logprobs":[]}`,
				`{"type":"response.content_part.done","item_id":"msg_ID","output_index":0,"content_index":0,"part":{"type":"output_text","text":"<","annotations":[],"logprobs":[]}}`,
				`{"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"msg_ID","status":"incomplete","role":"assistant","content":[{"type":"output_text","text":"<","annotations":[],"logprobs":[]}]}}`,
				`{"type":"response.incomplete","response":…}`,
			},
			`[{"type":"message","id":"msg_ID","status":"incomplete","role":"assistant","content":[{"type":"output_text","text":"<","annotations":[],"logprobs":[]}]}]`,
			"incomplete",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.answer, service.Options{})
			answered, body := s.send(t, "", http.MethodPost, "/v1/responses", `{"stream": true, `+tt.body+`}`)
			if kind := answered.Header.Get("Content-Type"); answered.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/event-stream") {
				t.Fatalf("%s, %s: %s", answered.Status, kind, body)
			}
			got, last := events(t, body)
			if diff := cmp.Diff(got, slices.Concat([]string{created, progress}, tt.want)); diff != "" {
				t.Errorf("events (-got +want):\n%s", diff)
			}
			text, r := s.post(t, `{`+tt.body+`}`)
			for _, r := range []response{r, last} {
				if output := anonymous(marshal(t, r.Output)); output != tt.output || r.Status != tt.status || (r.Incomplete != nil) != (tt.status == "incomplete") {
					t.Errorf("%s, %+v\ngot  %s\nwant %s", r.Status, r.Incomplete, output, tt.output)
				}
				if u := r.Usage; u == nil || u.Input == 0 || u.Output == 0 || u.Total != u.Input+u.Output || (u.OutputDetails.Reasoning > 0) != strings.Contains(tt.answer, "<think>") {
					t.Errorf("usage is %+v", u)
				}
			}
			if _, kept := s.send(t, "", http.MethodGet, "/v1/responses/"+r.ID, ""); kept != text {
				t.Errorf("kept is %s\nwant    %s", kept, text)
			}
		})
	}
}

func marshal(tb testing.TB, v any) string {
	tb.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

func TestAResponseHasTheFieldsOfItsRequest(t *testing.T) {
	s := serve(t, "{}", service.Options{})
	text, _ := s.post(t, `{
		"model": "m", "input": "Hello.", "instructions": "Be brief.", "max_output_tokens": 5, "temperature": 0, "top_p": 0.5, "metadata": {"a": "b"},
		"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}, "tools": [{"type": "function", "name": "f", "more": 1}], "text": {"format": {"type": "json_object"}},
		"reasoning": {"effort": "low", "summary": "auto"}, "prompt_cache_key": "k", "user": "u", "store": false, "truncation": "auto"
	}`)
	want := `{"id":"resp_ID","object":"response","created_at":N,"status":"completed","background":false,"error":null,"incomplete_details":null,"model":"m",` +
		`"output":…,"metadata":{"a":"b"},"usage":{"input_tokens":N,"input_tokens_details":{"cached_tokens":0},"output_tokens":N,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":N},` +
		`"instructions":"Be brief.","max_output_tokens":N,"parallel_tool_calls":true,"previous_response_id":null,"prompt_cache_key":"k","reasoning":{"effort":"low","summary":"auto"},` +
		`"service_tier":"default","store":false,"temperature":0,"text":{"format":{"type":"json_object"}},"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[]},"tools":[{"type":"function","name":"f","more":1}],` +
		`"top_logprobs":0,"top_p":0.5,"truncation":"disabled","user":"u"}`
	output := regexp.MustCompile(`"output":\[.*\],"metadata"`)
	if got := output.ReplaceAllString(anonymous(text), `"output":…,"metadata"`); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestItemsAreTranslatedToMessages(t *testing.T) {
	s := serve(t, "{}", service.Options{})
	answered, body := s.send(t, "pepper", http.MethodPost, "/v1/responses", `{
		"instructions": "Be brief.", "max_output_tokens": 5, "temperature": 0, "top_p": 0.9, `+weather+`, "tool_choice": "none", "reasoning": {"effort": "none"},
		"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}}, "prompt_cache_key": "the key", "unknown": {"field": []},
		"input": [
			{"role": "developer", "content": "Be kind."},
			{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "How is"}, {"type": "input_text", "text": "the weather?"}]},
			{"role": "user", "content": "Well?"},
			{"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "not this"}], "content": [{"type": "reasoning_text", "text": "hm"}]},
			{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "See:", "annotations": []}]},
			{"type": "function_call", "call_id": "call_ABCDEFGHIJKLMNOPQRSTUVWXYZ_call00000", "name": "weather", "arguments": "{\"city\": \"Ulm\"}"},
			{"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{broken"},
			{"type": "custom_tool_call", "call_id": "c3", "name": "patch", "input": "*** x"},
			{"type": "function_call_output", "call_id": "call_ABCDEFGHIJKLMNOPQRSTUVWXYZ_call00000", "output": "warm"},
			{"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "no"}, {"type": "input_text", "text": "such city"}]},
			{"type": "custom_tool_call_output", "call_id": "c3", "output": "done"},
			{"type": "web_search_call", "id": "ws_1", "status": "completed"},
			{"type": "reasoning", "summary": [], "encrypted_content": "ebb:aG1t"},
			{"type": "function_call", "call_id": "c4", "name": "weather"},
			{"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}], "encrypted_content": "gAAAA of another"},
			{"role": "assistant", "content": "Warm."},
			{"role": "assistant", "content": [{"type": "refusal", "refusal": "No more."}]}
		]
	}`)
	if answered.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", answered.Status, body)
	}
	if got := answered.Header.Get(wire.SkippedHeader); got != "web_search, web_search_call" {
		t.Errorf("the header names %q as left out", got)
	}
	r := s.last(t)
	want := []chat.Message{
		{Role: "system", Content: "Be brief.\nBe kind."},
		{Role: "user", Content: "How is\nthe weather?\nWell?"},
		{Role: "assistant", Reasoning: "hm", Content: "See:", ToolCalls: []chat.ToolCall{
			{ID: "call00000", Name: "weather", Arguments: `{"city": "Ulm"}`}, {ID: "c2", Name: "weather", Arguments: "{broken"}, {ID: "c3", Name: "patch", Arguments: `{"input":"*** x"}`},
		}},
		{Role: "tool", Name: "weather", ToolCallID: "call00000", Content: "warm"},
		{Role: "tool", Name: "weather", ToolCallID: "c2", Content: "no\nsuch city"},
		{Role: "tool", Name: "patch", ToolCallID: "c3", Content: "done"},
		{Role: "assistant", Reasoning: "hmm", ToolCalls: []chat.ToolCall{{ID: "c4", Name: "weather", Arguments: "{}"}}},
		{Role: "assistant", Reasoning: "so", Content: "Warm."},
		{Role: "assistant", Content: "No more."},
	}
	if diff := cmp.Diff(r.Chat.Messages, want); diff != "" {
		t.Errorf("messages (-got +want):\n%s", diff)
	}
	if tools := marshal(t, r.Chat.Tools); tools != `[{"function":{"name":"weather","description":"Says how it is.","parameters":{"type":"object","properties":{"city":{"type":"string"}}},"strict":true},"type":"function"}]` {
		t.Errorf("tools are %s", tools)
	}
	if c := r.Config; c.DoSample || *c.TopP != 0.9 || *c.TopK != 0 || c.MaxNewTokens != 5 {
		t.Errorf("the configuration is %+v", c)
	}
	if r.Salt != "pepper" || r.Conversation != "the key" || r.Chat.Choice.Mode != service.ToolsNone || string(r.Schema) != `{"type": "object"}` || string(r.Chat.Variables) != `{"enable_thinking": false}` {
		t.Errorf("the request is %+v", r)
	}
}

func TestFieldsOfARequestAreKept(t *testing.T) {
	s := serve(t, "ok", service.Options{})
	for _, tt := range []struct {
		name, fields string
		kept         func(service.Request) bool
	}{
		{"sampling by default", `"input": "x"`, func(r service.Request) bool { return r.Config.DoSample && *r.Config.TopK == 0 }},
		{"no input", `"input": ""`, func(r service.Request) bool {
			return cmp.Equal(r.Chat.Messages, []chat.Message{{Role: "user"}})
		}},
		{"no input at all", `"instructions": "x"`, func(r service.Request) bool {
			return cmp.Equal(r.Chat.Messages, []chat.Message{{Role: "system", Content: "x"}, {Role: "user"}})
		}},
		{"a required tool", `"input": "x", "tool_choice": "required", "parallel_tool_calls": false, ` + weather, func(r service.Request) bool {
			return r.Chat.Choice == service.ToolChoice{Mode: service.ToolsRequired, Single: true}
		}},
		{"a named tool", `"input": "x", "tool_choice": {"type": "function", "name": "weather"}, ` + weather, func(r service.Request) bool {
			return r.Chat.Choice == service.ToolChoice{Mode: service.ToolsRequired, Name: "weather"}
		}},
		{"allowed tools", `"input": "x", "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]}, "tools": [{"type": "function", "name": "f"}, {"type": "function", "name": "g"}]`, func(r service.Request) bool {
			return len(r.Chat.Tools) == 1 && r.Chat.Tools[0].Name == "g" && r.Chat.Choice.Mode == service.ToolsAuto
		}},
		{"effort", `"input": "x", "reasoning": {"effort": "minimal"}`, func(r service.Request) bool {
			return string(r.Chat.Variables) == `{"reasoning_effort": "low"}`
		}},
		{"any object", `"input": "x", "text": {"format": {"type": "json_object"}}`, func(r service.Request) bool {
			return string(r.Schema) == `{"type": "object"}`
		}},
	} {
		answered, body := s.send(t, "", http.MethodPost, "/v1/responses", `{"max_output_tokens": 1, `+tt.fields+`}`)
		if r := s.last(t); !tt.kept(r) {
			t.Errorf("%s: %s %s: %+v", tt.name, answered.Status, body, r)
		}
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	s := serve(t, "ok", service.Options{})
	for _, tt := range []struct{ body, param, code, want string }{
		{``, "", "", "empty"},
		{`[]`, "", "", "object"},
		{`{"input": 5}`, "input", "", "a string or a list of items"},
		{`{"input": [5]}`, "input[0]", "", "input[0]"},
		{`{"input": [{"role": "user", "content": 5}]}`, "input[0].content", "", "a string or a list of parts"},
		{`{"input": [{"role": "wizard", "content": "x"}]}`, "input[0].role", "", "wizard"},
		{`{"input": [{"role": "user", "content": [{"type": "input_image"}]}]}`, "input[0].content[0]", "", "input_image"},
		{`{"input": [{"role": "user", "content": [{"text": "x"}]}]}`, "input[0].content[0].type", "", "missing"},
		{`{"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file"}]}]}`, "input[0].output[0]", "", "input_file"},
		{`{"input": [{"type": "function_call", "call_id": "c", "arguments": "{}"}]}`, "input[0].name", "", "missing"},
		{`{"input": [{"type": "item_reference", "id": "msg_1"}]}`, "input[0]", "", "previous_response_id"},
		{`{"input": "x", "max_output_tokens": 0}`, "max_output_tokens", "", "1 or more"},
		{`{"input": "x", "temperature": -1}`, "", "", "temperature"},
		{`{"input": "x", "reasoning": {"effort": "huge"}}`, "reasoning.effort", "", "huge"},
		{`{"input": "x", "text": {"format": {"type": "xml"}}}`, "text.format.type", "", "xml"},
		{`{"input": "x", "text": {"format": {"type": "json_schema"}}}`, "text.format.schema", "", "missing"},
		{`{"input": "x", "text": {"format": {"type": "json_schema", "schema": []}}}`, "text.format.schema", "", "schema"},
		{`{"input": "x", "tools": [{"type": "function"}]}`, "tools[0].name", "", "missing"},
		{`{"input": "x", "tools": [{"type": "function", "name": "f", "parameters": 5}]}`, "tools[0].parameters", "", "schema"},
		{`{"input": "x", "tool_choice": 5}`, "tool_choice", "", "a string or an object"},
		{`{"input": "x", "tool_choice": "all"}`, "tool_choice", "", "all"},
		{`{"input": "x", "tool_choice": "required", "tools": [{"type": "web_search"}]}`, "tool_choice", "", "none among tools"},
		{`{"input": "x", "tool_choice": {"type": "function", "name": "f"}}`, "tool_choice.name", "", "one of tools"},
		{`{"input": "x", "tool_choice": {"type": "web_search"}}`, "tool_choice.type", "", "web_search"},
		{`{"input": "x", "background": true}`, "background", "", "background"},
		{`{"input": "x", "conversation": {"id": "conv_1"}}`, "conversation", "", "previous_response_id"},
		{`{"input": "x", "prompt": {"id": "pmpt_1"}}`, "prompt", "", "instructions"},
		{`{"input": "x", "include": ["message.output_text.logprobs"]}`, "top_logprobs", "", "log-probabilities"},
		{`{"input": "x", "previous_response_id": "resp_1"}`, "previous_response_id", "previous_response_not_found", "Previous response with id 'resp_1' not found."},
		{`{"input": "refuse me"}`, "input", "", "not that"},
		{`{"input": "` + strings.Repeat("word ", 9000) + `"}`, "", "context_length_exceeded", "prompt is too long: "},
	} {
		answered, body := s.send(t, "", http.MethodPost, "/v1/responses", tt.body)
		var got struct {
			Error struct {
				Type, Message string
				Param, Code   *string
			}
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		e := got.Error
		if answered.StatusCode != http.StatusBadRequest || e.Type != "invalid_request_error" || !strings.Contains(e.Message, tt.want) ||
			tt.param != "" && (e.Param == nil || *e.Param != tt.param) || tt.code != "" && (e.Code == nil || *e.Code != tt.code) {
			t.Errorf("%.200s: %s %s, want param %q, code %q and a message with %q", tt.body, answered.Status, body, tt.param, tt.code, tt.want)
		}
	}
	for _, route := range []string{"GET /v1/responses/resp_1", "DELETE /v1/responses/resp_1", "GET /v1/responses/..%2Fx", "GET /v1/responses/resp_1/input_items", "GET /v1/responses/resp_1/else", "POST /v1/responses/compact"} {
		method, path, _ := strings.Cut(route, " ")
		if answered, body := s.send(t, "", method, path, ""); answered.StatusCode != http.StatusNotFound || !strings.Contains(body, `"error":{"message":`) {
			t.Errorf("%s: %s %s", route, answered.Status, body)
		}
	}
	if answered, body := s.send(t, "", http.MethodPost, "/v1/responses/resp_1/cancel", ""); answered.StatusCode != http.StatusBadRequest || !strings.Contains(body, "background") {
		t.Errorf("cancelling: %s %s", answered.Status, body)
	}
}

func TestBeatsAreEventsWithNumbersOfTheirOwn(t *testing.T) {
	s := serve(t, `<tool_call>{"name": "weather", "arguments": {"city": "`+strings.Repeat("word ", 50)+`"}}</tool_call>`, service.Options{Beat: time.Microsecond})
	_, body := s.send(t, "", http.MethodPost, "/v1/responses", `{"stream": true, "input": "Hello.", `+weather+`}`)
	got, _ := events(t, body)
	beats := 0
	for _, e := range got {
		if e == `{"type":"response.in_progress","response":…}` {
			beats++
		}
	}
	if beats < 2 || strings.Contains(body, "\nid:") {
		t.Errorf("%d events in progress", beats)
	}
}

func TestAnErrorInTheMiddleIsAResponseThatFailed(t *testing.T) {
	s := serve(t, strings.Repeat("word ", 200), service.Options{})
	engine, ok := s.Answerer.(*service.Service)
	if !ok {
		t.Fatal("no service")
	}
	answered, err := http.Post(s.URL+"/v1/responses", "application/json", strings.NewReader(`{"stream": true, "input": "x"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answered.Body.Close()
	last := ""
	for lines, closed := bufio.NewScanner(answered.Body), false; lines.Scan(); {
		if strings.Contains(lines.Text(), "output_text.delta") && !closed {
			closed = true
			if err := engine.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			last = data
		}
	}
	var e struct {
		Type     string
		Response json.RawMessage
	}
	if err := json.Unmarshal([]byte(last), &e); err != nil {
		t.Fatal(err)
	}
	r := parse(t, string(e.Response))
	if e.Type != "response.failed" || r.Status != "failed" || r.Error == nil || r.Error.Code != "unavailable" || len(r.Output) != 1 || r.Usage == nil {
		t.Errorf("the last event is %s", last)
	}
	if _, kept := s.send(t, "", http.MethodGet, "/v1/responses/"+r.ID, ""); kept != string(e.Response) {
		t.Errorf("kept is %s", kept)
	}
}

func TestAResponseThatTheServerCutsHasFailed(t *testing.T) {
	h, err := responses.New(service.Only(&servicetest.Script{
		Answerer: servicetest.Open(t, ebb.Options{Context: 4096}, service.Options{}),
		Answers:  func(service.Request) string { return strings.Repeat("word ", 700) },
	}), responses.Options{})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	h.Register(mux)
	ctx, cut := context.WithCancelCause(t.Context())
	defer cut(nil)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(w, r.WithContext(ctx)) }))
	defer s.Close()
	answered, err := http.Post(s.URL+"/v1/responses", "application/json", strings.NewReader(`{"stream": true, "input": "x"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answered.Body.Close()
	last := ""
	for lines := bufio.NewScanner(answered.Body); lines.Scan(); {
		if strings.Contains(lines.Text(), "output_text.delta") {
			cut(service.ErrClosed)
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			last = data
		}
	}
	if !strings.HasPrefix(last, `{"type":"response.failed",`) || !strings.Contains(last, `"code":"unavailable"`) {
		t.Errorf("the last event is %s", last)
	}
}

func TestAClientThatGoesAwayLeavesAnIncompleteResponse(t *testing.T) {
	s := serve(t, strings.Repeat("word ", 2000), service.Options{Queue: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/v1/responses", strings.NewReader(`{"stream": true, "input": "x"}`))
	if err != nil {
		t.Fatal(err)
	}
	answered, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answered.Body.Close()
	id := ""
	for lines := bufio.NewScanner(answered.Body); lines.Scan(); {
		if found := regexp.MustCompile(`resp_[A-Z2-7]{26}`).FindString(lines.Text()); found != "" {
			id = found
		}
		if strings.Contains(lines.Text(), "output_text.delta") {
			break
		}
	}
	if other, body := s.send(t, "", http.MethodPost, "/v1/responses", `{"input": "y"}`); other.StatusCode != http.StatusTooManyRequests || other.Header.Get("Retry-After") == "" {
		t.Errorf("with a full queue: %s %s", other.Status, body)
	}
	cancel()
	for {
		kept, body := s.send(t, "", http.MethodGet, "/v1/responses/"+id, "")
		if kept.StatusCode != http.StatusOK {
			continue
		}
		if r := parse(t, body); r.Status != "incomplete" || r.Incomplete == nil || r.Incomplete.Reason != "cancelled" || len(r.Output) != 1 {
			t.Errorf("kept is %s", body)
		}
		break
	}
	for { // until its place in the queue is free
		if other, _ := s.send(t, "", http.MethodPost, "/v1/responses", `{"input": "y", "max_output_tokens": 1}`); other.StatusCode == http.StatusOK {
			return
		}
	}
}

func FuzzBodies(f *testing.F) {
	h, err := responses.New(service.Only(servicetest.Open(f, ebb.Options{Context: 256}, service.Options{})), responses.Options{})
	if err != nil {
		f.Fatal(err)
	}
	mux := http.NewServeMux()
	h.Register(mux)
	f.Add(`{"max_output_tokens": 3, "stream": true, "input": "x", ` + weather + `}`)
	f.Add(`{"max_output_tokens": 3, "input": [{"type": "function_call", "name": "f", "arguments": []}, {"type": "reasoning", "summary": "x"}, {"role": "user"}]}`)
	f.Add(`{"max_output_tokens": 3, "input": [{"type": "function_call_output", "output": null}], "tool_choice": {"type": "allowed_tools", "mode": "required"}}`)
	f.Add("\xef\xbb\xbf{}")
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/v1/responses", "/v1/responses/input_tokens"} {
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
			if w.Code >= http.StatusInternalServerError || strings.Contains(w.Body.String(), "response.failed") {
				t.Errorf("%d: %s", w.Code, w.Body)
			}
		}
	})
}
