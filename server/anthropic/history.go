package anthropic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/server/wire"
)

// message is a message of a conversation.
type message struct {
	Role    string  `json:"role"`
	Content content `json:"content"`
}

// content is a text, or blocks. A text is one block.
type content []block

// block is a part of a message. Which fields it has depends on its type.
type block struct {
	Type     string          `json:"type"`
	Text     string          `json:"text"`     // of text
	Thinking string          `json:"thinking"` // of thinking
	ID       string          `json:"id"`       // of tool_use
	Name     string          `json:"name"`     // of tool_use
	Input    json.RawMessage `json:"input"`    // of tool_use

	ToolUseID string          `json:"tool_use_id"` // of tool_result
	Content   json.RawMessage `json:"content"`     // of tool_result: a content, read when it is needed, so that no body nests many
}

// Wanted says what JSON a content is.
func (content) Wanted() string { return "a string or a list of blocks" }

// UnmarshalJSON reads a text, null, or a list of blocks.
func (c *content) UnmarshalJSON(data []byte) error {
	*c = nil
	switch data[0] {
	case 'n':
		return nil
	case '"':
		text := block{Type: "text"}
		*c = content{text}
		return json.Unmarshal(data, &(*c)[0].Text)
	case '[':
		return json.Unmarshal(data, (*[]block)(c))
	}
	return wire.Mismatch[content](data)
}

// billing begins a system prompt of Claude Code. A number that is another one in each request follows,
// so that no prompt would ever begin like one before.
const billing = "x-anthropic-billing-header:"

// messages returns the conversation as templates read it.
func (q *request) messages() ([]chat.Message, *wire.Fault) {
	var h history
	if len(q.System) > 0 && strings.HasPrefix(q.System[0].Text, billing) {
		_, q.System[0].Text, _ = strings.Cut(q.System[0].Text, "\n")
		if q.System[0].Text == "" {
			q.System = q.System[1:]
		}
	}
	system, fault := texts("system", q.System)
	if fault != nil {
		return nil, fault
	}
	if system != "" {
		h.add(chat.Message{Role: "system", Content: system})
	}
	if len(q.Messages) == 0 {
		return nil, wire.Bad("messages", "messages is empty: want at least one message")
	}
	for i, m := range q.Messages {
		field := at("messages", i, "content")
		switch m.Role {
		case "user":
			fault = h.user(field, m.Content)
		case "assistant":
			fault = h.assistant(field, m.Content)
		case "system":
			var text string
			text, fault = texts(field, m.Content)
			h.add(chat.Message{Role: "system", Content: text})
		default:
			field = at("messages", i, "role")
			fault = wire.Bad(field, "%s is %.40q: want user or assistant", field, m.Role)
		}
		if fault != nil {
			return nil, fault
		}
	}
	return h.messages, nil
}

// history is a conversation as templates read it, as far as it is translated.
type history struct {
	messages []chat.Message
	names    map[string]string // of the tools of calls, by the calls' ids
}

// add adds a message. Neighbours of one role become one message, as Anthropic's servers have it: many
// templates refuse others.
func (h *history) add(m chat.Message) {
	if last := len(h.messages) - 1; last >= 0 && h.messages[last].Role == m.Role && m.Role != "tool" {
		l := &h.messages[last]
		l.Content = join(l.Content, m.Content)
		l.Reasoning = join(l.Reasoning, m.Reasoning)
		l.ToolCalls = append(l.ToolCalls, m.ToolCalls...)
		return
	}
	h.messages = append(h.messages, m)
}

// user adds a message of the user: the results of tools that it begins with, and texts.
func (h *history) user(field string, blocks content) *wire.Fault {
	var text []string
	results := false
	for i, b := range blocks {
		where := at(field, i, "")
		switch b.Type {
		case "text":
			text = append(text, b.Text)
		case "tool_result":
			result, fault := b.result(where)
			if fault != nil {
				return fault
			}
			results = true
			h.add(chat.Message{Role: "tool", Name: h.names[b.ToolUseID], ToolCallID: wire.OwnCallID(callPrefix, b.ToolUseID), Content: result})
		default:
			return unreadable(where, b.Type)
		}
	}
	if len(text) > 0 || !results {
		h.add(chat.Message{Role: "user", Content: strings.Join(text, "\n")})
	}
	return nil
}

// result returns the text of the result of a tool.
func (b *block) result(field string) (string, *wire.Fault) {
	field += ".content"
	if wire.IsNull(b.Content) {
		return "", nil
	}
	var c content
	if err := json.Unmarshal(b.Content, &c); err != nil {
		return "", wire.Bad(field, "%s cannot be read: want a string or a list of blocks", field)
	}
	return texts(field, c)
}

// assistant adds a message of the assistant.
func (h *history) assistant(field string, blocks content) *wire.Fault {
	m := chat.Message{Role: "assistant"}
	var text, thinking []string
	for i, b := range blocks {
		switch b.Type {
		case "text":
			text = append(text, b.Text)
		case "thinking":
			thinking = append(thinking, b.Thinking)
		case "redacted_thinking":
		case "tool_use":
			if b.Name == "" {
				where := at(field, i, "name")
				return wire.Bad(where, "%s is missing: want the name of a tool", where)
			}
			if h.names == nil {
				h.names = map[string]string{}
			}
			h.names[b.ID] = b.Name
			m.ToolCalls = append(m.ToolCalls, chat.ToolCall{ID: wire.OwnCallID(callPrefix, b.ID), Name: b.Name, Arguments: b.arguments()})
		default:
			return unreadable(at(field, i, ""), b.Type)
		}
	}
	m.Content, m.Reasoning = strings.Join(text, "\n"), strings.Join(thinking, "\n\n")
	h.add(m)
	return nil
}

// arguments returns the arguments of a call: an object, or what there is in place of one, which the
// template is given as a text.
func (b *block) arguments() string {
	if wire.IsNull(b.Input) {
		return "{}"
	}
	var text string
	if json.Unmarshal(b.Input, &text) == nil { // a program kept the text that no object could be read from
		return text
	}
	var compact bytes.Buffer
	if json.Compact(&compact, b.Input) != nil {
		return string(b.Input)
	}
	return compact.String()
}

// texts returns the text of blocks that are texts.
func texts(field string, blocks content) (string, *wire.Fault) {
	all := make([]string, len(blocks))
	for i, b := range blocks {
		if b.Type != "text" {
			return "", unreadable(at(field, i, ""), b.Type)
		}
		all[i] = b.Text
	}
	return strings.Join(all, "\n"), nil
}

// unreadable is the fault of a block that the model cannot read.
func unreadable(field, kind string) *wire.Fault {
	if kind == "" {
		return wire.Bad(field+".type", "%s.type is missing: want the type of a block, such as text", field)
	}
	return wire.Bad(field, "%s is a block of type %.40q, which ebb does not offer there: want text", field, kind)
}

// join joins the texts of two messages.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n" + b
}

// at names a field of an element of a list, in Anthropic's way: messages.0.content.
func at(list string, i int, field string) string {
	name := fmt.Sprintf("%s.%d", list, i)
	if field == "" {
		return name
	}
	return name + "." + field
}
