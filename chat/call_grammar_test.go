package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/seed4d217819/ebb/grammar"
)

// callTools have schemas with all that people ask for.
const callTools = `[
	{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {
		"city": {"type": "string"},
		"days": {"type": "integer", "minimum": 1, "maximum": 14},
		"unit": {"type": "string", "enum": ["c", "f<", "two words"]},
		"zip": {"type": "string", "pattern": "^[0-9<]{5}$"},
		"on": {"type": "string", "format": "date"},
		"note": {"type": ["string", "null"]},
		"place": {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "array", "items": {"type": "number"}}]},
		"either": {"enum": ["a", 1, null]}
	}, "required": ["city", "unit"]}}},
	{"type": "function", "function": {"name": "now"}},
	{"type": "function", "function": {"name": "nothing", "parameters": {"type": "object", "properties": {}}}},
	{"type": "function", "strict": true, "function": {"name": "plan-trip", "parameters": {"type": "object", "additionalProperties": false,
		"required": ["steps", "owner", "flags", "level"],
		"properties": {
			"steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "maxItems": 3},
			"owner": {"anyOf": [{"$ref": "#/$defs/person"}, {"type": "null"}]},
			"flags": {"type": "object", "properties": {"odd key": {"type": "boolean"}, "a<b": {"const": {"x": ["<", 1.5]}}}, "required": ["odd key"], "additionalProperties": false},
			"level": {"$ref": "#/$defs/level"}
		},
		"$defs": {
			"step": {"type": "object", "properties": {"text": {"type": "string", "minLength": 1, "maxLength": 5}, "cost": {"type": "number"}}, "required": ["text", "cost"], "additionalProperties": false},
			"person": {"type": "object", "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string", "pattern": "[<x]"}, "maxItems": 2}}, "required": ["name"], "additionalProperties": false},
			"level": {"type": "string", "enum": ["low", "true", "1"]}
		}}}},
	{"type": "function", "function": {"name": "put", "parameters": {"properties": {
		"value": {}, "map": {"type": "object", "additionalProperties": {"type": "integer"}}, "list": {"type": "array", "maxItems": 2}
	}, "required": ["value"], "type": "object"}}}
]`

// letters is a vocabulary of all bytes and some control tokens behind them. Token 0 ends a text.
type letters []string

func (l letters) Size() int  { return 257 + len(l) }
func (letters) EOG() []int32 { return []int32{0} }

func (l letters) Piece(id int32, special bool) ([]byte, error) {
	switch {
	case id > 256 && special:
		return []byte(l[id-257]), nil
	case id == 0 && special:
		return []byte("<end>"), nil
	case id == 0, id > 256:
		return nil, nil
	}
	return []byte{byte(id - 1)}, nil
}

// tags are those of all formats that vocabularies have as control tokens.
var tags = letters{
	"<tool_call>", "</tool_call>", "<think>", "</think>", "[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]", "<|channel|>", "<|message|>", "<|constrain|>",
	"<|start|>", "<|end|>", "<|tool_call>", "<tool_call|>", "<|channel>", "<channel|>", `<|"|>`, "<|tool_call|>", "<|/tool_call|>", "<arg_key>", "</arg_key>",
	"<arg_value>", "</arg_value>",
}

// closing are texts that lead to an end.
var closing = []string{"\n</parameter>\n", "</arg_value>", "</think>", "[/THINK]", "<|end|>", "<channel|>", `<|"|>`, `"`, "}", "]", "</function>", "true", "1"}

// write returns tokens that follow a grammar, at random; false if they do not end.
func write(t *testing.T, l letters, g *grammar.Grammar, r *rand.Rand) ([]int32, bool) {
	t.Helper()
	p := g.Processor(0, nil)
	var ids []int32
	allowed := func() []int32 {
		scores := make([]float32, l.Size())
		if err := p.Process(ids, scores); err != nil {
			t.Fatal(err)
		}
		var ids []int32
		for id, x := range scores {
			if !math.IsInf(float64(x), -1) {
				ids = append(ids, int32(id))
			}
		}
		return ids
	}
	for len(ids) < 4000 {
		if r.IntN(100) < 25+len(ids)/5 {
			for _, b := range []byte(closing[r.IntN(len(closing))]) {
				id := int32(b) + 1
				if !slices.Contains(allowed(), id) {
					break
				}
				ids = append(ids, id)
			}
		}
		next := allowed()
		if next[0] == 0 && (len(next) == 1 || r.IntN(3) == 0) {
			return ids, true
		}
		if control := next[len(next)-1]; control > 256 && r.IntN(3) == 0 {
			ids = append(ids, control)
			continue
		}
		if next[0] == 0 {
			next = next[1:]
		}
		ids = append(ids, next[r.IntN(len(next))])
	}
	return ids, false
}

