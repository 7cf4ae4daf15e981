package chat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// continueMark stands behind the content that is continued, while the template renders it. The blank at
// its end shows whether the template trims contents.
const continueMark = "<ebb-continues-here/> "

// renderOpen is Render for messages of which the last one is continued.
func (t *Template) renderOpen(messages []Message, o RenderOptions) (string, error) {
	last := len(messages) - 1
	switch m := messages[last]; {
	case o.AddGenerationPrompt:
		return "", errors.New("chat: the last message is continued, and a turn begun behind it: want only one of AddGenerationPrompt and ContinueFinal")
	case m.Role != "assistant":
		return "", fmt.Errorf("chat: the last message is to be continued and has the role %q: want assistant", m.Role)
	case len(m.ToolCalls) > 0:
		return "", errors.New("chat: the last message is to be continued and has tool calls, which nothing of it can follow: want their results behind it")
	}
	o.ContinueFinal = false
	messages = slices.Clone(messages)
	messages[last].Content += continueMark
	text, err := t.Render(messages, o)
	if err != nil {
		return "", err
	}
	end := strings.LastIndex(text, strings.TrimSpace(continueMark))
	if end < 0 {
		return "", errors.New("chat: the last message cannot be continued: the model's template does not show its content")
	}
	if strings.HasPrefix(text[end:], continueMark) {
		return text[:end], nil
	}
	return strings.TrimRightFunc(text[:end], unicode.IsSpace), nil
}
