package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/chat/jinja"
)

// Message is one turn of a conversation, or the result of a tool. Its JSON is that of OpenAI's chat
// completions, with the reasoning_content that templates read.
type Message struct {
	Role       string     `json:"role"` // "system", "user", "assistant", "tool", or what the template knows
	Content    string     `json:"content"`
	Name       string     `json:"name,omitempty"`              // who speaks, or the tool whose result this is
	Reasoning  string     `json:"reasoning_content,omitempty"` // what the assistant thought before the content
	ToolCalls  []ToolCall `json:"tool_calls,omitempty"`        // what the assistant calls after the content
	ToolCallID string     `json:"tool_call_id,omitempty"`      // of a tool: the call that this is the result of
}

// Append adds an event of a parser to the message of the assistant that the answer is.
func (m *Message) Append(e Event) {
	switch e.Kind {
	case Text:
		m.Content += e.Text
	case Reasoning:
		m.Reasoning += e.Text
	case CallEnd:
		m.ToolCalls = append(m.ToolCalls, e.Call)
	case Markup, CallBegin, CallArguments, CallDrop:
	}
}

// ToolCall is a call of a function that the assistant asks for.
type ToolCall struct {
	ID        string // names the call; may be empty
	Name      string
	Arguments string // a JSON object
}