// read returns the message that tokens are.
func read(l letters, f Format, o ParserOptions, ids []int32) (m Message, text string) {
	p := f.NewParser(o)
	add := func(events []Event) {
		for _, e := range events {
			m.Append(e)
		}
	}
	for _, id := range ids {
		if id > 256 {
			text += l[id-257]
			add(p.Control(l[id-257]))
		} else {
			text += string([]byte{byte(id - 1)})
			add(p.Next(string([]byte{byte(id - 1)})))
		}
	}
	add(p.Flush())
	return m, text
}

// checkCall reports what is wrong with a call.
func checkCall(schemas map[string]*jsonschema.Schema, c ToolCall) error {
	schema, known := schemas[c.Name]
	if !known {
		return fmt.Errorf("there is no tool %q", c.Name)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(c.Arguments))
	if err != nil {
		return err
	}
	if _, ok := v.(map[string]any); !ok {
		return errors.New("the arguments are no object")
	}
	return schema.Validate(v)
}

func compileSchemas(t *testing.T, tools []Tool) map[string]*jsonschema.Schema {
	t.Helper()
	schemas := map[string]*jsonschema.Schema{}
	for _, tool := range tools {
		text := string(tool.parameters)
		if text == "" {
			text = noArguments
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		if err := c.AddResource(tool.Name, doc); err != nil {
			t.Fatal(err)
		}
		if schemas[tool.Name], err = c.Compile(tool.Name); err != nil {
			t.Fatal(err)
		}
	}
	return schemas
}

// What the grammar allows, the parser reads as calls, and another implementation of JSON schemas takes
// their arguments: with tags that are text, and with tags that are control tokens.
func TestCallsThatFollowTheGrammarAreReadBack(t *testing.T) {
	tools, err := ParseTools([]byte(callTools))
	if err != nil {
		t.Fatal(err)
	}
	schemas := compileSchemas(t, tools)
	opened := map[Format]string{Harmony: "<|start|>assistant<|channel|>analysis<|message|>", Mistral: "[THINK]", Gemma4: "<|channel>thought\n"}
	for _, f := range formats {
		for _, vocabulary := range []letters{nil, tags} {
			pieces, err := grammar.ReadPieces(vocabulary)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprintf("%s/%d tags", f, len(vocabulary)), func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, uint64(len(vocabulary))))
				for _, o := range []CallGrammarOptions{
					{},
					{Name: "plan-trip"},
					{Parallel: true, Reasoning: true},
					{Name: "put", Prompt: "<think>\n"},
					{Name: "now", Reasoning: true, Prompt: opened[f]},
					{Name: "get_weather", Reasoning: true, Prompt: "<think>\n\n</think>\n\n"},
				} {
					if f == Harmony && strings.HasPrefix(o.Prompt, "<think>") {
						continue
					}
					gbnf, err := f.CallGrammar(tools, o)
					if err != nil {
						t.Fatal(err)
					}
					g, err := pieces.Grammar(gbnf)
					if err != nil {
						t.Fatalf("%v\nin\n%s", err, gbnf)
					}
					whole := 0
					for range 12 {
						ids, ended := write(t, vocabulary, g, r)
						if !ended {
							continue
						}
						whole++
						m, text := read(vocabulary, f, ParserOptions{Tools: tools, Prompt: o.Prompt}, ids)
						if strings.TrimSpace(m.Content) != "" || len(m.ToolCalls) == 0 || len(m.ToolCalls) > 1 && !o.Parallel {
							t.Errorf("%+v: %q is read as %+v", o, text, m)
						}
						if m.Reasoning != "" && !o.Reasoning && o.Prompt == "" {
							t.Errorf("%+v: %q has reasoning", o, text)
						}
						for _, c := range m.ToolCalls {
							if o.Name != "" && c.Name != o.Name {
								t.Errorf("%+v: %q calls %s", o, text, c.Name)
							}
							if err := checkCall(schemas, c); err != nil {
								t.Errorf("%+v: %q is read as the call of %s with %s: %v", o, text, c.Name, c.Arguments, err)
							}
						}
					}
					if whole < 6 {
						t.Errorf("%+v: %d of 12 answers end", o, whole)
					}
				}
			})
		}
	}
}

