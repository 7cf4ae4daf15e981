package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// UnmarshalJSON reads a message of OpenAI's chat completions. Its content is a text, null, or a list of
// parts, of which all are text and are joined by line breaks. The reasoning may also be called
// reasoning, as some servers do. Fields that are not known are ignored.
func (m *Message) UnmarshalJSON(data []byte) error {
	var in struct {
		Role       string     `json:"role"`
		Content    content    `json:"content"`
		Name       string     `json:"name"`
		Reasoning  string     `json:"reasoning_content"`
		Thoughts   content    `json:"reasoning"`
		ToolCalls  []ToolCall `json:"tool_calls"`
		ToolCallID string     `json:"tool_call_id"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if in.Reasoning == "" {
		in.Reasoning = string(in.Thoughts)
	}
	*m = Message{
		Role: in.Role, Content: string(in.Content), Name: in.Name, Reasoning: in.Reasoning,
		ToolCalls: in.ToolCalls, ToolCallID: in.ToolCallID,
	}
	return nil
}

// content is the text of a message.
type content string

// contentPart is a part of a content. A refusal is a text of the assistant, too.
type contentPart struct {
	Type    string
	Text    *string
	Refusal *string
}

const wantContent = `want a text, null, or parts as in [{"type": "text", "text": "…"}]`

func (c *content) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case 'n':
		*c = ""
		return nil
	case '"':
		return json.Unmarshal(data, (*string)(c))
	case '[':
	default:
		return fmt.Errorf("chat: the content of a message is %.40s: "+wantContent, data)
	}
	var parts []contentPart
	if err := json.Unmarshal(data, &parts); err != nil {
		if wrongType := new(json.UnmarshalTypeError); errors.As(err, &wrongType) {
			return fmt.Errorf("chat: a part of the content of a message has a JSON %s where that cannot be: "+wantContent, wrongType.Value)
		}
		return err
	}
	texts := make([]string, len(parts))
	for i, p := range parts {
		switch {
		case p.Type == "text" && p.Text != nil:
			texts[i] = *p.Text
		case p.Type == "refusal" && p.Refusal != nil:
			texts[i] = *p.Refusal
		case p.Type == "text" || p.Type == "refusal":
			return fmt.Errorf("chat: part %d of the content of a message has no %s: "+wantContent, i, p.Type)
		default:
			return fmt.Errorf("chat: part %d of the content of a message is of type %q, which is not offered: only text is", i, p.Type)
		}
	}
	*c = content(strings.Join(texts, "\n"))
	return nil
}
