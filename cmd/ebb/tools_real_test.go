package main

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
)

func TestARealModelCallsATool(t *testing.T) {
	path := testmodel.Real(t, testmodel.QwenCoder)
	needLibraries(t)
	engine, err := ebb.Open(path, ebb.Options{Cache: kv.Offloaded, Context: 1024, ForcedCopies: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConversation(engine, "", ebb.GenerationConfig{MaxNewTokens: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(c.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	}()
	if c.options.Tools, err = chat.ParseTools([]byte(weatherTool)); err != nil {
		t.Fatal(err)
	}
	if err := checkTools(c.template, c.options); err != nil {
		t.Error(err)
	}
	if f := c.template.Format(engine.Config().Architecture); f != chat.Hermes {
		t.Errorf("format %s, want %s", f, chat.Hermes)
	}
	var shown strings.Builder
	if _, err := c.ask(t.Context(), "What is the weather in Paris?", &shown); err != nil {
		t.Fatal(err)
	}
	want := []chat.ToolCall{{ID: "call00000", Name: "get_weather", Arguments: `{"city": "Paris"}`}}
	if diff := cmp.Diff(want, c.waiting()); diff != "" {
		t.Fatalf("the model calls (-want +got):\n%s", diff)
	}
	if want := "tool call: get_weather {\"city\": \"Paris\"}\n"; shown.String() != want {
		t.Errorf("shown is %q, want %q", shown.String(), want)
	}
	const result = `{"temperature": 21, "sky": "clear"}`
	a, err := c.give(t.Context(), result, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	// What so small a model makes of a result differs, but it is a message, and it has seen it.
	said := a.message(0)
	t.Logf("after the result the model says %+v", said)
	if said.Content == "" && len(said.ToolCalls) == 0 || strings.Contains(said.Content, "<tool_call>") {
		t.Errorf("after the result the model says %+v", said)
	}
	_, prompt, err := c.prompt([]chat.Message{{Role: "user", Content: "Thank you."}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<tools>\n" + `{"type": "function", "function": {"name": "get_weather"`,
		"<tool_call>\n" + `{"name": "get_weather", "arguments": {"city": "Paris"}}` + "\n</tool_call>",
		"<tool_response>\n" + result + "\n</tool_response>",
	} {
		if text := prompt.format.options.Prompt; !strings.Contains(text, want) {
			t.Errorf("the next prompt has no %q:\n%s", want, text)
		}
	}
	if c.reused == 0 {
		t.Error("nothing of the first turn was reused")
	}
}

// A grammar has the model call a tool even where it would not.
func TestARealModelMustCallATool(t *testing.T) {
	path := testmodel.Real(t, testmodel.QwenCoder)
	needLibraries(t)
	engine, err := ebb.Open(path, ebb.Options{Context: 1024})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}()
	template, err := engine.Template()
	if err != nil {
		t.Fatal(err)
	}
	tools, err := chat.ParseTools([]byte(weatherTool))
	if err != nil {
		t.Fatal(err)
	}
	r, err := renderPrompt(engine, template, []chat.Message{{Role: "user", Content: "Say hello."}}, chat.RenderOptions{Tools: tools})
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := engine.Pieces()
	if err != nil {
		t.Fatal(err)
	}
	gbnf, err := r.format.format.CallGrammar(tools, chat.CallGrammarOptions{Reasoning: template.Reasons(), Prompt: r.format.options.Prompt})
	if err != nil {
		t.Fatal(err)
	}
	config := ebb.GenerationConfig{MaxNewTokens: 100}
	if config.Grammar, err = pieces.Grammar(gbnf); err != nil {
		t.Fatal(err)
	}
	completions, err := engine.Complete(t.Context(), r.tokens, config)
	if err != nil {
		t.Fatal(err)
	}
	said := r.format.read(engine, completions, nil)[0]
	if len(said.ToolCalls) != 1 || said.ToolCalls[0].Name != "get_weather" || said.Content != "" {
		t.Errorf("the model has written %q, which is read as %+v; want one call of get_weather", completions[0].Text, said)
	}
}
