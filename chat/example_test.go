package chat_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/chat"
)

func Example() {
	t, err := chat.New("{{ bos_token }}\n"+
		"{% for m in messages %}\n"+
		"<|{{ m.role }}|>{{ m.content }}\n"+
		"{% endfor %}\n"+
		"{% if add_generation_prompt %}<|assistant|>{% endif %}", chat.Vars{BOS: "<s>"})
	if err != nil {
		log.Fatal(err)
	}
	text, err := t.Render([]chat.Message{
		{Role: "system", Content: "Be brief."},
		{Role: "user", Content: "Who are you?"},
	}, chat.RenderOptions{AddGenerationPrompt: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
	// Output:
	// <s>
	// <|system|>Be brief.
	// <|user|>Who are you?
	// <|assistant|>
}

func ExampleParser() {
	tools, err := chat.ParseTools([]byte(`[{"type": "function", "function": {"name": "get_weather"}}]`))
	if err != nil {
		log.Fatal(err)
	}
	p := chat.Hermes.NewParser(chat.ParserOptions{Tools: tools})
	answer := chat.Message{Role: "assistant"}
	for _, piece := range []string{"<thi", "nk>The weather!</think>I look.<tool_", `call>{"name": "get_weather", "arg`, `uments": {"city": "Paris"}}</tool_call>`} {
		for _, e := range p.Next(piece) {
			answer.Append(e)
		}
	}
	for _, e := range p.Flush() {
		answer.Append(e)
	}
	fmt.Println(answer.Reasoning)
	fmt.Println(answer.Content)
	fmt.Println(answer.ToolCalls[0].Name, answer.ToolCalls[0].Arguments)
	// Output:
	// The weather!
	// I look.
	// get_weather {"city": "Paris"}
}

// A model that must call a tool is kept to calls, which are read back.
func ExampleFormat_CallGrammar() {
	tool, err := chat.NewTool("roll", "Roll a die.", []byte(`{"type": "object", "properties": {"sides": {"enum": [6, 20]}}, "required": ["sides"]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	gbnf, err := chat.QwenXML.CallGrammar([]chat.Tool{tool}, chat.CallGrammarOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(gbnf)
	// Output:
	// root ::= answer
	// answer ::= call
	// call ::= '<tool_call>' "\n<function=" "roll" ">\n" members "</function>\n" '</tool_call>'
	// members ::= "<parameter=sides>\n" sides "\n</parameter>\n"
	// sides ::= "6" | "20"
}
