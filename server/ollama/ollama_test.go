package ollama_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/server/ollama"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// server is a server whose answers a test writes.
type server struct {
	*httptest.Server
	*servicetest.Script
}

func serve(tb testing.TB, answer string) server {
	tb.Helper()
	script := &servicetest.Script{
		Answerer: servicetest.Open(tb, ebb.Options{Context: 512}, service.Options{Name: "tiny"}),
		Answers:  func(service.Request) string { return answer },
	}
	return serveModel(tb, script, script)
}

// serveModel is a server of a model.
func serveModel(tb testing.TB, model service.Answerer, script *servicetest.Script) server {
	tb.Helper()
	mux := http.NewServeMux()
	ollama.New(service.Only(model), wire.Options{}).Register(mux)
	s := server{httptest.NewServer(mux), script}
	tb.Cleanup(s.Close)
	return s
}

// ask sends a request and returns its status and body.
func (s server) ask(tb testing.TB, method, path, body string) (int, string) {
	tb.Helper()
	r, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return response.StatusCode, string(data)
}

var (
	times  = regexp.MustCompile(`"(created_at|modified_at|expires_at)":"[^"]*"`)
	digits = regexp.MustCompile(`(_duration|_count|"cached_prompt_tokens)":[1-9]\d*`)
	digest = regexp.MustCompile(`"digest":"[0-9a-f]{64}"`)
	ids    = regexp.MustCompile(`"id":"[^"]+",`)
)

// plain replaces what differs from run to run.
func plain(text string) string {
	text = times.ReplaceAllString(text, `"$1":"T"`)
	text = digits.ReplaceAllString(text, `$1":N`)
	text = ids.ReplaceAllString(text, "")
	return strings.TrimSpace(digest.ReplaceAllString(text, `"digest":"D"`))
}

const (
	hello = `"messages":[{"role":"user","content":"Hello."}]`
	tools = `"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]`
	spent = `"total_duration":N,"load_duration":N,"prompt_eval_count":N,"prompt_eval_duration":N,"eval_count":N,"eval_duration":N,"cached_prompt_tokens":0`
	head  = `{"model":"tiny:latest","created_at":"T",`
	think = `<think>hm</think>It is warm.<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>`
)

