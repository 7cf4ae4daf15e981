package responses

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/server/wire"
)

// input is what a request adds to a conversation, as items. A text is a message of the user.
type input []json.RawMessage

// Wanted says what JSON an input is.
func (input) Wanted() string { return "a string or a list of items" }

// UnmarshalJSON reads a text, null, or a list of items, which are read one by one later.
func (n *input) UnmarshalJSON(data []byte) error {
	*n = nil
	switch data[0] {
	case 'n':
		return nil
	case '"':
		var text string
		if err := json.Unmarshal(data, &text); err != nil || text == "" {
			return err
		}
		message, err := json.Marshal(map[string]any{
			"type": "message", "role": "user", "content": []part{{Type: "input_text", Text: text}},
		})
		*n = input{message}
		return err
	case '[':
		return json.Unmarshal(data, (*[]json.RawMessage)(n))
	}
	return wire.Mismatch[input](data)
}

// item is a part of a conversation. Which fields it has depends on its type.
type item struct {
	Type    string  `json:"type"`    // may be missing of a message
	Role    string  `json:"role"`    // of message
	Content content `json:"content"` // of message and reasoning

	CallID    string          `json:"call_id"`   // of calls and their results
	Name      string          `json:"name"`      // of calls
	Arguments json.RawMessage `json:"arguments"` // of function_call: a string
	Input     string          `json:"input"`     // of custom_tool_call
	Output    content         `json:"output"`    // of the results of calls

	Summary   content `json:"summary"`           // of reasoning
	Encrypted string  `json:"encrypted_content"` // of reasoning
}

// content is a text, or parts. A text is one part.
type content []part

// part is a part of a content.
type part struct {
	Type    string `json:"type"`
	Text    string `json:"text"`
	Refusal string `json:"refusal,omitempty"`
}

// Wanted says what JSON a content is.
func (content) Wanted() string { return "a string or a list of parts" }

// UnmarshalJSON reads a text, null, or a list of parts.
func (c *content) UnmarshalJSON(data []byte) error {
	*c = nil
	switch data[0] {
	case 'n':
		return nil
	case '"':
		*c = content{{Type: "input_text"}}
		return json.Unmarshal(data, &(*c)[0].Text)
	case '[':
		return json.Unmarshal(data, (*[]part)(c))
	}
	return wire.Mismatch[content](data)
}

// text returns the text of the parts.
func (c content) text(field string) (string, *wire.Fault) {
	texts := make([]string, len(c))
	for i, p := range c {
		switch p.Type {
		case "input_text", "output_text", "text", "reasoning_text", "summary_text":
			texts[i] = p.Text
		case "refusal":
			texts[i] = p.Refusal
		case "":
			return "", wire.Bad(at(field, i, "type"), "%s is missing: want the type of a part, such as input_text", at(field, i, "type"))
		default:
			return "", wire.Bad(at(field, i, ""), "%s is a part of type %.40q, which ebb does not offer: want input_text", at(field, i, ""), p.Type)
		}
	}
	return strings.Join(texts, "\n"), nil
}

// history is a conversation as templates read it, as far as it is translated.
type history struct {
	messages []chat.Message
	names    map[string]string // of the functions of calls, by the calls' ids
	skipped  []string          // the types of items that are left out
}

// input adds the items of a request. Where there are none, the user says nothing: that is how programs
// try whether a server answers.
func (h *history) input(n input) *wire.Fault {
	before := len(h.messages)
	for i, raw := range n {
		if fault := h.item(at("input", i, ""), raw); fault != nil {
			return fault
		}
	}
	if len(h.messages) == before {
		h.add(chat.Message{Role: "user"})
	}
	return nil
}

// item adds an item, which the fault names by field.
func (h *history) item(field string, raw json.RawMessage) (fault *wire.Fault) {
	var m item
	if fault := wire.DecodePart(field, raw, &m); fault != nil {
		return fault
	}
	switch m.Type {
	case "", "message":
		return h.message(field, m)
	case "reasoning":
		return h.think(field, m)
	case "function_call":
		return h.call(field, m, m.arguments())
	case "custom_tool_call":
		arguments, err := json.Marshal(map[string]string{"input": m.Input})
		if err != nil {
			return wire.FaultOf(err)
		}
		return h.call(field, m, string(arguments))
	case "function_call_output", "custom_tool_call_output":
		text, fault := m.Output.text(field + ".output")
		h.add(chat.Message{Role: "tool", Name: h.names[m.CallID], ToolCallID: wire.OwnCallID(callPrefix, m.CallID), Content: text})
		return fault
	case "item_reference":
		return wire.Bad(field, "%s is an item_reference, which ebb does not offer: send the item itself, or name the response before as previous_response_id", field)
	}
	h.skipped = append(h.skipped, m.Type)
	return nil
}

