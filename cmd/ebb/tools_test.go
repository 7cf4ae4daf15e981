package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/kv"
)

const weatherTool = `[{"type": "function", "function": {"name": "get_weather", "description": "Get the current weather in a city.",
	"parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "The name of the city"}}, "required": ["city"]}}}]`

// toolTemplate shows tools, calls and results, and the reasoning of the last turn.
const toolTemplate = `{% if tools %}<s>tools {{ tools | tojson }}</s>{% endif %}` +
	`{% for m in messages %}<s>{{ m.role }} ` +
	`{% if m.reasoning_content and loop.last %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}` +
	`{% for c in m.tool_calls %}<tool_call>{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}</tool_call>{% endfor %}</s>{% endfor %}` +
	`{% if add_generation_prompt %}<s>assistant {% endif %}`

// writeToolModel writes a tiny model whose chat template takes tools.
func writeToolModel(path string) error {
	return writeTinyModel(path, "tiny-gqa", gguf.KV{Key: "tokenizer.chat_template", Value: toolTemplate})
}

// answerWith makes the model answer with a text.
func answerWith(t *testing.T, c *conversation, text string) {
	t.Helper()
	pieces, err := c.engine.Pieces()
	if err != nil {
		t.Fatal(err)
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text)
	if c.config.Grammar, err = pieces.Grammar(`root ::= "` + quoted + `"`); err != nil {
		t.Fatal(err)
	}
}

func openToolChat(t *testing.T) *conversation {
	t.Helper()
	needLibraries(t)
	path := filepath.Join(t.TempDir(), "tools.gguf")
	if err := writeToolModel(path); err != nil {
		t.Fatal(err)
	}
	engine, err := ebb.Open(path, ebb.Options{Cache: kv.Offloaded, KVType: "f32", Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConversation(engine, "", ebb.GenerationConfig{MaxNewTokens: 200})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	if c.options.Tools, err = chat.ParseTools([]byte(weatherTool)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAChatWithToolCalls(t *testing.T) {
	c := openToolChat(t)
	var shown strings.Builder
	answerWith(t, c, "<think>Hm.</think>Look:<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\"}}</tool_call>\n<tool_call>{\"name\": \"now\"}</tool_call>")
	if _, err := c.ask(t.Context(), "weather", &shown); err != nil {
		t.Fatal(err)
	}
	if want := "<think>\nHm.\n</think>\n\nLook:\ntool call: get_weather {\"city\": \"Rome\"}\ntool call: now {}\n"; shown.String() != want {
		t.Errorf("shown is %q, want %q", shown.String(), want)
	}
	if a, err := c.give(t.Context(), "20", io.Discard); a != nil || err != nil {
		t.Errorf("answer %v, error %v after the first of two results", a, err)
	}
	if w := c.waiting(); len(w) != 1 || w[0].Name != "now" {
		t.Errorf("%v wait, want now", w)
	}
	answerWith(t, c, "It is 20.")
	if _, err := c.give(t.Context(), "noon", io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := c.give(t.Context(), "more", io.Discard); !errors.Is(err, errNothingWaits) {
		t.Errorf("error %v, want %v", err, errNothingWaits)
	}
	want := []chat.Message{
		{Role: "user", Content: "weather"},
		{Role: "assistant", Content: "Look:", Reasoning: "Hm.", ToolCalls: []chat.ToolCall{{ID: "call00000", Name: "get_weather", Arguments: `{"city": "Rome"}`}, {ID: "call00001", Name: "now", Arguments: "{}"}}},
		{Role: "tool", Content: "20", Name: "get_weather", ToolCallID: "call00000"},
		{Role: "tool", Content: "noon", Name: "now", ToolCallID: "call00001"},
		{Role: "assistant", Content: "It is 20."},
	}
	if diff := cmp.Diff(want, c.messages); diff != "" {
		t.Errorf("conversation (-want +got):\n%s", diff)
	}
	r, err := renderPrompt(c.engine, c.template, c.messages, c.options)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.format.options.Prompt, "Hm.") {
		t.Errorf("the template drops earlier reasoning, and the prompt has it: %s", r.format.options.Prompt)
	}
}

func TestToolsForATemplateThatTakesNoneAreAnError(t *testing.T) {
	template, err := chat.New("{% for m in messages %}[{{ m.role }} {{ m.content }}]{% endfor %}", chat.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	o := chat.RenderOptions{}
	if err := checkTools(template, o); err != nil {
		t.Error(err)
	}
	if o.Tools, err = chat.ParseTools([]byte(weatherTool)); err != nil {
		t.Fatal(err)
	}
	if err := checkTools(template, o); err == nil || !strings.Contains(err.Error(), "takes no tools") {
		t.Errorf("error %v, want one that says that the template takes no tools", err)
	}
}

func TestACallIsShownOnOneLine(t *testing.T) {
	m := chat.Message{ToolCalls: []chat.ToolCall{{Name: "f", Arguments: "{\n  \"city\": \"Paris\"\n}"}, {Name: "g", Arguments: "{\n"}}}
	var out strings.Builder
	o := answerWriter{w: &out}
	if err := errors.Join(o.message(m), o.end()); err != nil || out.String() != "tool call: f {\"city\":\"Paris\"}\ntool call: g {\n\n" {
		t.Errorf("%q, error %v", out.String(), err)
	}
}

func TestReasoningIsDimmedOnATerminalAlone(t *testing.T) {
	m := chat.Message{Reasoning: "Hm.", Content: "Hello.", ToolCalls: []chat.ToolCall{{Name: "f", Arguments: "{}"}}}
	for dim, want := range map[bool]string{
		true:  "\x1b[2mHm.\x1b[0m\n\nHello.\ntool call: f {}\n",
		false: "<think>\nHm.\n</think>\n\nHello.\ntool call: f {}\n",
	} {
		var out strings.Builder
		o := answerWriter{w: &out, dim: dim}
		if err := errors.Join(o.message(m), o.end()); err != nil || out.String() != want {
			t.Errorf("dim %t: %q, error %v; want %q", dim, out.String(), err, want)
		}
	}
	// An answer that is interrupted leaves no terminal dimmed.
	var out strings.Builder
	o := answerWriter{w: &out, dim: true}
	if err := errors.Join(o.write([]chat.Event{{Kind: chat.Reasoning, Text: "Hm"}}), o.end()); err != nil || out.String() != "\x1b[2mHm\x1b[0m\n" {
		t.Errorf("%q, error %v", out.String(), err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if dims(file) || dims(&out) {
		t.Error("reasoning is dimmed where there is no terminal")
	}
}
