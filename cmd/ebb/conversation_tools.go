package main

import (
	"context"
	"errors"
	"io"
	"slices"

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
