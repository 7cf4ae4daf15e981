package chat

import "strings"

// plainSyntax is that of models that have no tool calls, or calls in a form that is not known. Where
// tools are known, an answer that is a call of one of them in the form of Llama is one.
type plainSyntax struct{}

func (plainSyntax) start(prompt string) turn { return startThinking(prompt) }

func (plainSyntax) tags(p *Parser) []string {
	tags := thinkTags(p)
	if p.kind == Reasoning || !p.fresh || len(p.tools) == 0 {
		return tags
	}
	if p.called {
		tags = append(tags, ";")
	}
	return append(tags, "{")
}

func (plainSyntax) open(tag string) turn {
	if tag == "{" || tag == ";" {
		return llamaSyntax{}.open(tag)
	}
	return openThink(tag)
}

// startThinking returns what an answer begins with if the template may have opened the reasoning.
func startThinking(prompt string) turn {
	if strings.HasSuffix(strings.TrimSpace(prompt), "<think>") {
		return turn{kind: Reasoning}
	}
	return turn{}
}

// thinkTags returns the tags around reasoning. It begins only where no content was before, so that
// a text about the tags stays one.
func thinkTags(p *Parser) []string {
	switch {
	case p.kind == Reasoning && p.fresh:
		return []string{"</think>", "<think>"}
	case p.kind == Reasoning:
		return []string{"</think>"}
	case p.fresh && !p.said[Text]:
		return []string{"<think>"}
	default:
		return nil
	}
}

func openThink(tag string) turn {
	if tag == "<think>" {
		return turn{kind: Reasoning}
	}
	return turn{}
}
