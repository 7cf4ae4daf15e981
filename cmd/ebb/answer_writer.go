package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed4d217819/ebb/chat"
)

// answerWriter writes an answer for people: the content as it is, reasoning dimmed on a terminal
// and between tags elsewhere, and each tool call on a line.
type answerWriter struct {
	w   io.Writer
	dim bool

	text      strings.Builder // to be written at once
	any       bool            // something was written
	last      byte            // of what was written
	reasoning bool            // that is what was written last
	called    bool            // that was a call
}

// write writes events. It calls Write once, also if they show nothing.
func (o *answerWriter) write(events []chat.Event) error {
	for _, e := range events {
		o.event(e)
	}
	text := o.text.String()
	o.text.Reset()
	_, err := io.WriteString(o.w, text)
	return err
}

// message writes a whole message.
func (o *answerWriter) message(m chat.Message) error {
	var events []chat.Event
	if m.Reasoning != "" {
		events = append(events, chat.Event{Kind: chat.Reasoning, Text: m.Reasoning})
	}
	events = append(events, chat.Event{Kind: chat.Text, Text: m.Content})
	for _, c := range m.ToolCalls {
		events = append(events, chat.Event{Kind: chat.CallEnd, Call: c})
	}
	return o.write(events)
}

func (o *answerWriter) event(e chat.Event) {
	switch e.Kind {
	case chat.Text:
		if e.Text == "" {
			return
		}
		o.endReasoning()
		if o.called {
			o.put("\n")
			o.called = false
		}
		o.put(e.Text)
	case chat.Reasoning:
		if !o.reasoning {
			o.newLine()
			o.put(o.either("\x1b[2m", "<think>\n"))
			o.reasoning = true
		}
		o.put(e.Text)
	case chat.CallEnd:
		o.endReasoning()
		o.newLine()
		o.put(fmt.Sprintf("tool call: %s %s\n", e.Call.Name, onOneLine(e.Call.Arguments)))
		o.called = true
	case chat.Markup, chat.CallBegin, chat.CallArguments, chat.CallDrop:
	}
}

// onOneLine returns JSON without the lines that a model has broken it into.
func onOneLine(text string) string {
	if !strings.Contains(text, "\n") {
		return text
	}
	var line bytes.Buffer
	if err := json.Compact(&line, []byte(text)); err != nil {
		return text
	}
	return line.String()
}

// endReasoning ends the reasoning, if that is what was written last.
func (o *answerWriter) endReasoning() {
	if o.reasoning {
		o.put(o.either("\x1b[0m\n\n", "\n</think>\n\n"))
		o.reasoning = false
	}
}

// end ends the answer with a line end.
func (o *answerWriter) end() error {
	if o.reasoning {
		o.put(o.either("\x1b[0m\n", "\n</think>\n"))
		o.reasoning = false
	}
	if !o.any {
		o.put("\n")
	}
	o.newLine()
	return o.write(nil)
}

// newLine begins a line.
func (o *answerWriter) newLine() {
	if o.any && o.last != '\n' {
		o.put("\n")
	}
}

func (o *answerWriter) put(text string) {
	if text != "" {
		o.text.WriteString(text)
		o.any, o.last = true, text[len(text)-1]
	}
}

func (o *answerWriter) either(dimmed, plain string) string {
	if o.dim {
		return dimmed
	}
	return plain
}

// dims reports whether text that is less important can be dimmed where it is written to.
func dims(w io.Writer) bool { return isTerminal(w) && os.Getenv("NO_COLOR") == "" }
