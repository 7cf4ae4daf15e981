package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// described is a server and the file that describes it.
type described struct {
	*Server
	file  *openapi3.T
	asked map[string]bool // operations that have been answered with 200
}

// scripted is a tiny model that says what a test has written, unless a grammar rules what it says.
type scripted struct {
	*tiny
	script *servicetest.Script
}

func (l *scripted) Answer(ctx context.Context, r service.Request) (*service.Answer, error) {
	if r.Grammar != "" || r.Schema != nil || r.Chat != nil && r.Chat.Choice.Mode == service.ToolsRequired {
		return l.tiny.Answer(ctx, r)
	}
	return l.script.Answer(ctx, r)
}

// openDescribed serves a tiny model that says text.
func openDescribed(t *testing.T, text string, o Options) *described {
	t.Helper()
	path := servicetest.WriteModel(t)
	o.Models = NewModels(0, slog.New(slog.DiscardHandler), Source{Name: "tiny", Open: func() (Loaded, error) {
		e, err := ebb.Open(path, ebb.Options{Context: 512})
		if err != nil {
			return nil, err
		}
		s, err := service.New(e, service.Options{Name: "tiny"})
		if err != nil {
			return nil, errors.Join(err, e.Close())
		}
		script := &servicetest.Script{Answerer: s, Answers: func(service.Request) string { return text }}
		return &scripted{&tiny{s, e}, script}, nil
	}})
	t.Cleanup(func() {
		if err := o.Models.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := o.Models.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Ready()
	file, err := openapi3.NewLoader().LoadFromData(description)
	if err != nil {
		t.Fatal(err)
	}
	return &described{s, file, map[string]bool{}}
}

// templateOf returns the path of a route as the file has it.
func templateOf(pattern string) string {
	return strings.NewReplacer("{$}", "", "...}", "}").Replace(pattern)
}

// exchange sends a request and checks it and its answer against the file. It returns the answer.
func (d *described) exchange(t *testing.T, method, path, body string, status int) string {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "localhost"
	r.Header.Set("X-Api-Key", "key")
	_, pattern := d.routes.Handler(r)
	_, template, _ := strings.Cut(templateOf(pattern), " ")
	item := d.file.Paths.Value(template)
	if item == nil || item.GetOperation(method) == nil {
		t.Fatalf("%s %s, which is %s, is not in the file", method, path, pattern)
	}
	operation := item.GetOperation(method)
	if status < 300 && operation.RequestBody != nil {
		if err := validate(operation.RequestBody.Value.Content["application/json"], []byte(body)); err != nil {
			t.Errorf("%s %s: the request %s is not what the file says: %v", method, path, body, err)
		}
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	text := w.Body.String()
	if w.Code != status {
		t.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, w.Code, status, text)
	}
	if status == http.StatusOK {
		d.asked[method+" "+template] = true
	}
	response := operation.Responses.Status(status)
	if response == nil {
		response = operation.Responses.Default()
	}
	if len(response.Value.Content) == 0 {
		return text
	}
	kind, _, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	said := response.Value.Content[kind]
	if err != nil || said == nil {
		t.Fatalf("%s %s: the answer has the type %s, %v, which is not in the file", method, path, kind, err)
	}
	for _, value := range values(kind, text) {
		if err := validate(said, []byte(value)); err != nil {
			t.Errorf("%s %s %s: the answer %s is not what the file says: %v", method, path, body, value, err)
		}
	}
	return text
}

// values returns the JSON values of an answer: of a stream those of its events.
func values(kind, text string) (values []string) {
	switch kind {
	case "application/json":
		return []string{text}
	case "application/x-ndjson", "text/event-stream":
		for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
			line, isData := strings.CutPrefix(lines.Text(), "data: ")
			if line != "" && line != "[DONE]" && (isData || kind == "application/x-ndjson") {
				values = append(values, line)
			}
		}
	}
	return values
}

// validate checks a JSON value against what the file says of it.
func validate(of *openapi3.MediaType, data []byte) error {
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return err
	}
	return of.Schema.Value.VisitJSON(value, openapi3.MultiErrors())
}