func TestAChatIsAnsweredWholeAndByLines(t *testing.T) {
	s := serve(t, think)
	status, got := s.ask(t, "POST", "/api/chat", `{"model":"tiny:latest","stream":false,`+tools+`,`+hello+`}`)
	want := head + `"message":{"role":"assistant","content":"It is warm.","thinking":"hm","tool_calls":[{"function":{"index":0,"name":"weather","arguments":{"city":"Rome"}}}]},"done":true,"done_reason":"stop",` + spent + `}`
	if got := plain(got); status != 200 || got != want {
		t.Errorf("status %d\n got %s\nwant %s", status, got, want)
	}
	s = serve(t, think)
	status, got = s.ask(t, "POST", "/api/chat", `{"model":"tiny:latest",`+tools+`,`+hello+`}`)
	var content, thinking string
	var calls []string
	lines := strings.Split(strings.TrimSpace(got), "\n")
	for i, text := range lines {
		var l struct {
			Message struct {
				Role, Content, Thinking string
				ToolCalls               json.RawMessage `json:"tool_calls"`
			}
			Done bool
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil || l.Done != (i == len(lines)-1) || l.Message.Role != "assistant" {
			t.Fatalf("line %d is %s: %v", i, text, err)
		}
		content, thinking = content+l.Message.Content, thinking+l.Message.Thinking
		if l.Message.ToolCalls != nil {
			calls = append(calls, string(l.Message.ToolCalls))
		}
	}
	if status != 200 || content != "It is warm." || thinking != "hm" || len(calls) != 1 {
		t.Errorf("the stream says %q, %q, %v", content, thinking, calls)
	}
	want = head + `"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",` + spent + `}`
	if got := plain(lines[len(lines)-1]); got != want {
		t.Errorf("the last line is\n     %s\nwant %s", got, want)
	}
}

func TestMessagesAndOptionsBecomeARequest(t *testing.T) {
	s := serve(t, "Fine.")
	status, got := s.ask(t, "POST", "/api/chat", `{"think":false,"stream":false,"options":{"temperature":0,"num_predict":9,"stop":"x"},`+tools+`,"messages":[
		{"role":"system","content":"Be brief."},{"role":"user","content":"How is it?"},
		{"role":"assistant","content":"","thinking":"hm","tool_calls":[{"function":{"name":"weather","arguments":{"city":"Rome"}}}]},
		{"role":"tool","content":"warm"},{"role":"user","content":"So?"}]}`)
	if status != 200 {
		t.Fatal(got)
	}
	r := s.Requests()[0]
	m := r.Chat.Messages
	if len(m) != 5 || m[2].ToolCalls[0].Arguments != `{"city":"Rome"}` || m[2].Reasoning != "hm" || m[3].Name != "weather" || r.Chat.Continue {
		t.Errorf("the messages are %+v", m)
	}
	if c := r.Config; c.DoSample || c.MaxNewTokens != 9 || !slices.Equal(c.StopStrings, []string{"x"}) || string(r.Chat.Variables) != `{"enable_thinking": false}` || len(r.Chat.Tools) != 1 {
		t.Errorf("the config is %+v, the variables %s", c, r.Chat.Variables)
	}
	if status, got = s.ask(t, "POST", "/api/chat", `{"stream":false,"think":"low","options":{"seed":7,"top_k":5},`+hello[:len(hello)-1]+`,{"role":"assistant","content":"I am"}]}`); status != 200 {
		t.Fatal(got)
	}
	r = s.Requests()[1]
	if c := r.Config; !c.DoSample || *c.Temperature != 0.8 || *c.TopK != 5 || *c.TopP != 0.9 || *c.Seed != 7 || c.MaxNewTokens != 0 || !r.Chat.Continue {
		t.Errorf("the config is %+v", c)
	}
}

func TestAPromptIsAnsweredAsAChat(t *testing.T) {
	s := serve(t, "<think>hm</think>Warm.")
	want := head + `"response":"Warm.","thinking":"hm","done":true,"done_reason":"stop",` + spent + `}`
	if status, got := s.ask(t, "POST", "/api/generate", `{"stream":false,"prompt":"How is it?"}`); status != 200 || plain(got) != want {
		t.Errorf("status %d\n got %s\nwant %s", status, plain(got), want)
	}
}

func TestAPromptIsAnsweredByASchema(t *testing.T) {
	s := serve(t, `{}`)
	if status, got := s.ask(t, "POST", "/api/generate", `{"stream":false,"system":"Be brief.","prompt":"How is it?","format":{"type":"object"}}`); status != 200 {
		t.Fatal(got)
	}
	if r := s.Requests()[0]; len(r.Chat.Messages) != 2 || string(r.Schema) != `{"type":"object"}` {
		t.Errorf("the request is %+v", r)
	}
}

func TestARawPromptIsNotRendered(t *testing.T) {
	s := serve(t, "Warm.")
	status, got := s.ask(t, "POST", "/api/generate", `{"raw":true,"prompt":"It is","options":{"num_predict":2}}`)
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if status != 200 || !strings.Contains(plain(lines[len(lines)-1]), `"response":"","done":true,"done_reason":"length",`) {
		t.Errorf("status %d, %s", status, got)
	}
	if r := s.Requests()[0]; r.Chat != nil || len(r.Prompt) == 0 {
		t.Errorf("the request is %+v", r)
	}
}

func TestWhatProgramsAskOfModels(t *testing.T) {
	s := serve(t, "")
	details := `"details":{"parent_model":"","format":"gguf","family":"llama","families":["llama"],"parameter_size":"","quantization_level":""}`
	entry := `{"name":"tiny:latest","model":"tiny:latest","modified_at":"T","size":0,"digest":"D",` + details
	template := strconv.Quote(servicetest.Template)
	nothing := `{"model":"tiny","created_at":"T","message":{"role":"assistant","content":""},"done":true,"done_reason":"unload","total_duration":N,"load_duration":0,"prompt_eval_count":0,"prompt_eval_duration":0,"eval_count":0,"eval_duration":0,"cached_prompt_tokens":0}`
	for _, tt := range []struct{ method, path, body, want string }{
		{"POST", "/api/chat", `{"model":"tiny","keep_alive":0}`, nothing},
		{"POST", "/api/chat", `{"model":"tiny","messages":[],"keep_alive":"0s","stream":false}`, nothing},
		{"GET", "/api/version", "", `{"version":"0.40.0"}`},
		{"GET", "/api/tags", "", `{"models":[` + entry + `}]}`},
		{"GET", "/api/ps", "", `{"models":[` + entry + `,"expires_at":"T","size_vram":0,"context_length":512}]}`},
		{"POST", "/api/show", `{"model":"tiny"}`, `{"modelfile":"","parameters":"","template":` + template + `,` + details + `,"model_info":{"general.architecture":"llama","llama.context_length":512,"llama.vocabulary_size":264},"capabilities":["completion","tools"],"modified_at":"T"}`},
		{"POST", "/api/chat", `{"model":"tiny"}`, `{"model":"tiny","created_at":"T","message":{"role":"assistant","content":""},"done":true,"done_reason":"load","total_duration":N,"load_duration":N,"prompt_eval_count":0,"prompt_eval_duration":0,"eval_count":0,"eval_duration":0,"cached_prompt_tokens":0}`},
	} {
		if status, got := s.ask(t, tt.method, tt.path, tt.body); status != 200 || plain(got) != tt.want {
			t.Errorf("%s: status %d\n got %s\nwant %s", tt.path, status, plain(got), tt.want)
		}
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	s := serve(t, "")
	for _, tt := range []struct {
		path, body, want string
		status           int
	}{
		{"/api/chat", ``, "the body is empty", 400},
		{"/api/chat", `{"messages":3}`, "messages is a number", 400},
		{"/api/chat", `{"options":{"num_ctx":513},` + hello + `}`, "num_ctx is 513, and the server has a context of 512 tokens", 400},
		{"/api/chat", `{"options":{"mirostat":1},` + hello + `}`, "mirostat", 501},
		{"/api/chat", `{"options":{"stop":3},` + hello + `}`, "options.stop is a number: want a string or a list of strings", 400},
		{"/api/chat", `{"options":{"top_p":-1},` + hello + `}`, "top_p", 400},
		{"/api/chat", `{"format":"xml",` + hello + `}`, `want "json" or a JSON schema`, 400},
		{"/api/chat", `{"format":{"type":"nothing"},` + hello + `}`, "schema", 400},
		{"/api/chat", `{"think":3,` + hello + `}`, "think is 3", 400},
		{"/api/chat", `{"tools":{},` + hello + `}`, "tools", 400},
		{"/api/chat", `{"messages":[{"role":"king","content":"x"}]}`, `role "king"`, 400},
		{"/api/chat", `{"messages":[{"role":"user","content":"x","images":["AA=="]}]}`, "images", 400},
		{"/api/chat", `{"messages":[{"role":"user","content":"` + strings.Repeat("long ", 600) + `"}]}`, "prompt is too long", 400},
		{"/api/generate", `{"prompt":"x","suffix":"y"}`, "suffix", 501},
		{"/api/generate", `{"prompt":"x","template":"y"}`, "template", 400},
		{"/api/generate", `{"prompt":"x","images":["AA=="]}`, "text alone", 400},
		{"/api/generate", `{"prompt":"x","context":[1]}`, "/api/chat", 400},
		{"/api/pull", `{"model":"x"}`, "does not offer downloading", 501},
		{"/api/embed", `{}`, "does not offer embeddings", 501},
		{"/api/show", `{`, "not JSON", 400},
	} {
		status, got := s.ask(t, "POST", tt.path, tt.body)
		var e struct{ Error string }
		if err := json.Unmarshal([]byte(got), &e); err != nil || status != tt.status || !strings.Contains(e.Error, tt.want) {
			t.Errorf("%s %.60s: status %d, %s; want %d, %s", tt.path, tt.body, status, got, tt.status, tt.want)
		}
	}
}

// FuzzBodies has no body that panics, hangs, or is answered with the server's own fault.
func FuzzBodies(f *testing.F) {
	f.Add("/api/chat", `{"stream":false,`+tools+`,`+hello+`,"options":{"num_predict":1,"stop":["a"]},"format":"json","think":true}`)
	f.Add("/api/chat", `{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{}}}]},{"role":"tool","content":"x"}],"options":{"num_predict":1}}`)
	f.Add("/api/generate", `{"prompt":"x","system":"y","raw":true,"options":{"num_predict":1,"repeat_penalty":1e300,"repeat_last_n":0}}`)
	f.Add("/api/show", `{"name":"tiny"}`)
	s := serveModel(f, servicetest.Open(f, ebb.Options{Context: 128}, service.Options{}), nil)
	f.Fuzz(func(t *testing.T, path, body string) {
		if path != "/api/chat" && path != "/api/generate" && path != "/api/show" {
			return
		}
		if status, got := s.ask(t, "POST", path, body); status >= 500 && status != 501 {
			t.Errorf("%s %s: status %d, %s", path, body, status, got)
		}
	})
}
