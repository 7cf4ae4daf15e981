package openai_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/server/openai"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// serve serves a model whose answers are text, or its own if that is empty.
func serve(t testing.TB, text string, o service.Options) (*httptest.Server, *servicetest.Script) {
	t.Helper()
	o.Name = "tiny"
	script := &servicetest.Script{
		Answerer: servicetest.Open(t, ebb.Options{Context: 512}, o),
		Answers:  func(service.Request) string { return text },
	}
	var a service.Answerer = script
	if text == "" {
		a = script.Answerer
	}
	mux := http.NewServeMux()
	openai.New(service.Only(a), wire.Options{}).Register(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server, script
}

// do sends a request and returns the status and the body.
func do(t testing.TB, server *httptest.Server, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// post sends a body and reads a JSON response.
func post(t testing.TB, server *httptest.Server, path, body string, into any) int {
	t.Helper()
	status, data := do(t, server, http.MethodPost, path, body)
	if err := json.Unmarshal([]byte(data), into); err != nil {
		t.Fatalf("%s: %d %s: %v", path, status, data, err)
	}
	return status
}

// events splits a stream into its data, and checks the framing.
func events(t testing.TB, stream string) (data []string) {
	t.Helper()
	if !strings.HasSuffix(stream, "\n\n") {
		t.Errorf("the stream ends with %.20q", stream[max(0, len(stream)-20):])
	}
	lines := bufio.NewScanner(strings.NewReader(stream))
	for lines.Scan() {
		switch line, isData := strings.CutPrefix(lines.Text(), "data: "); {
		case isData:
			data = append(data, line)
		case line != "":
			t.Errorf("the stream has the line %q", line)
		}
	}
	return data
}

// volatile are the parts of responses that differ from run to run.
var volatile = regexp.MustCompile(`"id":"[^"]*"|"(created|timings|time_ms|cached_tokens|cache)":(\d+(\.\d+)?|\{[^}]*\})`)

// still returns a response without what differs from run to run: names, times, and
// what is kept, which has rules of its own.
func still(response string) string {
	return strings.TrimSpace(volatile.ReplaceAllStringFunc(response, func(s string) string {
		name, value, _ := strings.Cut(s, ":")
		if name == `"id"` {
			prefix, rest, _ := strings.Cut(strings.Trim(value, `"`), "-")
			if i := strings.LastIndex(prefix, "_"); rest == "" && i > 0 {
				prefix, rest = prefix[:len("call")], prefix[i:]
				return `"id":"` + prefix + rest + `"`
			}
			return `"id":"` + prefix + `"`
		}
		return name + ":0"
	}))
}

const answer = `<think>hm</think>It is <tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>`

const tools = `"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]`

func TestAChatIsAnsweredWhole(t *testing.T) {
	server, _ := serve(t, answer, service.Options{})
	const head = `{"id":"chatcmpl","object":"chat.completion","created":0,"model":"tiny","choices":[`
	for _, tt := range []struct{ body, want string }{
		{
			`{"messages": [{"role": "user", "content": "hi"}], ` + tools + `}`,
			head + `{"index":0,"message":{"role":"assistant","content":"It is","reasoning_content":"hm",` +
				`"tool_calls":[{"id":"call_call00000","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],` +
				`"usage":{"prompt_tokens":111,"completion_tokens":81,"total_tokens":192,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":2}},"timings":0}`,
		},
		{
			`{"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}], "max_tokens": 20, "model": "gpt-4o"}`,
			head + `{"index":0,"message":{"role":"assistant","content":"It is","reasoning_content":"hm"},"logprobs":null,"finish_reason":"length"}],` +
				`"usage":{"prompt_tokens":22,"completion_tokens":20,"total_tokens":42,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":2}},"timings":0}`,
		},
		{
			`{"messages": [{"role": "user", "content": "hello"}], "n": 2, "stop": " i"}`,
			head + `{"index":0,"message":{"role":"assistant","content":"It","reasoning_content":"hm"},"logprobs":null,"finish_reason":"stop"},` +
				`{"index":1,"message":{"role":"assistant","content":"It","reasoning_content":"hm"},"logprobs":null,"finish_reason":"stop"}],` +
				`"usage":{"prompt_tokens":22,"completion_tokens":38,"total_tokens":60,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":4}},"timings":0}`,
		},
	} {
		status, got := do(t, server, http.MethodPost, "/v1/chat/completions", tt.body)
		if diff := cmp.Diff(still(got), tt.want); status != http.StatusOK || diff != "" {
			t.Errorf("%s: %d (-got +want):\n%s", tt.body, status, diff)
		}
	}
}

func TestAChatIsStreamed(t *testing.T) {
	server, _ := serve(t, answer, service.Options{})
	_, got := do(t, server, http.MethodPost, "/v1/chat/completions",
		`{"messages": [{"role": "user", "content": "hi"}], "stream": true, "stream_options": {"include_usage": true}, "return_progress": true, `+tools+`}`)
	const head = `{"id":"chatcmpl","object":"chat.completion.chunk","created":0,"model":"tiny","choices":[`
	chunk := func(delta string) string { return head + `{"index":0,"delta":{` + delta + `},"finish_reason":null}]}` }
	want := []string{
		chunk(`"role":"assistant","content":""`),
		head + `{"index":0,"delta":{"content":""},"finish_reason":null}],"prompt_progress":{"total":111,"cache":0,"processed":111,"time_ms":0}}`,
		chunk(`"reasoning_content":"h"`), chunk(`"reasoning_content":"m"`),
		chunk(`"content":"I"`), chunk(`"content":"t"`), chunk(`"content":" i"`), chunk(`"content":"s"`),
		chunk(`"tool_calls":[{"index":0,"id":"call_call00000","type":"function","function":{"name":"f","arguments":""}}]`),
		chunk(`"tool_calls":[{"index":0,"function":{"arguments":"{\"x\": 1}"}}]`),
		head + `{"index":0,"delta":{},"finish_reason":"tool_calls"}],"timings":0}`,
		head + `],"usage":{"prompt_tokens":111,"completion_tokens":81,"total_tokens":192,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":2}}}`,
		"[DONE]",
	}
	lines := events(t, got)
	for i, line := range lines {
		lines[i] = still(line)
	}
	if diff := cmp.Diff(lines, want); diff != "" {
		t.Errorf("chunks (-got +want):\n%s", diff)
	}
}

func TestEveryTextOfAStreamHasOneFinishAndUsageIsAskedFor(t *testing.T) {
	server, _ := serve(t, answer, service.Options{})
	_, got := do(t, server, http.MethodPost, "/v1/chat/completions", `{"messages": [{"role": "user", "content": "hi"}], "stream": true, "n": 3}`)
	roles, finishes := map[int]int{}, map[int]int{}
	lines := events(t, got)
	for _, line := range lines[:len(lines)-1] {
		var chunk struct {
			Choices []struct {
				Index  int
				Delta  struct{ Role string }
				Finish *string `json:"finish_reason"`
			}
			Usage any
		}
		if err := json.Unmarshal([]byte(line), &chunk); err != nil || len(chunk.Choices) != 1 || chunk.Usage != nil {
			t.Fatalf("%s: %v", line, err)
		}
		c := chunk.Choices[0]
		if c.Delta.Role != "" {
			roles[c.Index]++
		}
		if c.Finish != nil {
			finishes[c.Index]++
		}
	}
	want := map[int]int{0: 1, 1: 1, 2: 1}
	if diff := cmp.Diff(roles, want) + cmp.Diff(finishes, want); diff != "" || lines[len(lines)-1] != "[DONE]" {
		t.Errorf("roles and finishes (-got +want):\n%s", diff)
	}
}

func TestAnAnswerHasOneCallWhereMoreAreNotWanted(t *testing.T) {
	call := `<tool_call>{"name": "f", "arguments": {}}</tool_call>`
	server, _ := serve(t, call+call+"and more", service.Options{})
	for parallel, want := range map[bool]int{true: 2, false: 1} {
		var got struct {
			Choices []struct {
				Message struct {
					ToolCalls []json.RawMessage `json:"tool_calls"`
				}
				Finish string `json:"finish_reason"`
			}
		}
		body := fmt.Sprintf(`{"messages": [{"role": "user", "content": "hi"}], "parallel_tool_calls": %t, %s}`, parallel, tools)
		post(t, server, "/v1/chat/completions", body, &got)
		if c := got.Choices[0]; len(c.Message.ToolCalls) != want || c.Finish != "tool_calls" {
			t.Errorf("parallel %t: %+v", parallel, c)
		}
	}
}

func TestWhatIsKeptIsTold(t *testing.T) {
	server, _ := serve(t, answer, service.Options{})
	for i := range 3 {
		var got struct {
			Usage struct {
				Prompt  int `json:"prompt_tokens"`
				Details struct {
					Cached int `json:"cached_tokens"`
				} `json:"prompt_tokens_details"`
			}
			Timings struct {
				Cached int `json:"cache_n"`
				Prompt int `json:"prompt_n"`
			}
		}
		response, err := server.Client().Post(server.URL+"/v1/chat/completions", "", strings.NewReader(fmt.Sprintf(`{%s, "stream": %t}`, hi, i == 2))) //nolint:noctx // it ends with the server
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		data, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			if cached := response.Trailer.Get("X-Ebb-Cache"); !strings.HasPrefix(cached, "19 of 20 tokens") {
				t.Errorf("behind the stream: %q", cached)
			}
			continue
		}
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		want := i * (got.Usage.Prompt - 1)
		if got.Usage.Details.Cached != want || got.Timings.Cached != want || got.Timings.Prompt != got.Usage.Prompt-want ||
			!strings.HasPrefix(response.Header.Get("X-Ebb-Cache"), fmt.Sprintf("%d of %d tokens", want, got.Usage.Prompt)) {
			t.Errorf("request %d: %+v, %q, want %d cached", i, got, response.Header.Get("X-Ebb-Cache"), want)
		}
	}
}

func TestRoutesBesideTheAnswersHaveTheirShapes(t *testing.T) {
	server, _ := serve(t, "yes", service.Options{Queue: 5})
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/v1/models", "", 200, `{"object":"list","data":[{"id":"tiny","object":"model","created":0,"owned_by":"ebb","max_model_len":512,"context_length":512,` +
			`"meta":{"n_ctx":512,"n_ctx_train":512,"n_vocab":264,"architecture":"llama","tools":true}}],"models":[]}`},
		{"GET", "/v1/models/", "", 200, `{"object":"list"`},
		{"GET", "/v1/models/tiny", "", 200, `"max_model_len":512`},
		{"GET", "/v1/models/o/r", "", 404, `"code":"model_not_found"`},
		{"DELETE", "/v1/models/tiny", "", 501, "does not offer deleting models"},
		{"GET", "/props", "", 200, `{"default_generation_settings":{"n_ctx":512},"total_slots":5,"model_alias":"tiny","chat_template":"{% if tools`},
		{"POST", "/tokenize", `{"content": "hé"}`, 200, `{"tokens":[104,195,169]}`},
		{"POST", "/tokenize", `{"content": "</s>", "parse_special": false, "add_special": true}`, 200, `{"tokens":[`},
		{"POST", "/tokenize", `{"content": "", "with_pieces": true}`, 200, `{"tokens":[]}`},
		{"POST", "/tokenize", `{"content": "hé", "with_pieces": true}`, 200, `{"tokens":[{"id":104,"piece":"h"},{"id":195,"piece":[195]},{"id":169,"piece":[169]}]}`},
		{"POST", "/tokenize", `{}`, 400, "there is no content"},
		{"POST", "/tokenize", `{"prompt": "hé", "add_special_tokens": false}`, 200, `{"tokens":[104,195,169]}`},
		{"GET", "/tokenizer_info", ``, 200, `"eos_token":"</s>"`},
		{"POST", "/detokenize", `{"tokens": [104, 195, 169]}`, 200, `{"content":"hé","prompt":"hé"}`},
		{"POST", "/detokenize", `{"tokens": [264]}`, 400, "tokens has the token 264"},
		{"POST", "/apply-template", `{` + hi + `}`, 200, `{"prompt":"<s>user hi</s><s>assistant "}`},
		{"POST", "/apply-template", `{"messages": [{"role": "user", "content": "refuse me"}]}`, 400, "not that"},
		{"POST", "/chat/completions", `{` + hi + `}`, 200, `"content":"yes"`},
		{"POST", "/v1/embeddings", `{}`, 501, "ebb does not offer embeddings"},
		{"POST", "/v1/audio/speech", `{}`, 501, "ebb does not offer audio"},
	} {
		status, got := do(t, server, tt.method, tt.path, tt.body)
		if status != tt.status || !strings.Contains(still(got), tt.want) {
			t.Errorf("%s %s %s: %d %s, want %d %s", tt.method, tt.path, tt.body, status, got, tt.status, tt.want)
		}
		if json.Valid([]byte(got)) != true || status >= 400 && !strings.HasPrefix(got, `{"error":{"message":"`) {
			t.Errorf("%s %s: %s has not OpenAI's shape", tt.method, tt.path, got)
		}
	}
}