// message adds a message.
func (h *history) message(field string, m item) *wire.Fault {
	text, fault := m.Content.text(field + ".content")
	if fault != nil {
		return fault
	}
	switch m.Role {
	case "user", "system":
		h.add(chat.Message{Role: m.Role, Content: text})
	case "developer":
		h.add(chat.Message{Role: "system", Content: text})
	case "assistant":
		turn := h.turn(func(turn *chat.Message) bool { return turn.Content != "" || len(turn.ToolCalls) > 0 })
		turn.Content = text
	default:
		return wire.Bad(field+".role", "%s.role is %.40q: want user, assistant, system or developer", field, m.Role)
	}
	return nil
}

// think adds reasoning, which begins a turn of the assistant.
func (h *history) think(field string, m item) *wire.Fault {
	text, fault := m.Content.text(field + ".content")
	if fault != nil {
		return fault
	}
	if text == "" {
		text = open(m.Encrypted)
	}
	if text == "" {
		if text, fault = m.Summary.text(field + ".summary"); fault != nil {
			return fault
		}
	}
	turn := h.turn(func(turn *chat.Message) bool { return turn.Content != "" || len(turn.ToolCalls) > 0 })
	turn.Reasoning = joined(turn.Reasoning, text, "\n\n")
	return nil
}

// call adds a call of a function.
func (h *history) call(field string, m item, arguments string) *wire.Fault {
	if m.Name == "" {
		return wire.Bad(field+".name", "%s.name is missing: want the name of a function", field)
	}
	if h.names == nil {
		h.names = map[string]string{}
	}
	h.names[m.CallID] = m.Name
	turn := h.turn(func(*chat.Message) bool { return false })
	turn.ToolCalls = append(turn.ToolCalls, chat.ToolCall{ID: wire.OwnCallID(callPrefix, m.CallID), Name: m.Name, Arguments: arguments})
	return nil
}

// arguments returns the arguments of a call. What is no JSON object, as a model may have written it, the
// template is given as a text.
func (m item) arguments() string {
	text := string(m.Arguments)
	if wire.IsNull(m.Arguments) || json.Unmarshal(m.Arguments, &text) == nil && text == "" {
		return "{}"
	}
	return text
}

// turn returns the assistant's turn that the conversation ends with, or a new one if it ends with none,
// or with one that is over.
func (h *history) turn(over func(*chat.Message) bool) *chat.Message {
	last := len(h.messages) - 1
	if last < 0 || h.messages[last].Role != "assistant" || over(&h.messages[last]) {
		h.messages = append(h.messages, chat.Message{Role: "assistant"})
		last++
	}
	return &h.messages[last]
}

// add adds a message that is not the assistant's. Neighbours of one role become one message, since many
// templates refuse others.
func (h *history) add(m chat.Message) {
	if last := len(h.messages) - 1; last >= 0 && h.messages[last].Role == m.Role && m.Role != "tool" {
		h.messages[last].Content = joined(h.messages[last].Content, m.Content, "\n")
		return
	}
	h.messages = append(h.messages, m)
}

func joined(a, b, between string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + between + b
}

// sealed begins an encrypted_content that has the text of the reasoning, in base64.
const sealed = "ebb:"

// seal returns reasoning as an encrypted_content. It is not encrypted: it is the client's own.
func seal(reasoning string) string {
	return sealed + base64.StdEncoding.EncodeToString([]byte(reasoning))
}

// open returns the reasoning in an encrypted_content; "" if it is another server's.
func open(encrypted string) string {
	text, ours := strings.CutPrefix(encrypted, sealed)
	data, err := base64.StdEncoding.DecodeString(text)
	if !ours || err != nil {
		return ""
	}
	return string(data)
}

// at names a field of an element of a list, in OpenAI's way: input[0].content.
func at(list string, i int, field string) string {
	name := fmt.Sprintf("%s[%d]", list, i)
	if field == "" {
		return name
	}
	return name + "." + field
}
