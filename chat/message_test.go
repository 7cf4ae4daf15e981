package chat

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The file holds what Jinja makes of conversations with tools, calls, results, reasoning and names,
// by templates in the forms of the families.
func TestMessagesRenderAsInJinja(t *testing.T) {
	var golden struct {
		BOS       string `json:"bos_token"`
		EOS       string `json:"eos_token"`
		Templates map[string]string
		Tools     []Tool
		Messages  map[string][]Message
		Cases     []struct {
			Template, Messages string
			Tools, Generate    bool
			Variables          json.RawMessage
			Want               *string
		}
	}
	readJSON(t, "testdata/messages.json", &golden)
	if len(golden.Cases) < 200 {
		t.Fatalf("%d cases", len(golden.Cases))
	}
	for _, tc := range golden.Cases {
		tmpl, err := New(golden.Templates[tc.Template], Vars{BOS: golden.BOS, EOS: golden.EOS})
		if err != nil {
			t.Fatalf("%s: %v", tc.Template, err)
		}
		o := RenderOptions{AddGenerationPrompt: tc.Generate, Variables: tc.Variables}
		if tc.Tools {
			o.Tools = golden.Tools
		}
		got, err := tmpl.Render(golden.Messages[tc.Messages], o)
		switch {
		case tc.Want == nil && err == nil:
			t.Errorf("%s, %s: rendered as %q; Jinja raises an error", tc.Template, tc.Messages, got)
		case tc.Want != nil && err != nil:
			t.Errorf("%s, %s: %v", tc.Template, tc.Messages, err)
		case tc.Want != nil:
			if diff := cmp.Diff(*tc.Want, got); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", tc.Template, tc.Messages, diff)
			}
		}
	}
}

