package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/chat"
)

// waiting returns the tool calls of the last answer that have no result yet.
func (c *conversation) waiting() []chat.ToolCall {
	last := len(c.messages) - 1
	if last < 0 || c.messages[last].Role != "assistant" {
		return nil
	}
	calls := c.messages[last].ToolCalls
	return calls[min(len(c.results), len(calls)):]
}

var errNothingWaits = errors.New("no tool call waits for a result")

// give takes the result of the first call that waits for one. When all have theirs, the model goes
// on; before, there is no answer.
func (c *conversation) give(ctx context.Context, result string, w io.Writer) (*answer, error) {
	waiting := c.waiting()
	if len(waiting) == 0 {
		return nil, errNothingWaits
	}
	call := waiting[0]
	results := append(slices.Clone(c.results), chat.Message{Role: "tool", Content: result, Name: call.Name, ToolCallID: call.ID})
	if len(waiting) > 1 {
		c.results = results
		return nil, nil
	}
	return c.goOn(ctx, results, w)
}

// expressed returns messages as a template can express them. One that takes no tools knows neither
// calls nor results: there the model reads its calls as JSON, and the results as what the user
// says.
func expressed(template *chat.Template, messages []chat.Message) []chat.Message {
	if !slices.ContainsFunc(messages, func(m chat.Message) bool { return m.Role == "tool" }) || template.TakesTools() {
		return messages
	}
	var out []chat.Message
	for i, m := range messages {
		switch {
		case m.Role == "tool" && i > 0 && messages[i-1].Role == "tool":
			out[len(out)-1].Content += "\n" + toolOutput(m.Content)
			continue
		case m.Role == "tool":
			m = chat.Message{Role: "user", Content: toolOutput(m.Content)}
		case len(m.ToolCalls) > 0:
			parts := []string{m.Content}
			for _, call := range m.ToolCalls {
				parts = append(parts, fmt.Sprintf("{\"name\": %q, \"parameters\": %s}", call.Name, call.Arguments))
			}
			m.Content, m.ToolCalls = strings.TrimSpace(strings.Join(parts, "\n")), nil
		}
		out = append(out, m)
	}
	return out
}

// toolOutput is the form in which Google's guide for Gemma 3 gives results.
func toolOutput(text string) string { return "```tool_output\n" + text + "\n```" }
