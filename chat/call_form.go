package chat

import (
	"strings"

	"github.com/seed4d217819/ebb/grammar"
	"github.com/seed4d217819/ebb/grammar/jsonschema"
)

// callForm is how a format writes calls, in expressions of GBNF: a call is begin, its name, between, its
// arguments and end.
type callForm struct {
	first, last string // around all calls
	begin, end  string // around each
	separator   string // between calls; "": there is one in an answer
	between     string // the name and the arguments
	bare        bool   // the name is not in a JSON string

	spelling jsonschema.Spelling
	member   func(name, value string) string // where arguments are written one by one
}

// callForms returns how the format writes calls. Which of several forms a model knows depends on its age.
func (f Format) callForms() []callForm {
	parameters := callForm{begin: `"{\"name\": \""`, between: `"\", \"parameters\": "`, end: `"}"`, separator: `"; "`}
	arguments := callForm{begin: `"{\"name\": \""`, between: `"\", \"arguments\": "`, end: `"}"`, separator: `", "`}
	switch f {
	case Hermes:
		arguments.begin, arguments.end = `'<tool_call>' "\n"? "{\"name\": \""`, `"}" "\n"? '</tool_call>'`
		arguments.separator = `"\n"`
		return []callForm{arguments}
	case QwenXML:
		return []callForm{{
			begin: `'<tool_call>' "\n<function="`, bare: true, between: `">\n"`, end: `"</function>\n" '</tool_call>'`, separator: `"\n"`,
			spelling: jsonschema.Spelling{Stop: parameterEndTag, Outermost: true},
			member: func(name, value string) string {
				return grammar.Literal(parameterTag+name+">\n") + " " + value + " " + grammar.Literal("\n"+parameterEndTag+"\n")
			},
		}}
	case GLM:
		return []callForm{{
			begin: `'<tool_call>'`, bare: true, between: `"\n"`, end: `'</tool_call>'`, separator: `"\n"`,
			spelling: jsonschema.Spelling{Stop: "</arg_value>", Outermost: true},
			member: func(name, value string) string {
				return `'<arg_key>' ` + grammar.Literal(name) + ` '</arg_key>' "\n" '<arg_value>' ` + value + ` '</arg_value>' "\n"`
			},
		}}
	case Harmony:
		return []callForm{{begin: `'<|channel|>' "commentary to=functions."`, bare: true, between: `" " '<|constrain|>' "json" '<|message|>'`}}
	case Mistral:
		arguments.first, arguments.last = `'[TOOL_CALLS]' " "? "["`, `"]"`
		return []callForm{arguments, {begin: `'[TOOL_CALLS]'`, bare: true, between: `'[ARGS]'`, separator: `""`}}
	case Gemma3:
		parameters.separator = `"\n"`
		return []callForm{parameters}
	case Gemma4:
		return []callForm{{
			begin: `'<|tool_call>' "call:"`, bare: true, end: `'<tool_call|>'`, separator: `""`,
			spelling: jsonschema.Spelling{Stop: gemma4Quote, Quote: `'` + gemma4Quote + `'`, Bare: true},
		}}
	case Phi4:
		arguments.first, arguments.last = `'<|tool_call|>' "["`, `"]" '<|/tool_call|>'?`
		return []callForm{arguments}
	default:
		return []callForm{parameters}
	}
}

// callThoughts is how a format writes reasoning before calls.
type callThoughts struct {
	begin, end     string   // expressions
	stops          []string // what the reasoning does not contain
	opened, closed string   // what a prompt ends with that has opened the reasoning, or left it out
}

// thoughts returns how the format writes reasoning. Some templates have <think> where the format has other
// tags.
func (f Format) thoughts(prompt string) callThoughts {
	think := callThoughts{`'<think>'`, `'</think>' "\n"{0,2}`, []string{"</think>"}, "<think>", "</think>"}
	switch {
	case f == Harmony:
		return callThoughts{
			`'<|channel|>' "analysis" '<|message|>'`, `'<|end|>' '<|start|>' "assistant"`,
			[]string{"<|"},
			"<|channel|>analysis<|message|>", "",
		}
	case strings.HasSuffix(strings.TrimSpace(prompt), think.opened) && (f == Mistral || f == Gemma4):
		think.stops = append(think.stops, "[/THINK]", "<channel|>") // which end it, too
		return think
	case f == Mistral:
		return callThoughts{`'[THINK]'`, `'[/THINK]'`, []string{"[/THINK]", "</think>"}, "[THINK]", "[/THINK]"}
	case f == Gemma4:
		return callThoughts{`'<|channel>' "thought\n"`, `'<channel|>'`, []string{"<channel|>", "</think>"}, "<|channel>thought", "<channel|>"}
	}
	return think
}