// The grammar lets the model write what the families write, in their own spelling.
func TestTheGrammarOfCallsAllowsWhatTheFamiliesWrite(t *testing.T) {
	tools := testTools(t)
	for _, tc := range []struct {
		format Format
		o      CallGrammarOptions
		answer string
	}{
		{Hermes, CallGrammarOptions{}, "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>"},
		{Hermes, CallGrammarOptions{Parallel: true}, "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"},
		{Hermes, CallGrammarOptions{Reasoning: true}, "<think>\nHm, < b.\n</think>\n\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"},
		{Hermes, CallGrammarOptions{Prompt: "<think>\n"}, "Hm.\n</think>\n\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"},
		{QwenXML, CallGrammarOptions{}, "<tool_call>\n<function=get_weather>\n<parameter=city>\ntwo\n<b>lines</b>\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>"},
		{GLM, CallGrammarOptions{}, "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>"},
		{Harmony, CallGrammarOptions{Reasoning: true}, "<|channel|>analysis<|message|>Weather!<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Paris\"}"},
		{Llama, CallGrammarOptions{Parallel: true}, `{"name": "now", "parameters": {}}; {"name": "get_weather", "parameters": {"city": "Paris"}}`},
		{Mistral, CallGrammarOptions{Parallel: true}, `[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "now", "arguments": {}}]`},
		{Mistral, CallGrammarOptions{Parallel: true}, `[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]now[ARGS]{}`},
		{Mistral, CallGrammarOptions{Reasoning: true}, `[THINK]Hm.[/THINK][TOOL_CALLS]now[ARGS]{}`},
		{Gemma3, CallGrammarOptions{}, `{"name": "get_weather", "parameters": {"city": "Paris"}}`},
		{Gemma4, CallGrammarOptions{Reasoning: true}, "<|channel>thought\nWeather!\n<channel|><|tool_call>call:get_weather{city:<|\"|>Pa\"r<is<|\"|>,days:3,more:{<|\"|>a<|\"|>:[true,null,<|\"|><|\"|>]}}<tool_call|>"},
		{Phi4, CallGrammarOptions{}, `<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}]<|/tool_call|>`},
		{Phi4, CallGrammarOptions{}, `<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}]`},
		{Plain, CallGrammarOptions{}, `{"name": "get_weather", "parameters": {"city": "Paris"}}`},
	} {
		gbnf, err := tc.format.CallGrammar(tools, tc.o)
		if err != nil {
			t.Fatal(err)
		}
		g, err := grammar.New(letters(nil), gbnf)
		if err != nil {
			t.Fatal(err)
		}
		var ids []int32
		for _, b := range []byte(tc.answer) {
			ids = append(ids, int32(b)+1)
		}
		scores := make([]float32, 257)
		if err := g.Processor(0, nil).Process(ids, scores); err != nil || math.IsInf(float64(scores[0]), -1) {
			t.Errorf("%s: %q is not allowed: error %v", tc.format, tc.answer, err)
		}
	}
}