func TestAnAnswerThatHasToBeACallIsOne(t *testing.T) {
	for text, want := range map[string]int{
		`<tool_call>{"name": "f", "arguments": {}}</tool_call>`: http.StatusOK,
		"I would rather not.": http.StatusInternalServerError, // the grammar allows none of the tokens that the test forces
	} {
		server, _ := serve(t, text, service.Options{})
		for _, choice := range []string{`"required"`, `{"type": "function", "function": {"name": "f"}}`} {
			status, got := do(t, server, http.MethodPost, "/v1/chat/completions", `{`+hi+`, "tool_choice": `+choice+`, `+tools+`}`)
			if status != want || status == http.StatusOK && !strings.Contains(got, `"finish_reason":"tool_calls"`) {
				t.Errorf("%s, %s: %d %s", choice, text, status, got)
			}
		}
	}
}

func TestAStreamSplitsNoCharacter(t *testing.T) {
	const text = "té 🙂 日本"
	server, _ := serve(t, text, service.Options{})
	_, got := do(t, server, http.MethodPost, "/v1/chat/completions", `{`+hi+`, "stream": true, "logprobs": true}`)
	said, tokens := "", 0
	lines := events(t, got)
	for _, line := range lines[:len(lines)-1] {
		var chunk struct {
			Choices []struct {
				Delta    struct{ Content string }
				LogProbs struct{ Content []any }
			}
		}
		if err := json.Unmarshal([]byte(line), &chunk); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		said += chunk.Choices[0].Delta.Content
		tokens += len(chunk.Choices[0].LogProbs.Content)
	}
	if said != text || tokens < len([]rune(text)) {
		t.Errorf("the pieces are %q with %d tokens", said, tokens)
	}
}
