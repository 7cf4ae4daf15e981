package chat

import (
	"slices"
	"strings"
	"testing"
)

// What a model of the Qwen 3.5 family answers is what it reads as its own turn afterwards: reasoning,
// content and calls. A result follows, and then the next question, from which on the reasoning is left
// out.
func TestATurnOfQwen35IsReadAsItWasWritten(t *testing.T) {
	var golden struct {
		Templates map[string]string
		Tools     []Tool
	}
	readJSON(t, "testdata/messages.json", &golden)
	tmpl, err := New(golden.Templates["qwen35"], Vars{})
	if err != nil {
		t.Fatal(err)
	}
	render := func(messages []Message, generate bool) string {
		t.Helper()
		text, err := tmpl.Render(messages, RenderOptions{AddGenerationPrompt: generate, Tools: golden.Tools})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	const calls = "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>\n" +
		"<tool_call>\n<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>"
	said := []Message{{Role: "user", Content: "How is the weather?"}}
	prompt := render(said, true)
	for _, answer := range []string{
		"Two cities.\n</think>\n\nI look.\n\n" + calls,
		"Two cities.\n</think>\n\n" + calls,
		"Nothing to look up.\n</think>\n\nFine, I think.",
	} {
		parser := tmpl.Format("qwen35").NewParser(ParserOptions{Tools: golden.Tools, Prompt: prompt})
		turn := Message{Role: "assistant"}
		for _, e := range append(parser.Next(answer), parser.Flush()...) {
			turn.Append(e)
		}
		all := slices.Concat(said, []Message{turn})
		if got, want := render(all, false), prompt+answer+"<|im_end|>\n"; got != want {
			t.Errorf("the turn is read as\n%s\nand was written as\n%s", got[len(prompt):], answer)
		}
		later := render(append(all, Message{Role: "user", Content: "Thanks."}), true)
		if begins := strings.TrimSuffix(prompt, "<think>\n"); !strings.HasPrefix(later, begins) || strings.Contains(later, "</think>") {
			t.Errorf("after another question the conversation is\n%s", later)
		}
	}
}
