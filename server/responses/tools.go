package responses

import (
	"encoding/json"
	"slices"

	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// tools are the tools of a request, as they were read and as they are written again.
type tools []tool

// tool is a function that the model may call, or a tool that OpenAI's servers run.
type tool struct {
	raw json.RawMessage

	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
	Strict      *bool           `json:"strict"`
}

// function is a tool as chat templates are given it.
type function struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
	Strict      *bool           `json:"strict,omitempty"`
}

// UnmarshalJSON reads a tool.
func (t *tool) UnmarshalJSON(data []byte) error {
	type fields tool
	if err := json.Unmarshal(data, (*fields)(t)); err != nil {
		return err
	}
	t.raw = slices.Clone(data)
	return nil
}

// MarshalJSON returns the tool as it was read.
func (t tool) MarshalJSON() ([]byte, error) { return t.raw, nil }

// skipped returns the types of the tools that the model is not shown.
func (ts tools) skipped() (types []string) {
	for _, t := range ts {
		if t.Type != "function" {
			types = append(types, t.Type)
		}
	}
	return types
}

// functions returns those that the model may call.
func (ts tools) functions() (functions []chat.Tool, fault *wire.Fault) {
	for i, t := range ts {
		if t.Type != "function" {
			continue
		}
		if t.Name == "" {
			field := at("tools", i, "name")
			return nil, wire.Bad(field, "%s is missing: want the name of a function", field)
		}
		if wire.IsNull(t.Parameters) {
			t.Parameters = nil
		}
		data, err := json.Marshal(map[string]any{"type": "function", "function": function{t.Name, t.Description, t.Parameters, t.Strict}})
		var read chat.Tool
		if err == nil {
			err = json.Unmarshal(data, &read)
		}
		if err != nil || t.Parameters != nil && t.Parameters[0] != '{' {
			field := at("tools", i, "parameters")
			return nil, wire.Bad(field, "%s of the function %.80s is no JSON schema of an object", field, t.Name)
		}
		functions = append(functions, read)
	}
	return functions, nil
}

// toolChoice says whether tools are to be called: by a word, or by an object. It is written as it was
// read.
type toolChoice struct {
	raw json.RawMessage

	Type  string `json:"type"`
	Mode  string `json:"mode"` // auto or required. Of allowed_tools, and of a word
	Name  string `json:"name"` // of function
	Tools []struct {
		Type string `json:"type"`
		Name string `json:"name"`
	} `json:"tools"` // of allowed_tools
}

// Wanted says what JSON a choice is.
func (toolChoice) Wanted() string { return "a string or an object" }

// UnmarshalJSON reads a word or an object.
func (c *toolChoice) UnmarshalJSON(data []byte) error {
	*c = toolChoice{raw: slices.Clone(data)}
	switch data[0] {
	case 'n':
		*c = toolChoice{}
		return nil
	case '"':
		return json.Unmarshal(data, &c.Mode)
	case '{':
		type fields toolChoice
		return json.Unmarshal(data, (*fields)(c))
	}
	return wire.Mismatch[toolChoice](data)
}

// MarshalJSON returns the choice as it was read.
func (c toolChoice) MarshalJSON() ([]byte, error) {
	if c.raw == nil {
		return []byte(`"auto"`), nil
	}
	return c.raw, nil
}

// single reports whether the answer may have one call alone.
func (q *request) single() bool { return q.ParallelCalls != nil && !*q.ParallelCalls }

// callable returns the functions that the model may call, and whether it has to.
func (q *request) callable() (functions []chat.Tool, choice service.ToolChoice, fault *wire.Fault) {
	if functions, fault = q.Tools.functions(); fault != nil {
		return nil, choice, fault
	}
	c := q.ToolChoice
	mode := c.Mode
	choice.Single = q.single()
	switch c.Type {
	case "":
	case "function":
		mode, choice.Name = "required", c.Name
		if !slices.ContainsFunc(functions, func(f chat.Tool) bool { return f.Name == c.Name }) {
			return nil, choice, wire.Bad("tool_choice.name", "tool_choice.name is %.80q: want the name of one of tools", c.Name)
		}
	case "allowed_tools":
		functions = slices.DeleteFunc(functions, func(f chat.Tool) bool {
			for _, allowed := range c.Tools {
				if allowed.Type == "function" && allowed.Name == f.Name {
					return false
				}
			}
			return true
		})
	default:
		return nil, choice, wire.Bad("tool_choice.type", "tool_choice.type is %.40q: want function or allowed_tools", c.Type)
	}
	switch mode {
	case "", "auto":
	case "none":
		choice.Mode = service.ToolsNone
	case "required":
		choice.Mode = service.ToolsRequired
		if len(functions) == 0 {
			return nil, choice, wire.Bad("tool_choice", "tool_choice has a function called, and there is none among tools")
		}
	default:
		return nil, choice, wire.Bad("tool_choice", "tool_choice is %.40q: want none, auto or required", mode)
	}
	return functions, choice, nil
}
