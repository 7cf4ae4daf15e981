package chat

import "strings"

// mistralSyntax is that of Mistral's models. Until 2024 they wrote a list, later ones write each
// call for itself, some of them with an id:
//
//	[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}, "id": "9Ae3bDc2F"}]
//	[TOOL_CALLS]get_weather[CALL_ID]9Ae3bDc2F[ARGS]{"city": "Paris"}
//
// Reasoning stands between [THINK] and [/THINK].
type mistralSyntax struct{}

func (mistralSyntax) start(prompt string) turn {
	if strings.HasSuffix(strings.TrimSpace(prompt), "[THINK]") {
		return turn{kind: Reasoning}
	}
	return startThinking(prompt)
}

func (mistralSyntax) tags(p *Parser) []string {
	tags := thinkTags(p)
	if p.kind == Reasoning {
		return append(tags, "[/THINK]")
	}
	return append(tags, "[TOOL_CALLS]", "[THINK]")
}

func (mistralSyntax) open(tag string) turn {
	switch tag {
	case "[TOOL_CALLS]":
		return turn{body: &mistralBody{}}
	case "[THINK]":
		return turn{kind: Reasoning, separate: true}
	case "[/THINK]":
		return turn{}
	}
	return openThink(tag)
}

// mistralBody reads what stands behind [TOOL_CALLS].
type mistralBody struct {
	header []byte       // the name, perhaps with the id
	list   *jsonBody    // the old form
	call   *harmonyCall // the arguments in the new form
	id     string
}

func (b *mistralBody) add(c byte) verdict {
	switch {
	case b.list != nil:
		return b.list.add(c)
	case b.call != nil:
		return b.call.add(c)
	case len(b.header) == 0 && isSpace(c):
		return more
	case len(b.header) == 0 && (c == '[' || c == '{'):
		b.list = &jsonBody{}
		return b.list.add(c)
	case c == '{':
		return b.arguments(string(b.header), c)
	case !isName(c) || len(b.header) >= 2*maxName:
		return wrong
	}
	b.header = append(b.header, c)
	if header, ended := strings.CutSuffix(string(b.header), "[ARGS]"); c == ']' && ended {
		return b.arguments(header, 0)
	}
	return more
}

// arguments goes on with the arguments behind a header. first is their first byte, or 0.
func (b *mistralBody) arguments(header string, first byte) verdict {
	header, b.id, _ = strings.Cut(header, "[CALL_ID]")
	if header == "" {
		return wrong
	}
	b.call = &harmonyCall{call: header}
	if first == 0 {
		return more
	}
	return b.call.add(first)
}

func (b *mistralBody) end() verdict { return wrong }

func (b *mistralBody) name() string {
	switch {
	case b.list != nil:
		return b.list.name()
	case b.call != nil:
		return b.call.name()
	}
	return ""
}

func (b *mistralBody) result(tools []Tool) ([]ToolCall, turn, error) {
	if b.list != nil {
		return b.list.result(tools)
	}
	calls, next, err := b.call.result(tools)
	for i := range calls {
		calls[i].ID = b.id
	}
	return calls, turn{called: next.called}, err
}
