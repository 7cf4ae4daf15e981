package chat

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var formats = []Format{Plain, Hermes, QwenXML, GLM, Harmony, Llama, Mistral, Gemma3, Gemma4, Phi4}

// testTools are tools whose schemas tell a number from a text that looks like one.
func testTools(t testing.TB) []Tool {
	t.Helper()
	tools, err := ParseTools([]byte(`[
		{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties":
			{"city": {"type": "string"}, "days": {"type": "integer"}, "zip": {"type": "string"}, "more": {"type": "object"}}}}},
		{"type": "function", "function": {"name": "now"}}]`))
	if err != nil {
		t.Fatal(err)
	}
	return tools
}

const control = "\x00control\x00"

// parse returns the events of an answer that comes in pieces, with neighbours of one kind joined.
// Pieces that begin with control are control tokens.
func parse(f Format, o ParserOptions, pieces ...string) []Event {
	var all []Event
	p := f.NewParser(o)
	add := func(events []Event) {
		for _, e := range events {
			if last := len(all) - 1; last >= 0 && e.Kind == all[last].Kind && e.Kind <= Markup {
				all[last].Text += e.Text
				all[last].Source += e.Source
				continue
			}
			all = append(all, e)
		}
	}
	for _, piece := range pieces {
		if spelling, ok := strings.CutPrefix(piece, control); ok {
			add(p.Control(spelling))
		} else {
			add(p.Next(piece))
		}
	}
	add(p.Flush())
	return all
}

// check checks what holds for every answer.
func check(t *testing.T, events []Event, answer string) (m Message) {
	t.Helper()
	var source strings.Builder
	begun := ""
	for _, e := range events {
		source.WriteString(e.Source)
		m.Append(e)
		switch {
		case e.Kind == CallBegin && begun == "" && e.Call.Name != "":
			begun = e.Call.Name
		case e.Kind == CallArguments && begun != "":
			var object map[string]any
			if err := json.Unmarshal([]byte(e.Text), &object); err != nil {
				t.Errorf("%q: arguments %q: %v", answer, e.Text, err)
			}
		case e.Kind == CallEnd && begun == e.Call.Name && e.Call.ID != "", e.Kind == CallDrop && begun != "":
			begun = ""
		case e.Kind <= Markup && begun == "":
		default:
			t.Errorf("%q: event %+v after a beginning of %q", answer, e, begun)
		}
	}
	if source.String() != answer {
		t.Errorf("the sources of the events of %q are %q", answer, source.String())
	}
	return m
}

// call is the only call of the answers below.
func call(arguments string) []ToolCall {
	return []ToolCall{{ID: "call00000", Name: "get_weather", Arguments: arguments}}
}

