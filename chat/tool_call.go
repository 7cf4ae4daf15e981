package chat

import "slices"

// toolCallSyntax is that of formats with calls between <tool_call> and </tool_call>. Small models
// that have been given tools, such as Qwen2.5-Coder, often leave the tags out or write others: where
// the answer begins with a call of one of the tools, it is one.
type toolCallSyntax struct{ format Format }

func (toolCallSyntax) start(prompt string) turn { return startThinking(prompt) }

func (s toolCallSyntax) tags(p *Parser) []string {
	tags := thinkTags(p)
	if p.kind == Reasoning {
		return tags
	}
	tags = append(tags, "<tool_call>")
	if p.fresh && len(p.tools) > 0 {
		tags = append(tags, "{", "```json", "<tools>")
	}
	if s.format == QwenXML {
		tags = append(tags, functionTag) // some models leave the tag around it out
	}
	if p.called {
		tags = append(tags, "</tool_call>", "</tools>")
	}
	return tags
}

func (s toolCallSyntax) open(tag string) turn {
	switch tag {
	case "<tool_call>":
		return turn{body: &toolCallBody{format: s.format}}
	case functionTag:
		return turn{body: &xmlBody{}}
	case "{":
		return turn{body: &bareCall{newJSONBody(tag)}}
	case "```json":
		return turn{body: &bareCall{&jsonBlock{}}}
	case "<tools>":
		return turn{body: &bareCall{&jsonBody{}}}
	case "</tool_call>", "</tools>":
		return turn{called: true}
	}
	return openThink(tag)
}

// toolCallBody is what stands behind <tool_call>. The first byte shows in which form it is; models
// that were trained on one also write the other.
type toolCallBody struct {
	format Format
	tag    []byte // of the XML form, as far as it has come
	body          // nil: still unknown
}

func (b *toolCallBody) add(c byte) verdict {
	switch {
	case b.body != nil:
		return b.body.add(c)
	case len(b.tag) > 0 || c == functionTag[0]:
		if c != functionTag[len(b.tag)] {
			return wrong
		}
		if b.tag = append(b.tag, c); len(b.tag) == len(functionTag) {
			b.body = &xmlBody{}
		}
		return more
	case isSpace(c):
		return more
	case c == '{' || c == '[':
		b.body = &jsonBody{}
	case b.format == GLM:
		b.body = &glmBody{}
	default:
		return wrong
	}
	return b.body.add(c)
}

func (b *toolCallBody) end() verdict {
	if b.body == nil {
		return wrong
	}
	return b.body.end()
}

func (b *toolCallBody) name() string {
	if b.body == nil {
		return ""
	}
	return b.body.name()
}

// argumentTypes returns the JSON types that a tool declares for an argument; none if it says nothing.
func argumentTypes(tools []Tool, call, argument string) []string {
	i := slices.IndexFunc(tools, func(t Tool) bool { return t.Name == call })
	if i < 0 {
		return nil
	}
	return tools[i].types[argument]
}