func TestMessagesAreThoseOfOpenAI(t *testing.T) {
	const text = `{"role":"assistant","content":"I look.","reasoning_content":"Hm.","tool_calls":[{"id":"call00000","type":"function",` +
		`"function":{"name":"get_weather","arguments":"{\"city\": \"<Paris>\"}"}}]}`
	want := Message{Role: "assistant", Content: "I look.", Reasoning: "Hm.", ToolCalls: []ToolCall{{"call00000", "get_weather", `{"city": "<Paris>"}`}}}
	for _, form := range []string{
		text,
		strings.Replace(text, `"{\"city\": \"<Paris>\"}"`, `{"city": "<Paris>"}`, 1), // Hugging Face's
	} {
		var m Message
		if err := json.Unmarshal([]byte(form), &m); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(want); err != nil || strings.TrimSuffix(out.String(), "\n") != text {
		t.Errorf("error %v\ngot  %swant %s", err, out.String(), text)
	}
	if out, err := json.Marshal(Message{Role: "user", Content: "Hi"}); err != nil || string(out) != `{"role":"user","content":"Hi"}` {
		t.Errorf("%s, %v", out, err)
	}
}

func TestContentsAreTextsNullOrPartsOfText(t *testing.T) {
	for text, want := range map[string]Message{
		`{"role": "assistant", "content": null, "name": null, "tool_calls": null, "refusal": null}`: {Role: "assistant"},
		`{"role": "assistant"}`:              {Role: "assistant"},
		`{"role": "user", "content": "é\n"}`: {Role: "user", Content: "é\n"},
		`{"role": "user", "content": []}`:    {Role: "user"},
		`{"role": "user", "content": [{"type": "text", "text": "a"}, {"text": "b", "type": "text", "cache_control": {}}]}`:   {Role: "user", Content: "a\nb"},
		`{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}`:                                          {Role: "assistant", Content: "No."},
		`{"role": "assistant", "content": "a", "reasoning": "b", "reasoning_details": [], "audio": {"id": "x"}}`:             {Role: "assistant", Content: "a", Reasoning: "b"},
		`{"role": "assistant", "content": "a", "reasoning": "b", "reasoning_content": "c"}`:                                  {Role: "assistant", Content: "a", Reasoning: "c"},
		`{"role": "tool", "content": [{"type": "text", "text": ""}], "tool_call_id": "1"}`:                                   {Role: "tool", ToolCallID: "1"},
		`{"role": "assistant", "content": null, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{oh"}}]}`: {Role: "assistant", ToolCalls: []ToolCall{{"1", "f", "{oh"}}},
	} {
		var m Message
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	for text, want := range map[string]string{
		`{"role": "user", "content": 3}`:                                                                       `the content of a message is 3: want a text`,
		`{"role": "user", "content": {"type": "text", "text": "a"}}`:                                           `the content of a message is {"type": "text"`,
		`{"role": "user", "content": ["a"]}`:                                                                   `a part of the content of a message has a JSON string where that cannot be`,
		`{"role": "user", "content": [{"type": "text"}]}`:                                                      `part 0 of the content of a message has no text`,
		`{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]}`: `part 1 of the content of a message is of type "image_url", which is not offered: only text is`,
		`{"role": "user", "content": [{}]}`:                                                                    `is of type ""`,
		`{"role": 1}`:                                                                                          `cannot unmarshal number`,
	} {
		if err := json.Unmarshal([]byte(text), new(Message)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
}

// A model may have written arguments that are no JSON, and clients send them back. A template that only
// writes them is given the text; the error of one that reads them says which they are.
func TestArgumentsThatAreNoJSONReachTheTemplateOrAreAnError(t *testing.T) {
	messages := []Message{
		{Role: "user", Content: "Hi"},
		{Role: "assistant", ToolCalls: []ToolCall{{"1", "good", `{"a": 1}`}, {"2", "bad", `{"city": "Par`}}},
	}
	const each = "{% for m in messages %}{% for c in m.tool_calls %}"
	for template, want := range map[string]string{
		each + "{{ c.function.arguments | tojson }};{% endfor %}{% endfor %}":                                                                                       `{"a": 1};"{\"city\": \"Par";`,
		each + "{% if c.function.arguments is string %}{{ c.function.arguments }}{% else %}{{ c.function.arguments | tojson }}{% endif %};{% endfor %}{% endfor %}": `{"a": 1};{"city": "Par;`,
	} {
		tmpl, err := New(template, Vars{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tmpl.Render(messages, RenderOptions{}); err != nil || got != want {
			t.Errorf("%s: %q and the error %v, want %q", template, got, err, want)
		}
	}
	for _, template := range []string{
		each + "{% for k, v in c.function.arguments.items() %}{{ k }}{% endfor %}{% endfor %}{% endfor %}",
		each + "{% for k, v in c.function.arguments | items %}{{ k }}{% endfor %}{% endfor %}{% endfor %}",
	} {
		tmpl, err := New(template, Vars{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := tmpl.Render(messages, RenderOptions{})
		if want := "the arguments of the call of bad in message 1 are no JSON object"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q and the error %v, want one with %q", template, got, err, want)
		}
		if _, err := tmpl.Render(messages[:1], RenderOptions{}); err != nil {
			t.Errorf("%s, without the call: %v", template, err)
		}
	}
}

func TestCallsThatAreNoneAreErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{"type": "function"}`:                              "a tool call has no name",
		`{"function": {"name": "f", "arguments": [1]}}`:     "the arguments of the tool call f are [1]: want a JSON object",
		`{"function": {"name": "f", "arguments": "{\"a\""}`: "unexpected end",
	} {
		var c ToolCall
		if err := json.Unmarshal([]byte(text), &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
}

func TestToolsThatAreNoneAreErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{"type": "function"}`:    "not a list",
		`[{"name": "f"}]`:         "a tool has no function with a name",
		`[{"function": {}}]`:      "a tool has no function with a name",
		`[{"function": "f"}]`:     "a tool cannot be read: it has a JSON string where that cannot be; want",
		`[1]`:                     "a tool cannot be read",
		`[`:                       "unexpected end",
		`[{"function":{"name":1}`: "unexpected end",
	} {
		if _, err := ParseTools([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
}

func TestVariablesReachTheTemplate(t *testing.T) {
	tmpl, err := New(`{{ enable_thinking }} {{ messages[0].content }} {{ tools }}`, Vars{})
	if err != nil {
		t.Fatal(err)
	}
	hi := []Message{{Role: "user", Content: "Hi"}}
	got, err := tmpl.Render(hi, RenderOptions{Variables: []byte(`{"enable_thinking": false, "tools": 1, "messages": 2}`)})
	if err != nil || got != "False Hi None" {
		t.Errorf("%q, %v; want False Hi None", got, err)
	}
	for _, text := range []string{"", "[1]", "{"} {
		if _, err := tmpl.Render(hi, RenderOptions{Variables: []byte(text)}); err == nil || !strings.Contains(err.Error(), "variables of the template") {
			t.Errorf("variables %q: error %v", text, err)
		}
	}
}

func TestTheFormatIsFoundInTheTemplate(t *testing.T) {
	for _, tc := range []struct {
		template, architecture string
		want                   Format
	}{
		{"{{ '<|im_start|>' }}", "qwen2", Plain},
		{"…'<think>' in content…", "llama", Plain},
		{`<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>`, "qwen2", Hermes},
		{`<tool_call>\n<function=example>\n<parameter=a>`, "qwen3moe", QwenXML},
		{`<tool_call>{function-name}\n<arg_key>`, "glm4moe", GLM},
		{`"<|start|>assistant<|channel|>final<|message|>"`, "gpt-oss", Harmony},
		{`'[TOOL_CALLS]' + call.name`, "llama", Mistral},
		{`"<|python_tag|>" … <|start_header_id|>`, "llama", Llama},
		{`<|start_header_id|> … {"name": function name, "parameters": dictionary}`, "llama", Llama},
		{`'<|start_header_id|>' + message.role`, "llama", Plain},
		{`'<start_of_turn>' + role`, "gemma3", Gemma3},
		{`'<|tool_call>call:' + name`, "gemma4", Gemma4},
		{`<|tool_call|>`, "phi3", Phi4},
		{"", "gpt-oss", Harmony},
		{"{{ my_tools }}", "qwen35", QwenXML},
		{"{{ my_tools }}", "qwen35moe", QwenXML},
		{"", "qwen3next", Hermes},
		{"", "gemma3", Gemma3},
		{"", "gemma4", Gemma4},
		{"{{ xml_tools }}", "smollm3", Hermes},
		{"", "", Plain},
	} {
		if got := FormatOf(tc.template, tc.architecture); got != tc.want {
			t.Errorf("FormatOf(%q, %q) = %s, want %s", tc.template, tc.architecture, got, tc.want)
		}
	}
}

func TestANewToolIsWhatItsJSONSays(t *testing.T) {
	made, err := NewTool(`f"<`, "Does\nthings.", json.RawMessage(`{"type": "object", "properties": {"a": {"type": "string"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseTools([]byte(`[{"type": "function", "function": {"name": "f\"<", "description": "Does\nthings.", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}}]`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(read[0], made, cmp.AllowUnexported(Tool{})); diff != "" {
		t.Errorf("(-read +made):\n%s", diff)
	}
	for _, parameters := range []string{"{", "", `{}, "x": 1`} {
		if _, err := NewTool("f", "", json.RawMessage(parameters)); err == nil || !strings.Contains(err.Error(), "the parameters of the tool f are no JSON") {
			t.Errorf("parameters %q: error %v", parameters, err)
		}
	}
	if _, err := NewTool("", "", nil); err == nil || !strings.Contains(err.Error(), "no function with a name") {
		t.Errorf("error %v, want one that says that there is no name", err)
	}
}

func TestATemplateWithTagsOfReasoningReasons(t *testing.T) {
	for source, want := range map[string]bool{"{{ '<think>' }}": true, "[THINK]": true, "<|channel>": true, "'<|channel|>analysis'": true, chatML: false} {
		tmpl, err := New(source, Vars{})
		if err != nil {
			t.Fatal(err)
		}
		if got := tmpl.Reasons(); got != want {
			t.Errorf("%s: %t, want %t", source, got, want)
		}
	}
}