func TestTheFileHasTheRoutesAndNoOthers(t *testing.T) {
	d := openDescribed(t, "yes", Options{Keys: []Key{NewKey("key")}})
	if err := d.file.Validate(t.Context(), openapi3.DisableExamplesValidation()); err != nil {
		t.Error(err)
	}
	var want []string
	for _, pattern := range d.routes.patterns {
		want = append(want, templateOf(pattern))
	}
	var got []string
	for path, item := range d.file.Paths.Map() {
		for method := range item.Operations() {
			got = append(got, method+" "+path)
		}
	}
	list, _ := d.file.Extensions["x-not-offered"].([]any)
	for _, one := range list {
		pattern := fmt.Sprint(one)
		got = append(got, templateOf(pattern))
		method, path, ok := strings.Cut(pattern, " ")
		if !ok {
			method, path = http.MethodPost, pattern
		}
		path = strings.NewReplacer("{id}", "x", "{id...}", "x", "{digest}", "x").Replace(path)
		if method != http.MethodHead && strings.HasSuffix(path, "/") {
			path += "x/y"
		}
		if w := ask(d, method, path, "X-Api-Key: key"); w.Code != 400 && w.Code != 404 && w.Code != 501 || !strings.Contains(w.Body.String(), `"error"`) {
			t.Errorf("%s %s: status %d, %s", method, path, w.Code, w.Body)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("what the file has (-got +want):\n%s", diff)
	}
	if w := ask(d, "GET", "/openapi.yaml"); w.Code != 200 || !bytes.Equal(w.Body.Bytes(), description) {
		t.Errorf("the file without a key: status %d", w.Code)
	}
}

func TestAnswersAreWhatTheFileSays(t *testing.T) {
	d := openDescribed(t, `<think>hm</think>It is <tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>`, Options{Private: true, Keys: []Key{NewKey("key")}})
	const (
		hi       = `"messages": [{"role": "user", "content": "hi"}]`
		function = `{"name": "f", "parameters": {"type": "object"}}`
		tools    = `"tools": [{"type": "function", "function": ` + function + `}]`
		flat     = `"tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}, {"type": "web_search"}]`
		claude   = `"tools": [{"name": "f", "input_schema": {"type": "object"}}]`
		schema   = `{"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": false}`
	)
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/chat/completions", `{` + hi + `, ` + tools + `}`, 200},
		{"POST", "/chat/completions", `{"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "n": 2, "logprobs": true, "top_logprobs": 2, "max_tokens": 25, "stop": ["x", "y"], "logit_bias": {"5": -1}}`, 200},
		{"POST", "/v1/chat/completions", `{` + hi + `, "temperature": 0, "num_beams": 2, "num_beam_groups": 1, "user": "u", "response_format": {"type": "text"}}`, 200},
		{"POST", "/v1/chat/completions", `{` + hi + `, "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": ` + schema + `}}}`, 200},
		{"POST", "/v1/chat/completions", `{` + hi + `, ` + tools + `, "stream": true, "return_progress": true, "stream_options": {"include_usage": true}, "logprobs": true}`, 200},
		{"POST", "/v1/chat/completions", `{` + hi + `, "stream": true, "max_completion_tokens": 12}`, 200},
		{"POST", "/v1/chat/completions", `{"messages": [{"role": "user", "content": "` + strings.Repeat("long ", 200) + `"}]}`, 400},
		{"POST", "/v1/chat/completions", `{"messages": 5}`, 400},
		{"POST", "/v1/chat/completions", `{` + hi + `, "n": 2, "temperature": 0}`, 400},
		{"POST", "/v1/chat/completions", ``, 400},

		{"POST", "/v1/completions", `{"prompt": "a", "max_tokens": 5}`, 200},
		{"POST", "/completions", `{"prompt": ["a", "b"], "max_tokens": 30, "logprobs": 2, "echo": true, "n": 2}`, 200},
		{"POST", "/v1/completions", `{"prompt": [[97, 98]], "max_tokens": 0, "logprobs": 1, "echo": true}`, 200},
		{"POST", "/v1/completions", `{"prompt": [97, 98], "max_tokens": 5, "stream": true, "logprobs": 0, "return_progress": true, "stream_options": {"include_usage": true}}`, 200},
		{"POST", "/v1/completions", `{"prompt": {}}`, 400},
		{"POST", "/v1/completions", `{"prompt": [9999]}`, 400},

		{"POST", "/v1/responses", `{"input": "hi", "instructions": "be kind", ` + flat + `, "metadata": {"a": "b"}, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "c"}`, 200},
		{"POST", "/v1/responses", `{"input": [{"role": "user", "content": "hi"}], "max_output_tokens": 12, "text": {"format": {"type": "text"}}, "tool_choice": "none"}`, 200},
		{"POST", "/v1/responses", `{"input": "hi", "text": {"format": {"type": "json_schema", "name": "n", "schema": ` + schema + `, "strict": true}}, "reasoning": {"effort": "low"}}`, 200},
		{"POST", "/v1/responses", `{"input": "hi", "stream": true, ` + flat + `}`, 200},
		{"POST", "/v1/responses", `{"input": "hi", "stream": true, "max_output_tokens": 12, "store": false}`, 200},
		{"POST", "/v1/responses", `{"input": "hi", "previous_response_id": "resp_x"}`, 400},
		{"POST", "/v1/responses", `{"input": 5}`, 400},
		{"POST", "/v1/responses/input_tokens", `{"input": "hi"}`, 200},
		{"POST", "/v1/responses/input_tokens", `{"background": true}`, 400},
		{"GET", "/v1/responses/resp_x", ``, 404},
		{"DELETE", "/v1/responses/resp_x", ``, 404},
		{"GET", "/v1/responses/resp_x/input_items", ``, 404},

		{"POST", "/v1/messages?beta=true", `{"max_tokens": 300, ` + hi + `, ` + claude + `, "system": "be kind"}`, 200},
		{"POST", "/v1/messages", `{"max_tokens": 20, "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}], "stop_sequences": [" i"]}`, 200},
		{"POST", "/v1/messages", `{` + hi + `, "output_config": {"format": {"type": "json_schema", "schema": ` + schema + `}}, "thinking": {"type": "disabled"}}`, 200},
		{"POST", "/v1/messages", `{"max_tokens": 300, "stream": true, ` + hi + `, ` + claude + `}`, 200},
		{"POST", "/v1/messages", `{"max_tokens": 10, "messages": []}`, 400},
		{"POST", "/v1/messages", `{"max_tokens": 10, "messages": [{"role": "user", "content": "` + strings.Repeat("long ", 200) + `"}]}`, 400},
		{"POST", "/v1/messages/count_tokens", `{` + hi + `}`, 200},
		{"POST", "/v1/messages/count_tokens", `{}`, 400},

		{"GET", "/v1/models", ``, 200},
		{"GET", "/models", ``, 200},
		{"GET", "/v1/models/tiny", ``, 200},
		{"GET", "/v1/models/a/b", ``, 404},
		{"POST", "/tokenize", `{"content": "hé"}`, 200},
		{"POST", "/tokenize", `{"content": "hé", "with_pieces": true}`, 200},
		{"POST", "/tokenize", `{"prompt": "hé", "add_special_tokens": false}`, 200},
		{"POST", "/tokenize", `{}`, 400},
		{"GET", "/tokenizer_info", ``, 200},
		{"POST", "/detokenize", `{"tokens": [104, 195, 169]}`, 200},
		{"POST", "/detokenize", `{"tokens": [-1]}`, 400},
		{"POST", "/apply-template", `{` + hi + `}`, 200},
		{"POST", "/apply-template", `{}`, 400},
		{"GET", "/props", ``, 200},
		{"GET", "/slots", ``, 200},
		{"GET", "/health", ``, 200},
		{"GET", "/v1/health", ``, 200},

		{"GET", "/api/version", ``, 200},
		{"GET", "/api/tags", ``, 200},
		{"GET", "/api/ps", ``, 200},
		{"POST", "/api/show", `{"model": "tiny"}`, 200},
		{"POST", "/api/show", `{"model": 5}`, 400},
		{"POST", "/api/chat", `{"model": "tiny", ` + hi + `, ` + tools + `, "stream": false}`, 200},
		{"POST", "/api/chat", `{"model": "tiny", ` + hi + `, ` + tools + `, "keep_alive": "5m", "options": {"seed": 1, "num_predict": 300, "stop": "x"}}`, 200},
		{"POST", "/api/chat", `{"model": "tiny"}`, 200},
		{"POST", "/api/chat", `{"messages": [{"role": "robot"}]}`, 400},
		{"POST", "/api/chat", `{` + hi + `, "options": {"mirostat": 1}}`, 501},
		{"POST", "/api/generate", `{"model": "tiny", "prompt": "hi", "stream": false, "think": true}`, 200},
		{"POST", "/api/generate", `{"model": "tiny", "prompt": "hi", "options": {"temperature": 0}}`, 200},
		{"POST", "/api/generate", `{"prompt": "hi", "suffix": "x"}`, 501},

		{"GET", "/v1/cache/conversations", ``, 200},
		{"GET", "/v1/cache/conversations?limit=1", ``, 200},
		{"GET", "/v1/cache/conversations?limit=-1", ``, 400},
		{"GET", "/v1/cache/conversations/x", ``, 404},
		{"POST", "/v1/cache/conversations/x", `{"pinned": 5}`, 400},
		{"GET", "/metrics", ``, 200},
		{"GET", "/openapi.yaml", ``, 200},
		{"GET", "/", ``, 200},
		{"GET", "/page/style.css", ``, 200},
		{"GET", "/page/none", ``, 404},
		{"GET", "/debug/pprof/", ``, 200},
		{"GET", "/debug/pprof/symbol", ``, 200},
	} {
		d.exchange(t, tt.method, tt.path, tt.body, tt.status)
	}

	var id struct{ ID string }
	read(t, d.exchange(t, "POST", "/v1/responses", `{"input": "hi"}`, 200), &id)
	d.exchange(t, "POST", "/v1/responses", `{"input": "and?", "previous_response_id": "`+id.ID+`"}`, 200)
	d.exchange(t, "GET", "/v1/responses/"+id.ID, "", 200)
	d.exchange(t, "GET", "/v1/responses/"+id.ID+"?stream=true", "", 400)
	d.exchange(t, "GET", "/v1/responses/"+id.ID+"/input_items?limit=1&order=asc", "", 200)
	d.exchange(t, "DELETE", "/v1/responses/"+id.ID, "", 200)

	var list struct{ Data []struct{ ID string } }
	read(t, d.exchange(t, "GET", "/v1/cache/conversations", "", 200), &list)
	if len(list.Data) == 0 {
		t.Fatal("no conversation is kept")
	}
	path := "/v1/cache/conversations/" + list.Data[0].ID
	d.exchange(t, "GET", path, "", 200)
	d.exchange(t, "GET", path+"/file", "", 200)
	d.exchange(t, "POST", path, `{"pinned": true}`, 200)
	d.exchange(t, "DELETE", path, "", 200)

	d.drain(func(error) {})
	d.exchange(t, "GET", "/health", "", 503)
	d.exchange(t, "POST", "/v1/chat/completions", `{`+hi+`}`, 503)
	d.exchange(t, "POST", "/v1/messages", `{`+hi+`}`, 503)
	d.exchange(t, "POST", "/api/chat", `{`+hi+`}`, 503)

	timed := []string{"GET /debug/pprof/profile", "GET /debug/pprof/trace"} // they take their time
	for path, item := range d.file.Paths.Map() {
		for method := range item.Operations() {
			if name := method + " " + path; !d.asked[name] && !slices.Contains(timed, name) {
				t.Errorf("%s is in the file and has not been tried", name)
			}
		}
	}
}

