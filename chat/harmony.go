package chat

import (
	"bytes"
	"regexp"
	"strings"
)

// harmonySyntax is that of gpt-oss: an answer is a sequence of messages, each with a header.
//
//	<|channel|>analysis<|message|>…<|end|>
//	<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{…}<|call|>
//	<|start|>assistant<|channel|>final<|message|>…<|return|>
//
// Analysis is the reasoning; commentary to nobody is content, as final is. The template has written
// the <|start|>assistant of the first message. Source: OpenAI's description of the harmony format.
type harmonySyntax struct{}

func (harmonySyntax) start(prompt string) turn {
	_, header, begun := cutLast(prompt, "<|start|>assistant")
	if header, ended := strings.CutSuffix(header, "<|message|>"); begun && ended {
		return harmonyTurn(header)
	}
	return turn{}
}

func (harmonySyntax) tags(p *Parser) []string {
	tags := []string{"<|start|>", "<|channel|>", "<|end|>", "<|return|>", "<|call|>"}
	if p.fresh {
		tags = append(tags, "to=")
	}
	return tags
}

func (harmonySyntax) open(tag string) turn {
	switch tag {
	case "<|start|>", "<|channel|>", "to=":
		return turn{body: &harmonyHeader{text: []byte(tag)}}
	}
	return turn{separate: true}
}

// harmonyHeader reads a header up to <|message|>.
type harmonyHeader struct{ text []byte }

// maxHeader bounds a header.
const maxHeader = 512

func (b *harmonyHeader) add(c byte) verdict {
	if c == '\n' || len(b.text) > maxHeader {
		return wrong
	}
	b.text = append(b.text, c)
	if c != '>' {
		return more
	}
	for _, tag := range []string{"<|end|>", "<|return|>", "<|call|>"} {
		if bytes.HasSuffix(b.text, []byte(tag)) {
			return wrong
		}
	}
	if bytes.HasSuffix(b.text, []byte("<|message|>")) {
		return done
	}
	return more
}

func (b *harmonyHeader) end() verdict { return wrong }

func (b *harmonyHeader) name() string { return "" }

func (b *harmonyHeader) result([]Tool) ([]ToolCall, turn, error) {
	return nil, harmonyTurn(strings.TrimSuffix(string(b.text), "<|message|>")), nil
}

var (
	harmonyRecipient = regexp.MustCompile(`\bto=([^\s<>]+)`)
	harmonyChannel   = regexp.MustCompile(`<\|channel\|>\s*(\w+)`)
)

// harmonyTurn returns what follows a header.
func harmonyTurn(header string) turn {
	channel := ""
	if m := harmonyChannel.FindStringSubmatch(header); m != nil {
		channel = m[1]
	}
	recipient := ""
	if m := harmonyRecipient.FindStringSubmatch(header); m != nil {
		recipient = m[1]
	}
	switch {
	case recipient != "" && recipient != "assistant" && recipient != "user" && recipient != "functions.":
		return turn{body: &harmonyCall{call: strings.TrimPrefix(recipient, "functions.")}}
	case channel == "analysis":
		return turn{kind: Reasoning, separate: true}
	default:
		return turn{separate: true}
	}
}

// harmonyCall reads the arguments of a call, which are a JSON object.
type harmonyCall struct {
	call string
	scan jsonScanner
	text []byte
}

func (b *harmonyCall) add(c byte) verdict {
	if len(b.scan.stack) == 0 && !isSpace(c) && c != '{' {
		return wrong
	}
	v := b.scan.add(c)
	if v != wrong {
		b.text = append(b.text, c)
	}
	return v
}

func (b *harmonyCall) end() verdict { return wrong }

func (b *harmonyCall) name() string { return b.call }

func (b *harmonyCall) result([]Tool) ([]ToolCall, turn, error) {
	arguments, err := argumentsOf(b.text)
	return []ToolCall{{Name: b.call, Arguments: arguments}}, turn{called: true, separate: true}, err
}

// cutLast cuts text around the last separator.
func cutLast(text, separator string) (head, tail string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}