func TestAnswersAreParsed(t *testing.T) {
	const paris = `{"city": "Paris"}`
	for _, tc := range []struct {
		format Format
		prompt string
		answer string
		want   Message
	}{
		{Plain, "", "Hello.\n", Message{Content: "Hello.\n"}},
		{Plain, "", "  <b>Hello</b> <think>", Message{Content: "  <b>Hello</b> <think>"}},
		{Plain, "", "<think>\nHm.\n\nSo.\n</think>\n\nHello. </think>", Message{Reasoning: "Hm.\n\nSo.", Content: "Hello. </think>"}},
		{Plain, "…<think>\n", "Hm.\n</think>\n\nHello.", Message{Reasoning: "Hm.", Content: "Hello."}},
		{Plain, "…<think>\n", "<think>\nHm.\n</think>\n\nHello.", Message{Reasoning: "Hm.", Content: "Hello."}},
		{Plain, "…<think>\n\n</think>\n\n", "Hello.", Message{Content: "Hello."}},
		{Plain, "", "<think>Hm", Message{Reasoning: "Hm"}},
		{Plain, "", "<thin", Message{Content: "<thin"}},
		{Plain, "", `<tool_call>{"name": "get_weather"}</tool_call>`, Message{Content: `<tool_call>{"name": "get_weather"}</tool_call>`}},

		{Hermes, "", "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>", Message{ToolCalls: call(paris)}},
		{Hermes, "…<think>\n", "Weather!\n</think>\n\nLet me see.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>\n", Message{Reasoning: "Weather!", Content: "Let me see.", ToolCalls: call(paris)}},
		{Hermes, "", `<tool_call>{"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}`, Message{ToolCalls: call(paris)}},
		{Hermes, "", `<tool_call>{"name": "get_weather"}</tool_call> Done. </tool_call>`, Message{ToolCalls: call("{}"), Content: "Done. </tool_call>"}},
		{Hermes, "", `<tool_call>{"name": "get_weather", "arguments": {"city": "</tool_call>é"}}</tool_call>`, Message{ToolCalls: call(`{"city": "</tool_call>é"}`)}},
		{Hermes, "", "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>", Message{ToolCalls: call(paris)}},
		{Hermes, "", `a <tool_call>{"name": 3}</tool_call>`, Message{Content: `a <tool_call>{"name": 3}</tool_call>`}},
		{Hermes, "", `a  <tool_call> {"name": "x", "arguments": [1]} </tool_call>`, Message{Content: `a  <tool_call> {"name": "x", "arguments": [1]} </tool_call>`}},
		{Hermes, "", `<tool_call>{"name": "x", "arguments": {"city": "Par`, Message{Content: `<tool_call>{"name": "x", "arguments": {"city": "Par`}},
		{Hermes, "", `<tool_call> is a tag. <tool_call>{"name": "get_weather"}</tool_call>`, Message{Content: `<tool_call> is a tag.`, ToolCalls: call("{}")}},
		{Hermes, "", `<tool_call>{"name": "x", "note": "lost?"}</tool_call>`, Message{Content: `<tool_call>{"name": "x", "note": "lost?"}</tool_call>`}},
		{Hermes, "", `{"name": "get_weather", "arguments": {"city": "Paris"}}`, Message{ToolCalls: call(paris)}},
		{Hermes, "", "```json\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n```", Message{ToolCalls: call(paris)}},
		{Hermes, "", `<tools>{"name": "get_weather", "arguments": {"city": "Paris"}}</tools>`, Message{ToolCalls: call(paris)}},
		{Hermes, "", `{"name": "no_tool", "arguments": {"city": "Paris"}}`, Message{Content: `{"name": "no_tool", "arguments": {"city": "Paris"}}`}},
		{Hermes, "", `<tool_call>foo</tool_call>`, Message{Content: `<tool_call>foo</tool_call>`}},

		{
			QwenXML, "", "I look.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n" +
				"<parameter=zip>\n007\n</parameter>\n<parameter=more>\n{\"a\": [1]}\n</parameter>\n</function>\n</tool_call>",
			Message{Content: "I look.", ToolCalls: call(`{"city": "Paris", "days": 3, "zip": "007", "more": {"a": [1]}}`)},
		},
		{QwenXML, "", "<function=get_weather>\n<parameter=zip>\n10\n</parameter>\n<parameter=city>\ntwo\n<b>lines</b>\n</parameter>\n</function>", Message{ToolCalls: call(`{"zip": "10", "city": "two\n<b>lines</b>"}`)}},
		{QwenXML, "…<think>\n", "Weather!\n</think>\n\nI look.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>", Message{Reasoning: "Weather!", Content: "I look.", ToolCalls: call(paris)}},
		{QwenXML, "…<think>\n", "<tool_call> or not?\n</think>\n\nNo.", Message{Reasoning: "<tool_call> or not?", Content: "No."}},
		{QwenXML, "…<think>\n\n</think>\n\n", "No.", Message{Content: "No."}},
		{QwenXML, "", "<tool_call>\n<function=get_weather>\n</function>\n</tool_call>", Message{ToolCalls: call("{}")}},
		{QwenXML, "", "<tool_call><function=f>\n<parameter=a>\n1\n</parameter>\nwhat", Message{Content: "<tool_call><function=f>\n<parameter=a>\n1\n</parameter>\nwhat"}},
		{QwenXML, "", "<function=f>\n<parameter=a>\n1", Message{Content: "<function=f>\n<parameter=a>\n1"}},

		{GLM, "", "<think>Hm</think>\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>", Message{Reasoning: "Hm", ToolCalls: call(`{"city": "Paris", "days": 3}`)}},
		{GLM, "", "<tool_call>get_weather</tool_call>", Message{ToolCalls: call("{}")}},
		{GLM, "", "<tool_call>get weather</tool_call>", Message{Content: "<tool_call>get weather</tool_call>"}},

		{
			Harmony, "…<|start|>assistant", "<|channel|>analysis<|message|>Weather!<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Paris\"}<|call|>",
			Message{Reasoning: "Weather!", ToolCalls: call(paris)},
		},
		{Harmony, "…<|start|>assistant", " to=functions.get_weather<|channel|>commentary json<|message|>{\"city\": \"Paris\"}<|call|>", Message{ToolCalls: call(paris)}},
		{Harmony, "…<|start|>assistant", "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hello.<|return|>", Message{Reasoning: "Hm.", Content: "Hello."}},
		{Harmony, "…<|start|>assistant", "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>final<|message|>Hello.<|return|>", Message{Content: "I look.\n\nHello."}},
		{Harmony, "…<|start|>assistant<|channel|>final<|message|>", "Hello.<|return|>", Message{Content: "Hello."}},
		{Harmony, "…<|start|>assistant<|channel|>analysis<|message|>", "Hm.<|end|>", Message{Reasoning: "Hm."}},
		{Harmony, "…<|start|>assistant", "Hello, to=you.", Message{Content: "Hello, to=you."}},
		{Harmony, "", "<|channel|>analysis and no message", Message{Content: "<|channel|>analysis and no message"}},
		{Harmony, "", "<|channel|>commentary to=functions.x<|message|>no JSON<|call|>", Message{Content: "no JSON"}},

		{Llama, "", `{"name": "get_weather", "parameters": {"city": "Paris"}}`, Message{ToolCalls: call(paris)}},
		{Llama, "", `<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}`, Message{ToolCalls: call(paris)}},
		{Llama, "", `{"type": "function", "function": "get_weather", "parameters": {"city": "Paris"}}`, Message{ToolCalls: call(paris)}},
		{Llama, "", `{"type": "function", "function": {"name": "get_weather", "parameters": {"city": "Paris"}}}`, Message{ToolCalls: call(paris)}},
		{
			Llama, "", `{"name": "get_weather", "parameters": {}}; {"name": "now", "parameters": {}}`,
			Message{ToolCalls: append(call("{}"), ToolCall{"call00001", "now", "{}"})},
		},
		{Llama, "", `{"colour": "blue"}`, Message{Content: `{"colour": "blue"}`}},
		{Llama, "", `{"name": "Ann", "age": 3}`, Message{Content: `{"name": "Ann", "age": 3}`}},
		{Llama, "", `A call: {"name": "get_weather", "parameters": {}}`, Message{Content: `A call: {"name": "get_weather", "parameters": {}}`}},
		{Llama, "", `<|python_tag|>print(1)`, Message{Content: `<|python_tag|>print(1)`}},

		{Mistral, "", `[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}, "id": "call00000"}]`, Message{ToolCalls: call(paris)}},
		{Mistral, "", `I look.[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "now"}]`, Message{Content: "I look.", ToolCalls: append(call(paris), ToolCall{"call00001", "now", "{}"})}},
		{Mistral, "", `[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]now[CALL_ID]abcdefghi[ARGS]{}`, Message{ToolCalls: append(call(paris), ToolCall{"abcdefghi", "now", "{}"})}},
		{Mistral, "", `[TOOL_CALLS]get_weather{"city": "Paris"}`, Message{ToolCalls: call(paris)}},
		{Mistral, "", "[THINK]Hm.[/THINK]Hello.", Message{Reasoning: "Hm.", Content: "Hello."}},
		{Mistral, "", `[TOOL_CALLS]what is it`, Message{Content: `[TOOL_CALLS]what is it`}},
		{Mistral, "", `[TOOL_CALLS][]`, Message{Content: `[TOOL_CALLS][]`}},

		{Gemma3, "", "I look.\n```tool_code\nget_weather(city=\"Paris\")\n```", Message{Content: "I look.", ToolCalls: call(paris)}},
		{Gemma3, "", "```tool_code\nprint(get_weather(city='Paris', days=3, more={'a': [True, None]}))\n```\n", Message{ToolCalls: call(`{"city": "Paris", "days": 3, "more": {"a": [true, null]}}`)}},
		{Gemma3, "", `[get_weather(city="Paris"), now()]`, Message{ToolCalls: append(call(paris), ToolCall{"call00001", "now", "{}"})}},
		{Gemma3, "", "```json\n{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\"}}\n```", Message{ToolCalls: call(paris)}},
		{Gemma3, "", `{"name": "get_weather", "parameters": {"city": "Paris"}}`, Message{ToolCalls: call(paris)}},
		{Gemma3, "", "```json\n{\"colour\": \"blue\"}\n```", Message{Content: "```json\n{\"colour\": \"blue\"}\n```"}},
		{Gemma3, "", "```tool_code\nfor x in y: f(x)\n```\n", Message{Content: "```tool_code\nfor x in y: f(x)\n```\n"}},
		{Gemma3, "", "[1] See there.", Message{Content: "[1] See there."}},
		{Gemma3, "", "```tool_code\nf(open('x'))\n```", Message{Content: "```tool_code\nf(open('x'))\n```"}},

		{Gemma4, "", "<|channel>thought\nWeather!\n<channel|><|tool_call>call:get_weather{city:<|\"|>Paris<|\"|>}<tool_call|><|tool_response>", Message{Reasoning: "Weather!", ToolCalls: call(paris)}},
		{Gemma4, "", "<|tool_call>call:get_weather{city:<|\"|>a}\"<b|<|\"|>,days:-3.5,more:{a:[true,null,<|\"|><|\"|>],<|\"|>b<|\"|>:{}}}<tool_call|>Done.", Message{ToolCalls: call(`{"city": "a}\"<b|", "days": -3.5, "more": {"a": [true, null, ""], "b": {}}}`), Content: "Done."}},
		{Gemma4, "", "<|tool_call>call:get_weather{}<tool_call|>", Message{ToolCalls: call("{}")}},
		{Gemma4, "", "<|channel>thought\n<channel|>Hello.", Message{Content: "Hello."}},
		{Gemma4, "…<|channel>thought\n", "Hm.<channel|>Hello.", Message{Reasoning: "Hm.", Content: "Hello."}},
		{Gemma4, "", "<|tool_call>call:f{a:what}<tool_call|>", Message{Content: "<|tool_call>call:f{a:what}<tool_call|>"}},
		{Gemma4, "", "<|tool_call>f{}", Message{Content: "<|tool_call>f{}"}},

		{Phi4, "", `<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}]<|/tool_call|>`, Message{ToolCalls: call(paris)}},
		{Phi4, "", `<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}]`, Message{ToolCalls: call(paris)}},
		{Phi4, "", `<|tool_call|>none`, Message{Content: `<|tool_call|>none`}},
	} {
		t.Run(fmt.Sprintf("%s/%.30q", tc.format, tc.answer), func(t *testing.T) {
			o := ParserOptions{Tools: testTools(t), Prompt: tc.prompt}
			whole := parse(tc.format, o, tc.answer)
			if diff := cmp.Diff(tc.want, check(t, whole, tc.answer)); diff != "" {
				t.Errorf("%q (-want +got):\n%s", tc.answer, diff)
			}
			if diff := cmp.Diff(whole, parse(tc.format, o, strings.Split(tc.answer, "")...)); diff != "" {
				t.Errorf("%q in characters (-want +got):\n%s", tc.answer, diff)
			}
			for cut := range tc.answer {
				if diff := cmp.Diff(whole, parse(tc.format, o, tc.answer[:cut], tc.answer[cut:])); diff != "" {
					t.Errorf("%q cut at %d (-want +got):\n%s", tc.answer, cut, diff)
				}
			}
		})
	}
}