// toolCallJSON is a ToolCall in OpenAI's form.
type toolCallJSON struct {
	ID       string `json:"id,omitempty"`
	Type     string `json:"type"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

// MarshalJSON returns OpenAI's form, in which the arguments are a string that holds JSON.
func (c ToolCall) MarshalJSON() ([]byte, error) {
	out := toolCallJSON{ID: c.ID, Type: "function"}
	out.Function.Name, out.Function.Arguments = c.Name, json.RawMessage(quoted(c.Arguments))
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // whoever wants that does it to the whole
	err := encoder.Encode(out)
	return text.Bytes(), err
}

// UnmarshalJSON reads OpenAI's form and that of Hugging Face, in which the arguments are an object.
func (c *ToolCall) UnmarshalJSON(data []byte) error {
	var in toolCallJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if in.Function.Name == "" {
		return errors.New(`chat: a tool call has no name: want {"type": "function", "function": {"name": …, "arguments": …}}`)
	}
	*c = ToolCall{ID: in.ID, Name: in.Function.Name, Arguments: "{}"}
	switch arguments := bytes.TrimSpace(in.Function.Arguments); {
	case len(arguments) == 0, string(arguments) == "null":
	case arguments[0] == '"':
		return json.Unmarshal(arguments, &c.Arguments)
	case arguments[0] == '{':
		c.Arguments = string(arguments)
	default:
		return fmt.Errorf("chat: the arguments of the tool call %s are %.40s: want a JSON object, or a string that holds one", c.Name, arguments)
	}
	return nil
}

// Tool describes a function that the model may call. Its JSON is OpenAI's:
//
//	{"type": "function", "function": {"name": …, "description": …, "parameters": a JSON schema}}
//
// The template is given the object as it was read.
type Tool struct {
	Name string

	definition json.RawMessage
	parameters json.RawMessage     // the schema of the arguments; nil: there are none
	types      map[string][]string // the JSON types of the parameters whose schemas say which they have
}

// NewTool returns a tool. parameters is the JSON schema of its arguments; nil: it takes none.
func NewTool(name, description string, parameters json.RawMessage) (t Tool, err error) {
	text := `{"type": "function", "function": {"name": ` + quoted(name)
	if description != "" {
		text += `, "description": ` + quoted(description)
	}
	if parameters != nil {
		if !json.Valid(parameters) {
			return t, fmt.Errorf("chat: the parameters of the tool %s are no JSON: want a JSON schema", name)
		}
		text += `, "parameters": ` + string(parameters)
	}
	err = t.UnmarshalJSON([]byte(text + "}}"))
	return t, err
}

// UnmarshalJSON reads a tool.
func (t *Tool) UnmarshalJSON(data []byte) error {
	var in struct {
		Function *struct {
			Name       string
			Parameters json.RawMessage
		}
	}
	const want = `want {"type": "function", "function": {"name": …, "description": …, "parameters": a JSON schema}}`
	if err := json.Unmarshal(data, &in); err != nil {
		if wrongType := new(json.UnmarshalTypeError); errors.As(err, &wrongType) {
			return fmt.Errorf("chat: a tool cannot be read: it has a JSON %s where that cannot be; "+want, wrongType.Value)
		}
		return fmt.Errorf("chat: a tool cannot be read: %w; "+want, err)
	}
	if in.Function == nil || in.Function.Name == "" {
		return fmt.Errorf("chat: a tool has no function with a name: " + want)
	}
	*t = Tool{Name: in.Function.Name, definition: bytes.Clone(data)}
	if parameters := in.Function.Parameters; len(parameters) > 0 && string(parameters) != "null" {
		t.parameters = bytes.Clone(parameters)
	}
	t.types = parameterTypes(t.parameters)
	return nil
}

// MarshalJSON returns the tool as it was read.
func (t Tool) MarshalJSON() ([]byte, error) {
	if t.definition == nil {
		return nil, errors.New("chat: a tool is the zero value: read it from JSON")
	}
	return t.definition, nil
}

// ParseTools reads a JSON list of tools.
func ParseTools(data []byte) ([]Tool, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		if wrongType := new(json.UnmarshalTypeError); errors.As(err, &wrongType) {
			return nil, errors.New("chat: tools are not a list: want [ … ] around them")
		}
		return nil, fmt.Errorf("chat: tools cannot be read: %w", err)
	}
	tools := make([]Tool, len(list))
	for i, item := range list {
		if err := tools[i].UnmarshalJSON(item); err != nil {
			return nil, err
		}
	}
	return tools, nil
}

// value returns the message as templates read it. Fields that are empty are not defined, since
// templates ask whether they are. thinking says that the template reads the reasoning by that name,
// as that of gpt-oss does.
func (m *Message) value(thinking bool) jinja.Value {
	d := jinja.NewDict()
	d.Set("role", m.Role)
	content, reasoning := m.Content, m.Reasoning
	if thinking && len(m.ToolCalls) > 0 && content != "" && reasoning != "" {
		// The template of gpt-oss refuses both beside a call.
		content, reasoning = "", reasoning+"\n\n"+content
	}
	d.Set("content", content)
	if m.Name != "" {
		d.Set("name", m.Name)
	}
	if reasoning != "" {
		d.Set("reasoning_content", reasoning)
		if thinking {
			d.Set("thinking", reasoning)
		}
	}
	if len(m.ToolCalls) > 0 {
		calls := make([]jinja.Value, len(m.ToolCalls))
		for i, c := range m.ToolCalls {
			calls[i] = c.value()
		}
		d.Set("tool_calls", jinja.NewList(calls...))
	}
	if m.ToolCallID != "" {
		d.Set("tool_call_id", m.ToolCallID)
	}
	return d
}

// arguments returns the arguments as templates read them: as a mapping, or as the text that they are if
// they are no JSON object.
func (c ToolCall) arguments() jinja.Value {
	if v, err := jinja.FromJSON([]byte(c.Arguments)); err == nil {
		if object, ok := v.(*jinja.Dict); ok {
			return object
		}
	}
	return c.Arguments
}

// value returns the call as templates read it.
func (c ToolCall) value() jinja.Value {
	function := jinja.NewDict()
	function.Set("name", c.Name)
	function.Set("arguments", c.arguments())
	d := jinja.NewDict()
	if c.ID != "" {
		d.Set("id", c.ID)
	}
	d.Set("type", "function")
	d.Set("function", function)
	return d
}
