package chat

import "strings"

// Format is how a family of models writes reasoning and tool calls in its answers.
type Format string

// The formats. In all of them but Harmony, reasoning may also stand in <think>…</think> at the
// beginning.
const (
	Plain   Format = "plain"    // no tool calls but, where tools are known, those of Llama
	Hermes  Format = "hermes"   // <tool_call>{"name": …, "arguments": {…}}</tool_call>: Qwen2.5, Qwen3, SmolLM3
	QwenXML Format = "qwen-xml" // <tool_call><function=…><parameter=…>…</parameter></function></tool_call>: Qwen3-Coder, Qwen3.5 to 3.8
	GLM     Format = "glm"      // <tool_call>…<arg_key>…</arg_key><arg_value>…</arg_value></tool_call>
	Harmony Format = "harmony"  // channels of gpt-oss: <|channel|>analysis<|message|>…
	Llama   Format = "llama"    // {"name": …, "parameters": {…}} as the whole answer
	Mistral Format = "mistral"  // [TOOL_CALLS][…], or [TOOL_CALLS]…[ARGS]{…}
	Gemma3  Format = "gemma3"   // calls as in Python in a block of tool_code, or JSON
	Gemma4  Format = "gemma4"   // <|tool_call>call:…{…}<tool_call|>, and <|channel>thought
	Phi4    Format = "phi4"     // <|tool_call|>[…]: Phi-4-mini, Granite
)

// FormatOf returns the format of answers that a chat template was written for. Where the template
// says nothing of tool calls, the architecture, general.architecture of the model's file, decides;
// it may be empty.
func FormatOf(template, architecture string) Format {
	has := func(text string) bool { return strings.Contains(template, text) }
	switch {
	case has("<|channel|>"):
		return Harmony
	case has("<|tool_call>"), has("<|channel>"):
		return Gemma4
	case has("[TOOL_CALLS]"):
		return Mistral
	case has("<tool_call>") && has("<function="):
		return QwenXML
	case has("<tool_call>") && has("<arg_key>"):
		return GLM
	case has("<tool_call>"):
		return Hermes
	case has("<|tool_call|>"):
		return Phi4
	case has("<|python_tag|>"), has("<|start_header_id|>") && has(`"parameters"`):
		return Llama
	case has("<start_of_turn>"):
		return Gemma3
	}
	switch architecture {
	case "gpt-oss", "gptoss":
		return Harmony
	case "gemma4":
		return Gemma4
	case "gemma3":
		return Gemma3
	case "smollm3", "qwen3next":
		return Hermes
	case "qwen35", "qwen35moe":
		return QwenXML
	case "glm4moe":
		return GLM
	default:
		return Plain
	}
}

// syntax returns what answers in the format are made of. A format that is not known is plain.
func (f Format) syntax() syntax {
	switch f {
	case Hermes, QwenXML, GLM:
		return toolCallSyntax{f}
	case Harmony:
		return harmonySyntax{}
	case Llama:
		return llamaSyntax{}
	case Mistral:
		return mistralSyntax{}
	case Gemma3:
		return gemma3Syntax{}
	case Gemma4:
		return gemma4Syntax{}
	case Phi4:
		return phi4Syntax{}
	default:
		return plainSyntax{}
	}
}