func TestContentsInJSONMayComeBehindReasoning(t *testing.T) {
	for _, tc := range []struct {
		format    Format
		prompt    string
		reasoning bool
		answer    string
		allowed   bool
	}{
		{Hermes, "…assistant\n", false, `{"a": 1}`, true},
		{Hermes, "…assistant\n", false, "<think>Hm.</think>\n\n{\"a\": 1}", false},
		{Hermes, "…assistant\n", true, "<think>Hm.</think>\n\n{\"a\": 1}", true},
		{Hermes, "…assistant\n", true, `{"a": 1}`, true},
		{QwenXML, "…<think>\n", false, "Hm.\n</think>\n\n{\"a\": 1}", true},
		{QwenXML, "…<think>\n", false, `{"a": 1}`, false},
		{QwenXML, "…<think>\n\n</think>\n\n", true, `{"a": 1}`, true},
		{QwenXML, "…<think>\n\n</think>\n\n", true, `{"a": "1"}`, false},
		{Harmony, "…<|start|>assistant", true, `<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>{"a": 1}`, true},
		{Harmony, "…<|start|>assistant", false, `<|channel|>final<|message|>{"a": 1}`, true},
		{Harmony, "…<|start|>assistant", true, `{"a": 1}`, false},
		{Harmony, "…<|start|>assistant<|channel|>final<|message|>", true, `{"a": 1}`, true},
	} {
		gbnf, err := tc.format.JSONGrammar([]byte(`{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}`), tc.prompt, tc.reasoning)
		if err != nil {
			t.Fatal(err)
		}
		g, err := grammar.New(letters(nil), gbnf)
		if err != nil {
			t.Fatal(err)
		}
		var ids []int32
		for _, b := range []byte(tc.answer) {
			ids = append(ids, int32(b)+1)
		}
		scores := make([]float32, 257)
		err = g.Processor(0, nil).Process(ids, scores)
		if allowed := err == nil && !math.IsInf(float64(scores[0]), -1); allowed != tc.allowed {
			t.Errorf("%s behind %q: %q is allowed: %t, want %t (%v)", tc.format, tc.prompt, tc.answer, allowed, tc.allowed, err)
		}
		if m, _ := read(nil, tc.format, ParserOptions{Prompt: tc.prompt}, ids); tc.allowed && m.Content != `{"a": 1}` {
			t.Errorf("%s behind %q: %q is read as %+v", tc.format, tc.prompt, tc.answer, m)
		}
	}
	for _, f := range formats {
		if _, err := f.JSONGrammar([]byte(`{"not": {}}`), "", true); err == nil || !strings.Contains(err.Error(), "#: not is not supported") {
			t.Errorf("%s: error %v", f, err)
		}
	}
}

func TestACallThatNoGrammarCanExpressIsAnErrorThatNamesIt(t *testing.T) {
	tool := func(name, parameters string) []Tool {
		tools, err := ParseTools(fmt.Appendf(nil, `[{"type": "function", "function": {"name": %q, "parameters": %s}}]`, name, parameters))
		if err != nil {
			t.Fatal(err)
		}
		return tools
	}
	object := `{"type": "object", "properties": {"a": %s}}`
	for _, tc := range []struct {
		formats []Format
		tools   []Tool
		name    string
		want    string
	}{
		{formats, nil, "", "there are no tools to call"},
		{formats, tool("f", "{}"), "g", "there is no tool g to call"},
		{formats, tool("f", fmt.Sprintf(object, `{"type": "string", "not": {}}`)), "", "the tool f: jsonschema: #/properties/a: not is not supported"},
		{formats, tool("f", `{"type": "string"}`), "", "the tool f: jsonschema: #: type "},
		{formats, tool("f", `[1]`), "", "the tool f: jsonschema: [1] is no schema"},
		{[]Format{QwenXML, GLM}, tool("f", `{"type": "object", "anyOf": [{"required": ["a"]}]}`), "", "anyOf is not supported where members are written one by one"},
		{[]Format{QwenXML, GLM}, tool("f", `{"type": "object", "properties": {"a b": {}}}`), "", `cannot write "a b"`},
		{[]Format{QwenXML}, tool("f", fmt.Sprintf(object, `{"enum": ["</parameter>"]}`)), "", "contains </parameter>, which ends it"},
		{[]Format{Gemma4}, tool("f", fmt.Sprintf(object, `{"enum": ["<|\"|>"]}`)), "", "which ends it"},
		{[]Format{QwenXML, GLM, Harmony, Gemma4, Mistral}, tool("f g", "{}"), "", "the tool f g: the format writes names as they are"},
	} {
		for _, f := range tc.formats {
			if gbnf, err := f.CallGrammar(tc.tools, CallGrammarOptions{Name: tc.name}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: error %v, want one with %q; the grammar is %s", f, err, tc.want, gbnf)
			}
		}
	}
}