// An answer in JSON that happens to have a name is no call.
func TestAnswersInJSONAreNoCalls(t *testing.T) {
	for _, f := range []Format{Hermes, Llama, Gemma3} {
		for _, answer := range []string{`{"name": "Ann"}`, "```json\n{\"name\": \"Ann\"}\n```", `[{"name": "Ann"}]`} {
			for _, o := range []ParserOptions{{}, {Tools: testTools(t)}} {
				if m := check(t, parse(f, o, answer), answer); m.Content != answer {
					t.Errorf("%s, %d tools: %q is %+v", f, len(o.Tools), answer, m)
				}
			}
		}
	}
}

func TestControlTokensAreNoText(t *testing.T) {
	for _, tc := range []struct {
		format Format
		pieces []string
		want   Message
	}{
		{Plain, []string{"Hello", control + "<|im_end|>"}, Message{Content: "Hello"}},
		{Plain, []string{"Hello ", control + "<|x|>", "you", control + "</s>"}, Message{Content: "Hello you"}},
		{Hermes, []string{control + "<tool_call>", `{"name": "get_weather"`, "}\n", control + "</tool_call>", control + "<|im_end|>"}, Message{ToolCalls: call("{}")}},
		{Hermes, []string{"<tool", control + "<|im_end|>"}, Message{Content: "<tool"}},
		{Hermes, []string{`<tool_call>{"name": "x"`, control + "<|im_end|>", "}"}, Message{Content: `<tool_call>{"name": "x"}`}},
		{Hermes, []string{"<tool_call>\n", control + "<tool_call>", `{"name": "get_weather"}`}, Message{Content: "<tool_call>\n", ToolCalls: call("{}")}},
		{Mistral, []string{control + "[TOOL_CALLS]", "get_weather", control + "[ARGS]", "{}", control + "</s>"}, Message{ToolCalls: call("{}")}},
		{Gemma4, []string{control + "<|tool_call>", "call:get_weather{city:", control + "<|\"|>", "Paris", control + "<|\"|>", "}", control + "<tool_call|>", control + "<|tool_response>"}, Message{ToolCalls: call(`{"city": "Paris"}`)}},
		{Harmony, []string{control + "<|channel|>", "final", control + "<|message|>", "Hello", control + "<|return|>"}, Message{Content: "Hello"}},
		{Harmony, []string{control + "<|channel|>", "commentary to=functions.get_weather ", control + "<|constrain|>", "json", control + "<|message|>", "{}", control + "<|call|>"}, Message{ToolCalls: call("{}")}},
		{Llama, []string{control + "<|python_tag|>", `{"name": "get_weather"}`, control + "<|eom_id|>"}, Message{ToolCalls: call("{}")}},
	} {
		answer := strings.ReplaceAll(strings.Join(tc.pieces, ""), control, "")
		if diff := cmp.Diff(tc.want, check(t, parse(tc.format, ParserOptions{}, tc.pieces...), answer)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.pieces, diff)
		}
	}
}

