package chat

// gemma3Syntax is that of Gemma 3, which has no tags for calls. Google's guide asks for calls as in
// Python, in a block or as the whole answer, and others ask for JSON:
//
//	```tool_code
//	get_weather(city="Paris")
//	```
//
//	[get_weather(city="Paris")]
//
//	{"name": "get_weather", "parameters": {"city": "Paris"}}
type gemma3Syntax struct{}

func (gemma3Syntax) start(prompt string) turn { return startThinking(prompt) }

func (gemma3Syntax) tags(p *Parser) []string {
	tags := thinkTags(p)
	if p.kind == Reasoning {
		return tags
	}
	tags = append(tags, "```tool_code", "```tool_call", "```json")
	if p.fresh {
		tags = append(tags, "{", "[")
	}
	return tags
}

func (gemma3Syntax) open(tag string) turn {
	switch tag {
	case "```tool_code":
		return turn{body: &pythonBody{}}
	case "```tool_call":
		return turn{body: &jsonBlock{}}
	case "```json":
		return turn{body: &bareCall{&jsonBlock{}}}
	case "[":
		return turn{body: &bareCall{&callList{}}}
	case "{":
		return turn{body: &bareCall{newJSONBody(tag)}}
	}
	return openThink(tag)
}

// jsonBlock reads JSON up to the end of a block of Markdown.
type jsonBlock struct {
	jsonBody

	whole bool // the JSON is
	fence int  // backquotes of the end that have come
}

func (b *jsonBlock) add(c byte) verdict {
	switch {
	case !b.whole:
		v := b.jsonBody.add(c)
		if v == done {
			b.whole = true
			return more
		}
		return v
	case c == '`':
		if b.fence++; b.fence == len("```") {
			return done
		}
		return more
	case isSpace(c) && b.fence == 0:
		return more
	}
	return wrong
}

func (b *jsonBlock) end() verdict {
	if b.whole {
		return done
	}
	return wrong
}

// callList reads a list of calls, as in Python or in JSON, behind its bracket.
type callList struct{ body }

func (b *callList) add(c byte) verdict {
	switch {
	case b.body != nil:
		return b.body.add(c)
	case isSpace(c):
		return more
	case c == '{':
		b.body = newJSONBody("[")
	case isIdentifier(c):
		b.body = &pythonBody{list: true}
	default:
		return wrong
	}
	return b.body.add(c)
}

func (b *callList) end() verdict { return wrong }

func (b *callList) name() string { return "" }
