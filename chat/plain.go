package chat

import "strings"

// plainSyntax is that of models that have no tool calls, or calls in a form that is not known.
type plainSyntax struct{}

func (plainSyntax) start(prompt string) turn { return startThinking(prompt) }

func (plainSyntax) tags(p *Parser) []string { return thinkTags(p) }

func (plainSyntax) open(tag string) turn { return openThink(tag) }

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