// read reads a JSON text.
func read(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

func TestRequestsInTheFileHaveTheFieldsThatAreRead(t *testing.T) {
	d, err := openapi3.NewLoader().LoadFromData(description)
	if err != nil {
		t.Fatal(err)
	}
	inline := func(path string) *openapi3.Schema {
		return d.Paths.Value(path).Post.RequestBody.Value.Content["application/json"].Schema.Value
	}
	named := func(name string) *openapi3.Schema { return d.Components.Schemas[name].Value }
	for _, tt := range []struct {
		folder string
		types  []string // or functions whose first struct it is
		schema *openapi3.Schema
	}{
		{"openai", []string{"sampling", "chatBody"}, named("ChatRequest")},
		{"openai", []string{"sampling", "completionBody"}, named("CompletionRequest")},
		{"openai", []string{"tokenize"}, inline("/tokenize")},
		{"openai", []string{"detokenize"}, inline("/detokenize")},
		{"responses", []string{"request"}, named("ResponseRequest")},
		{"anthropic", []string{"request"}, named("MessageRequest")},
		{"ollama", []string{"fields", "chatBody"}, named("OllamaChatRequest")},
		{"ollama", []string{"fields", "generateBody"}, named("OllamaGenerateRequest")},
		{"ollama", []string{"show"}, inline("/api/show")},
		{".", []string{"pin"}, inline("/v1/cache/conversations/{id}")},
	} {
		p := parsePackage(t, tt.folder)
		fields := map[string]bool{}
		for _, name := range tt.types {
			maps.Copy(fields, p.fields(t, name))
		}
		if tt.folder == "openai" && fields["messages"] { // they are read one by one
			parsePackage(t, "../chat").collect(parsePackage(t, "../chat")["Message"], "messages.", fields)
		}
		said := map[string]bool{} // whether it is read
		properties(tt.schema, "", said)
		for name := range fields {
			parent := name[:max(strings.LastIndexByte(name, '.'), 0)]
			if _, ok := said[name]; !ok && (parent == "" || hasChildren(said, parent)) {
				t.Errorf("%s reads %s, and the file does not name it", tt.folder, name)
			}
		}
		for name, isRead := range said {
			if isRead != fields[name] {
				t.Errorf("%s: the file says that %s is read: %v, and it is %v", tt.folder, name, isRead, fields[name])
			}
		}
	}
}

// properties adds the fields of a schema, and whether the file says that they are read.
func properties(s *openapi3.Schema, prefix string, all map[string]bool) {
	for _, part := range s.AllOf {
		properties(part.Value, prefix, all)
	}
	if s.Items != nil {
		properties(s.Items.Value, prefix, all)
	}
	for name, p := range s.Properties {
		all[prefix+name] = !strings.HasPrefix(p.Value.Description, "Ignored")
		properties(p.Value, prefix+name+".", all)
	}
}

// hasChildren reports whether the file names fields of a field.
func hasChildren(said map[string]bool, parent string) bool {
	for name := range said {
		if strings.HasPrefix(name, parent+".") {
			return true
		}
	}
	return false
}
