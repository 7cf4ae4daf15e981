package chat

// llamaSyntax is that of Llama 3.1 to 3.3: the whole answer is a call, several are separated by a
// semicolon. A <|python_tag|> in front is not always there.
//
//	{"name": "get_weather", "parameters": {"city": "Paris"}}
type llamaSyntax struct{}

func (llamaSyntax) start(prompt string) turn { return startThinking(prompt) }

func (llamaSyntax) tags(p *Parser) []string {
	tags := thinkTags(p)
	if p.kind == Reasoning || !p.fresh {
		return tags
	}
	tags = append(tags, "{", "<|python_tag|>")
	if p.called {
		tags = append(tags, ";")
	}
	return tags
}

func (llamaSyntax) open(tag string) turn {
	switch tag {
	case "{":
		return turn{body: &bareCall{newJSONBody(tag)}}
	case "<|python_tag|>":
		return turn{body: &jsonBody{}}
	case ";":
		return turn{called: true}
	}
	return openThink(tag)
}