// A text that could be a number, or the like, is what the schema says.
func TestValuesWithoutTypesAreWhatTheSchemaSays(t *testing.T) {
	tools, err := ParseTools([]byte(`[{"function": {"name": "f", "parameters": {"properties": {
		"text": {"type": "string"}, "maybe": {"type": ["string", "null"]}, "level": {"$ref": "#/$defs/level"}, "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
		"open": {}, "loop": {"$ref": "#/properties/loop"}, "all": {"allOf": [{"minLength": 1}, {"type": "string"}]}
	}, "$defs": {"level": {"enum": ["1", "2"]}}}}}]`))
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		"1":    `{"text": "1", "maybe": "1", "level": "1", "either": 1, "open": 1, "loop": 1, "all": "1"}`,
		"null": `{"text": "null", "maybe": null, "level": "null", "either": "null", "open": null, "loop": null, "all": "null"}`,
		`"a"`:  `{"text": "\"a\"", "maybe": "\"a\"", "level": "\"a\"", "either": "\"a\"", "open": "\"a\"", "loop": "\"a\"", "all": "\"a\""}`,
		"[1]":  `{"text": "[1]", "maybe": "[1]", "level": "[1]", "either": "[1]", "open": [1], "loop": [1], "all": "[1]"}`,
	} {
		answer := "<tool_call><function=f>"
		for _, name := range []string{"text", "maybe", "level", "either", "open", "loop", "all"} {
			answer += "<parameter=" + name + ">" + value + "</parameter>"
		}
		m := check(t, parse(QwenXML, ParserOptions{Tools: tools}, answer+"</function>"), answer+"</function>")
		if len(m.ToolCalls) != 1 || m.ToolCalls[0].Arguments != want {
			t.Errorf("%s: got %+v, want the arguments %s", value, m.ToolCalls, want)
		}
	}
}

// References that fan out are given up on.
func TestTypesOfAHostileSchemaTakeLittleTime(t *testing.T) {
	var parts []string
	for range 50 {
		parts = append(parts, `{"$ref": "#/properties/a"}`)
	}
	schema := `{"properties": {"a": {"allOf": [` + strings.Join(parts, ", ") + `]}}}`
	if types := parameterTypes(json.RawMessage(schema)); len(types) != 0 {
		t.Errorf("types %v", types)
	}
}

// Whatever a client sends as a tool, there is a grammar that can be read, or an error.
func FuzzCallGrammar(f *testing.F) {
	var tools []json.RawMessage
	if err := json.Unmarshal([]byte(callTools), &tools); err != nil {
		f.Fatal(err)
	}
	for _, tool := range tools {
		f.Add(string(tool))
	}
	f.Add(`{"function": {"name": "f", "parameters": {"properties": {"a": {"$ref": "#/properties/a"}}, "$defs": {"": {}}}}}`)
	f.Add(`{"function": {"name": "<|\"|>", "parameters": {"type": ["object", "null"], "required": ["é<", "a"], "additionalProperties": {"enum": ["</parameter>", [], {"<": "\u0000"}]}}}}`)
	f.Add(`{"function": {"name": "f", "parameters": {"patternProperties": {"a": {}}, "allOf": [{"properties": {"b": {"anyOf": [{"pattern": "<+"}, {"type": "array"}]}}}]}}}`)
	f.Add(`{"function": {"name": "f", "parameters": {"properties": {}, "": ""}}}`)
	pieces, err := grammar.ReadPieces(tags)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var tool Tool
		if tool.UnmarshalJSON([]byte(text)) != nil {
			return
		}
		for _, format := range formats {
			gbnf, err := format.CallGrammar([]Tool{tool}, CallGrammarOptions{Parallel: true, Reasoning: true})
			if err != nil {
				continue
			}
			if _, err := pieces.Grammar(gbnf); err != nil && !errors.Is(err, grammar.ErrAmbiguous) {
				t.Errorf("%s: %v\nin\n%s", format, err, gbnf)
			}
		}
	})
}
