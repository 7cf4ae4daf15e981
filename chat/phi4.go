package chat

// phi4Syntax is that of Phi-4-mini and Granite: a list of calls.
//
//	<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}]<|/tool_call|>
//
// Granite leaves the tag at the end out.
type phi4Syntax struct{}

func (phi4Syntax) start(prompt string) turn { return startThinking(prompt) }

func (phi4Syntax) tags(p *Parser) []string {
	tags := thinkTags(p)
	if p.kind == Reasoning {
		return tags
	}
	tags = append(tags, "<|tool_call|>")
	if p.called {
		tags = append(tags, "<|/tool_call|>")
	}
	return tags
}

func (phi4Syntax) open(tag string) turn {
	switch tag {
	case "<|tool_call|>":
		return turn{body: &jsonBody{}}
	case "<|/tool_call|>":
		return turn{called: true}
	}
	return openThink(tag)
}
