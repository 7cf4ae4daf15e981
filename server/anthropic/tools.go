package anthropic

import (
	"encoding/json"

	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// tool is a tool that the model may call, or one that Anthropic's servers run.
type tool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"input_schema"`
}

// toolChoice says whether tools are to be called.
type toolChoice struct {
	Type            string `json:"type"`
	Name            string `json:"name"`
	DisableParallel bool   `json:"disable_parallel_tool_use"`
}

// function is a tool as chat templates are given it.
type function struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
}

// tools returns the tools that the model is shown, and the types of those that it cannot call.
func (q *request) tools() (tools []chat.Tool, skipped []string, fault *wire.Fault) {
	for i, t := range q.Tools {
		if wire.IsNull(t.InputSchema) && t.Type != "" && t.Type != "custom" {
			skipped = append(skipped, t.Type)
			continue
		}
		if t.Name == "" {
			return nil, nil, wire.Bad(at("tools", i, "name"), "%s is missing: want a name", at("tools", i, "name"))
		}
		if wire.IsNull(t.InputSchema) {
			t.InputSchema = nil
		}
		data, err := json.Marshal(map[string]any{"type": "function", "function": function{t.Name, t.Description, t.InputSchema}})
		var read chat.Tool
		if err == nil {
			err = json.Unmarshal(data, &read)
		}
		if err != nil || t.InputSchema != nil && t.InputSchema[0] != '{' {
			field := at("tools", i, "input_schema")
			return nil, nil, wire.Bad(field, "%s of the tool %.80s is no JSON schema of an object", field, t.Name)
		}
		tools = append(tools, read)
	}
	return tools, skipped, nil
}

// choice returns whether tools are to be called.
func (q *request) choice(tools []chat.Tool) (c service.ToolChoice, fault *wire.Fault) {
	if q.ToolChoice == nil {
		return c, nil
	}
	c.Single = q.ToolChoice.DisableParallel
	switch q.ToolChoice.Type {
	case "auto":
		return c, nil
	case "none":
		c.Mode = service.ToolsNone
		return c, nil
	case "any":
		c.Mode = service.ToolsRequired
	case "tool":
		c.Mode, c.Name = service.ToolsRequired, q.ToolChoice.Name
		if !hasTool(tools, c.Name) {
			return c, wire.Bad("tool_choice.name", "tool_choice.name is %.80q: want the name of a tool that the model can call", c.Name)
		}
	default:
		return c, wire.Bad("tool_choice.type", "tool_choice.type is %.40q: want auto, any, tool or none", q.ToolChoice.Type)
	}
	if len(tools) == 0 {
		return c, wire.Bad("tool_choice", "tool_choice has a tool called, and there is none that the model can call")
	}
	return c, nil
}

func hasTool(tools []chat.Tool, name string) bool {
	for _, t := range tools {
		if t.Name == name {
			return true
		}
	}
	return false
}
