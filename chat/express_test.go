package chat

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestATemplateWithoutToolsIsGivenCallsAndResultsAsText(t *testing.T) {
	tmpl, err := New("{% for m in messages %}[{{ m.role }} {{ m.content }}]{% endfor %}", Vars{})
	if err != nil {
		t.Fatal(err)
	}
	called := []Message{
		{Role: "developer", Content: "Be kind."},
		{Role: "user", Content: "weather"},
		{Role: "assistant", ToolCalls: []ToolCall{{ID: "1", Name: `f"`, Arguments: `{"a": 1}`}, {ID: "2", Name: "g", Arguments: "{"}}},
	}
	want := []Message{
		{Role: "system", Content: "Be kind."},
		{Role: "user", Content: "weather"},
		{Role: "assistant", Content: "{\"name\": \"f\\\"\", \"parameters\": {\"a\": 1}}\n{\"name\": \"g\", \"parameters\": {}"},
	}
	if diff := cmp.Diff(want, tmpl.Express(called)); diff != "" {
		t.Errorf("without results (-want +got):\n%s", diff)
	}
	got := tmpl.Express(append(called, Message{Role: "tool", Content: "20", ToolCallID: "1"}, Message{Role: "tool", Content: "30", ToolCallID: "2"}))
	want = append(want, Message{Role: "user", Content: "```tool_output\n20\n```\n```tool_output\n30\n```"})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("with results (-want +got):\n%s", diff)
	}
}

func TestToolsThatATemplateDoesNotTakeAreDescribedInTheSystemMessage(t *testing.T) {
	tmpl, err := New("{% for m in messages %}[{{ m.role }} {{ m.content }}]{% endfor %}", Vars{})
	if err != nil {
		t.Fatal(err)
	}
	tools, err := ParseTools([]byte(`[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]`))
	if err != nil {
		t.Fatal(err)
	}
	said := []Message{{Role: "system", Content: "Be kind."}, {Role: "user", Content: "Hi"}}
	for _, messages := range [][]Message{said, said[1:]} {
		got, left := tmpl.Introduce(messages, tools)
		if left != nil || len(got) != 2 || got[0].Role != "system" || got[1].Content != "Hi" ||
			!strings.Contains(got[0].Content, `{"name": "f", "parameters": {"type": "object"}}`) || strings.Contains(got[0].Content, "kind") != (len(messages) == 2) {
			t.Errorf("%v becomes %v with %d tools", messages, got, len(left))
		}
	}
	if said[0].Content != "Be kind." {
		t.Errorf("the system message has become %q", said[0].Content)
	}
	if got, left := tmpl.Introduce(said, nil); len(got) != 2 || got[0].Content != "Be kind." || left != nil {
		t.Errorf("without tools it becomes %v", got)
	}
	taking, err := New("{{ tools | tojson }}", Vars{})
	if err != nil {
		t.Fatal(err)
	}
	if got, left := taking.Introduce(said, tools); len(left) != 1 || got[0].Content != "Be kind." {
		t.Errorf("a template that takes tools is given %v and %d tools", got, len(left))
	}
}

func TestATemplateThatKnowsThemIsGivenRolesAndCallsAsTheyAre(t *testing.T) {
	tmpl, err := New("{{ tools | tojson }}{% for m in messages %}{% if m.role == 'developer' %}!{% endif %}{% endfor %}", Vars{})
	if err != nil {
		t.Fatal(err)
	}
	messages := []Message{
		{Role: "developer", Content: "Be kind."},
		{Role: "assistant", ToolCalls: []ToolCall{{ID: "1", Name: "f", Arguments: `{"a": 1}`}}},
		{Role: "tool", Content: "20", ToolCallID: "1"},
	}
	if diff := cmp.Diff(messages, tmpl.Express(messages)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// transformers' continue_final_message: a template that keeps blanks keeps those of what is continued,
// and one that trims contents trims it.
func TestTheLastMessageIsContinued(t *testing.T) {
	const trimming = `{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}<end>{% endfor %}`
	keeping := strings.Replace(trimming, " | trim", "", 1)
	const splitting = `{% for m in messages %}[{{ m.role }}] {{ m.content.split('</think>')[-1].lstrip('\n') }}<end>{% endfor %}`
	for _, tc := range []struct{ template, content, want string }{
		{keeping, "Once upon", "[user] Hi<end>[assistant] Once upon"},
		{keeping, " a time \n", "[user] Hi<end>[assistant]  a time \n"},
		{keeping, "", "[user] Hi<end>[assistant] "},
		{keeping, "Hi", "[user] Hi<end>[assistant] Hi"},
		{trimming, "Once upon", "[user] Hi<end>[assistant] Once upon"},
		{trimming, " a time \n", "[user] Hi<end>[assistant] a time"},
		{trimming, "", "[user] Hi<end>[assistant]"},
		{splitting, "<think>\nHm.\n</think>\n\nSo ", "[user] Hi<end>[assistant] So "},
	} {
		tmpl, err := New(tc.template, Vars{})
		if err != nil {
			t.Fatal(err)
		}
		messages := []Message{{Role: "user", Content: "Hi"}, {Role: "assistant", Content: tc.content}}
		got, err := tmpl.Render(messages, RenderOptions{ContinueFinal: true})
		if err != nil || got != tc.want {
			t.Errorf("%s: %q is continued behind %q and the error %v, want %q", tc.template, tc.content, got, err, tc.want)
		}
		if messages[1].Content != tc.content {
			t.Errorf("the message has become %q", messages[1].Content)
		}
	}
}

func TestAMessageThatCannotBeContinuedIsAnError(t *testing.T) {
	for want, tc := range map[string]struct {
		template string
		message  Message
		generate bool
	}{
		"has the role":      {chatML, Message{Role: "user", Content: "Hi"}, false},
		"has tool calls":    {chatML, Message{Role: "assistant", ToolCalls: []ToolCall{{Name: "f", Arguments: "{}"}}}, false},
		"only one of":       {chatML, Message{Role: "assistant", Content: "Hi"}, true},
		"does not show its": {"{{ messages[0].role }}", Message{Role: "assistant", Content: "Hi"}, false},
	} {
		tmpl, err := New(tc.template, Vars{})
		if err != nil {
			t.Fatal(err)
		}
		o := RenderOptions{ContinueFinal: true, AddGenerationPrompt: tc.generate}
		if text, err := tmpl.Render([]Message{tc.message}, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %q and the error %v, want one with %q", tc.message, text, err, want)
		}
	}
}