// What is certain comes at once: text with its piece, and the name of a call before its arguments.
func TestEventsComeAsSoonAsTheyAreCertain(t *testing.T) {
	p := Hermes.NewParser(ParserOptions{Calls: 7})
	for _, tc := range []struct {
		piece string
		want  []Event
	}{
		{"Hello <", []Event{{Kind: Text, Text: "Hello", Source: "Hello"}}},
		{"b>\xe2", []Event{{Kind: Text, Text: " <b>", Source: " <b>"}}},
		{"\x82\xac", []Event{{Kind: Text, Text: "€", Source: "€"}}},
		{`<tool_call>{"name": "now`, nil},
		{`", `, []Event{{Kind: CallBegin, Call: ToolCall{ID: "call00007", Name: "now"}}}},
		{`"arguments": {"a": 1}`, nil},
		{`}`, []Event{
			{Kind: CallArguments, Text: `{"a": 1}`},
			{Kind: CallEnd, Call: ToolCall{"call00007", "now", `{"a": 1}`}, Source: `<tool_call>{"name": "now", "arguments": {"a": 1}}`},
		}},
	} {
		if diff := cmp.Diff(tc.want, append([]Event(nil), p.Next(tc.piece)...)); diff != "" {
			t.Errorf("after %q (-want +got):\n%s", tc.piece, diff)
		}
	}
}

