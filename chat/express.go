package chat

import (
	"slices"
	"strings"
)

// Express returns messages as the template can express them, so that nothing that was said is lost. A
// template that takes no tools knows neither calls nor results: there the model reads its calls as JSON,
// and the results as what the user says, in the form of Google's guide for Gemma 3. The role developer
// is system where the template does not know it.
func (t *Template) Express(messages []Message) []Message {
	developer := strings.Contains(t.source, "developer")
	if !slices.ContainsFunc(messages, func(m Message) bool {
		return m.Role == "tool" || len(m.ToolCalls) > 0 || m.Role == "developer" && !developer
	}) {
		return messages
	}
	tools := t.TakesTools()
	var out []Message
	for i, m := range messages {
		switch {
		case m.Role == "developer" && !developer:
			m.Role = "system"
		case tools:
		case m.Role == "tool" && i > 0 && messages[i-1].Role == "tool":
			out[len(out)-1].Content += "\n" + toolOutput(m.Content)
			continue
		case m.Role == "tool":
			m = Message{Role: "user", Content: toolOutput(m.Content)}
		case len(m.ToolCalls) > 0:
			m.Content, m.ToolCalls = callsAsText(m), nil
		}
		out = append(out, m)
	}
	return out
}

// Introduce returns messages and tools to render, so that the model knows the tools: as they are where the
// template takes tools, and otherwise without tools and with a system message that describes them. An
// answer that calls one is then of the format [Plain].
func (t *Template) Introduce(messages []Message, tools []Tool) ([]Message, []Tool) {
	if len(tools) == 0 || t.TakesTools() {
		return messages, tools
	}
	var b strings.Builder
	b.WriteString("You can call functions. To call one, answer with nothing but a JSON object of its name and its arguments, " +
		`as in {"name": "FUNCTION", "parameters": {"ARGUMENT": "VALUE"}}. These are the functions:`)
	for _, tool := range tools {
		text, err := tool.MarshalJSON()
		if err != nil {
			continue // the zero value describes nothing
		}
		b.WriteString("\n")
		b.Write(text)
	}
	out := slices.Clone(messages)
	if len(out) > 0 && out[0].Role == "system" {
		out[0].Content += "\n\n" + b.String()
		return out, nil
	}
	return slices.Insert(out, 0, Message{Role: "system", Content: b.String()}), nil
}

// callsAsText returns the content of a message with its calls behind it.
func callsAsText(m Message) string {
	parts := []string{m.Content}
	for _, call := range m.ToolCalls {
		parts = append(parts, `{"name": `+quoted(call.Name)+`, "parameters": `+call.Arguments+`}`)
	}
	return strings.TrimSpace(strings.Join(parts, "\n"))
}

func toolOutput(text string) string { return "```tool_output\n" + text + "\n```" }