func TestACallThatIsNoneIsWithdrawn(t *testing.T) {
	got := parse(Hermes, ParserOptions{}, `<tool_call>{"name": "now", "arguments": oh}`)
	want := []Event{
		{Kind: CallBegin, Call: ToolCall{ID: "call00000", Name: "now"}},
		{Kind: CallDrop},
		{Kind: Text, Text: `<tool_call>{"name": "now", "arguments": oh}`, Source: `<tool_call>{"name": "now", "arguments": oh}`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An answer that is all beginnings takes time in proportion to its length. A parser that read again
// what it gave up would take hours for this one.
func TestHostileAnswersTakeLinearTime(t *testing.T) {
	const size = 1 << 15
	for _, f := range formats {
		for _, unit := range []string{
			"<tool_call>", `<tool_call>{"name": "`, "<", "[", "{", `{"name":`, "<|channel|>", "<|start|>", "```tool_code\n", "[TOOL_CALLS]", "<|tool_call>call:f{", " ",
			"<function=f><parameter=a>", "<tool_call>f<arg_key>", "f(", "\\", `"`,
		} {
			answer := strings.Repeat(unit, size/len(unit))
			check(t, parse(f, ParserOptions{}, answer), answer)
		}
	}
}

// FuzzParser keeps what holds for every answer: nothing is lost, and however it is cut, the events
// are the same.
func FuzzParser(f *testing.F) {
	for _, seed := range []string{
		"<think>\nHm\n</think>\n\nHello <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"é\"}}\n</tool_call>",
		"<tool_call><function=f>\n<parameter=a>\n1\n</parameter>\n</function></tool_call>", "<tool_call>f\n<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>",
		"<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>",
		`{"name": "f", "parameters": {"a": [1, {"b": "\u00e9"}]}}; {"name"`, `[TOOL_CALLS][{"name": "f"}] [TOOL_CALLS]g[CALL_ID]x[ARGS]{}`,
		"```tool_code\nprint(f(a='b', c=[1, (2,)], d={'e': None}))\n``` [f(), g()]", "```json\n{\"name\": \"f\", \"parameters\": {}}\n```",
		"<|channel>thought\nHm<channel|><|tool_call>call:f{a:<|\"|>b<|\"|>,c:[1,{d:true}]}<tool_call|>", `<|tool_call|>[{"name": "f", "arguments": "{}"}]<|/tool_call|>`,
	} {
		for i := range formats {
			f.Add(uint8(i), seed, uint(len(seed)/2), false)
			f.Add(uint8(i), seed, uint(5), true)
		}
	}
	f.Add(uint8(slices.Index(formats, Harmony)), "to=functions. 00<|message|>{}0", uint(36), true) // a call of nothing
	f.Fuzz(func(t *testing.T, which uint8, answer string, cut uint, thinking bool) {
		if strings.Contains(answer, control) {
			t.Skip()
		}
		format, o := formats[int(which)%len(formats)], ParserOptions{Tools: []Tool{{Name: "f"}}}
		if thinking {
			o.Prompt = "<think>"
		}
		whole := parse(format, o, answer)
		check(t, whole, answer)
		bytewise := make([]string, len(answer))
		for i := range bytewise {
			bytewise[i] = answer[i : i+1]
		}
		if diff := cmp.Diff(whole, parse(format, o, bytewise...)); diff != "" {
			t.Errorf("%s, %q in bytes (-want +got):\n%s", format, answer, diff)
		}
		at := int(cut % uint(len(answer)+1))
		if diff := cmp.Diff(whole, parse(format, o, answer[:at], answer[at:])); diff != "" {
			t.Errorf("%s, %q cut at %d (-want +got):\n%s", format, answer, at, diff)
		}
		// A control token may come anywhere.
		for _, spelling := range []string{"<|im_end|>", "<tool_call>", "<|message|>", "<|channel>", `<|"|>`} {
			check(t, parse(format, o, answer[:at], control+spelling, answer[at:]), answer[:at]+spelling+answer[at:])
		}
		if utf8.ValidString(answer) {
			for _, e := range whole {
				if !utf8.ValidString(e.Text) {
					t.Errorf("%s, %q: event %+v", format, answer, e)
				}
			}
		}
	})
}

// A piece of prose leaves nothing to the garbage collector but the text of its event.
func TestProseLeavesLittleGarbage(t *testing.T) {
	for _, f := range formats {
		p := f.NewParser(ParserOptions{Tools: testTools(t)})
		if f == Harmony {
			p.Control("<|channel|>")
			p.Next("final")
			p.Control("<|message|>")
		}
		p.Next("It")
		got := ""
		if n := testing.AllocsPerRun(100, func() {
			for _, e := range p.Next(" is warm") {
				got = e.Text
			}
		}); n > 1 {
			t.Errorf("%s: a piece leaves %v objects, want at most 1", f, n)
		}
		if got != " is warm" {
			t.Errorf("%s: the last event has the text %q", f, got)
		}
	}
}
