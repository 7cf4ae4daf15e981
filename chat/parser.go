package chat

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// ParserOptions says what a parser should know of the prompt. The zero value knows nothing.
type ParserOptions struct {
	// Tools are those that the template was given. They say which types the arguments of calls
	// have, in formats that write none.
	Tools []Tool
	// Prompt is the rendered prompt that the answer continues. Some templates end by opening the
	// reasoning.
	Prompt string
	// Calls is how many calls there were before in the conversation, so that those of the answer
	// get other ids.
	Calls int
}

// Parser turns the text of an answer, as it comes, into events. It is fed by [Parser.Next] and
// [Parser.Control] and ended by [Parser.Flush]. However the text is cut, the events are the same
// once neighbours of one kind are joined. One goroutine uses it.
//
// Nothing is lost: what is not a well-formed call comes out as text. Held back are only bytes that
// may begin a tag, white space in front of one, and calls.
type Parser struct {
	syntax syntax
	tools  []Tool
	calls  int // so far, with those before the answer

	// Prose is read where there is no body.
	kind     EventKind // Text or Reasoning
	fresh    bool      // since the beginning or the last tag there was no prose
	called   bool      // and the tag was that of a call
	trim     bool      // white space at the beginning of prose is markup
	separate bool      // prose of a kind that was there before begins a paragraph
	said     [2]bool   // Text and Reasoning were there
	tags     []string  // that mean something here
	space    []byte    // white space that is markup if a tag follows
	held     []byte    // the beginning of a tag

	body  body   // what a tag began
	lead  []byte // white space before the tag
	raw   []byte // the tag and what the body has read
	begun bool   // CallBegin was sent

	pending     []byte // prose that is not yet an event
	pendingKind EventKind
	events      []Event
}

// syntax is a format of answers.
type syntax interface {
	// start returns what an answer to a rendered prompt begins with.
	start(prompt string) turn
	// tags returns the tags that mean something where the parser is. None is the beginning of
	// another.
	tags(p *Parser) []string
	// open returns what a tag begins.
	open(tag string) turn
}

// turn is what a tag begins: prose of a kind, or a body.
type turn struct {
	kind     EventKind // Text or Reasoning
	body     body
	called   bool // the tag ends a call
	separate bool // prose of a kind that was there before begins a paragraph
}

// body reads what a tag begins and what is not prose, such as a call, byte by byte.
type body interface {
	// add takes one more byte, except if its verdict is wrong.
	add(b byte) verdict
	// end says whether the answer may end here: done or wrong.
	end() verdict
	// name returns the name of a call once it is known.
	name() string
	// result returns the calls, and what follows. An error says that it is no call after all.
	result(tools []Tool) ([]ToolCall, turn, error)
}

// verdict is what a body says of a byte.
type verdict int

const (
	more  verdict = iota // the body goes on
	done                 // it ends with this byte
	wrong                // it is not what it seemed
)

// NewParser returns a parser for answers in the format.
func (f Format) NewParser(o ParserOptions) *Parser {
	p := &Parser{syntax: f.syntax(), tools: o.Tools, calls: o.Calls}
	p.begin(p.syntax.start(o.Prompt))
	p.trim = p.kind == Reasoning
	return p
}

// Next takes the next piece of the answer, cut anywhere, and returns the events that are certain
// with it. The slice is valid until the next call.
func (p *Parser) Next(text string) []Event {
	p.events = p.events[:0]
	p.feed(text)
	return p.take()
}

// Control takes a control token by its spelling, such as <|im_end|>. It is a tag if the format has
// it here, and markup if not: it is text to nobody.
func (p *Parser) Control(spelling string) []Event {
	p.events = p.events[:0]
	if p.body == nil {
		p.control(spelling)
		return p.take()
	}
	length := len(p.raw)
	for i := range len(spelling) {
		switch p.body.add(spelling[i]) {
		case more:
			p.raw = append(p.raw, spelling[i])
		case done:
			p.raw = append(p.raw, spelling[i])
			p.finish()
			p.feed(spelling[i+1:])
			return p.take()
		case wrong:
			p.raw = p.raw[:length]
			p.drop()
			p.control(spelling)
			return p.take()
		}
	}
	return p.take()
}

// Flush ends the answer and returns what was held back.
func (p *Parser) Flush() []Event {
	p.events = p.events[:0]
	for p.body != nil {
		if p.body.end() == done {
			p.finish()
		} else {
			p.drop()
		}
	}
	p.release()
	p.settle()
	p.flushPending(len(p.pending))
	return p.events
}

func (p *Parser) feed(text string) {
	for len(text) > 0 {
		if n := p.plain(text); n > 0 {
			p.settle()
			p.say(text[:n])
			text = text[n:]
			continue
		}
		p.add(text[0])
		text = text[1:]
	}
}

// plain returns how many bytes at the beginning of text are prose, whatever follows.
func (p *Parser) plain(text string) (n int) {
	if p.body != nil || len(p.held) > 0 || p.fresh { // what is prose may change with the next byte
		return 0
	}
	if len(p.tags) == 0 {
		return len(text)
	}
	for n < len(text) && !isSpace(text[n]) && !p.mayOpen(text[n]) {
		n++
	}
	return n
}

// mayOpen reports whether a tag begins with a byte.
func (p *Parser) mayOpen(b byte) bool {
	for _, tag := range p.tags {
		if tag[0] == b {
			return true
		}
	}
	return false
}

// add takes one byte.
func (p *Parser) add(b byte) {
	if p.body == nil {
		p.match(b)
		return
	}
	switch p.body.add(b) {
	case more:
		p.raw = append(p.raw, b)
		p.announce()
	case done:
		p.raw = append(p.raw, b)
		p.finish()
	case wrong:
		p.drop()
		p.add(b)
	}
}

// match looks for tags in prose.
func (p *Parser) match(b byte) {
	if len(p.held) == 0 && !p.mayOpen(b) {
		p.prose(b)
		return
	}
	p.held = append(p.held, b)
	for _, tag := range p.tags {
		switch {
		case tag == string(p.held):
			p.held = p.held[:0]
			p.open(tag)
			return
		case strings.HasPrefix(tag, string(p.held)):
			return
		}
	}
	held := slices.Clone(p.held)
	p.held = p.held[:0]
	p.prose(held[0])
	for _, b := range held[1:] {
		p.add(b)
	}
}

// release makes prose of what might have become a tag.
func (p *Parser) release() {
	for _, b := range p.held {
		p.prose(b)
	}
	p.held = p.held[:0]
}

// prose takes one byte of content or reasoning.
func (p *Parser) prose(b byte) {
	if (len(p.tags) > 0 || p.trim) && isSpace(b) {
		p.space = append(p.space, b)
		return
	}
	p.settle()
	p.say(string([]byte{b}))
}

// settle decides that white space is prose, or markup at the beginning.
func (p *Parser) settle() {
	if p.trim {
		p.mark(string(p.space))
	} else {
		p.say(string(p.space))
	}
	p.space = p.space[:0]
}

// say adds prose.
func (p *Parser) say(text string) {
	if text == "" {
		return
	}
	if len(p.pending) > 0 && p.pendingKind != p.kind {
		p.flushPending(len(p.pending))
	}
	if p.separate && p.said[p.kind] {
		p.emit(Event{Kind: p.kind, Text: "\n\n"})
	}
	p.pending, p.pendingKind = append(p.pending, text...), p.kind
	p.said[p.kind], p.trim, p.separate = true, false, false
	if p.fresh {
		p.fresh, p.called = false, false
		p.tags = p.syntax.tags(p)
	}
}

// control takes a control token where prose is read.
func (p *Parser) control(spelling string) {
	p.release()
	if slices.Contains(p.tags, spelling) {
		p.open(spelling)
		return
	}
	p.settle()
	p.mark(spelling)
}

// open begins what a tag begins.
func (p *Parser) open(tag string) {
	t := p.syntax.open(tag)
	if t.body == nil {
		p.mark(string(p.space) + tag)
		p.space = p.space[:0]
		p.begin(t)
		return
	}
	p.lead, p.space = append(p.lead[:0], p.space...), p.space[:0]
	p.body, p.raw, p.begun = t.body, append(p.raw[:0], tag...), false
	p.announce()
}

// begin begins prose.
func (p *Parser) begin(t turn) {
	p.kind, p.called, p.separate = t.kind, t.called, t.separate
	p.fresh, p.trim = true, true
	p.tags = p.syntax.tags(p)
}

// announce says that a call begins, once its name is known.
func (p *Parser) announce() {
	if name := p.body.name(); name != "" && !p.begun {
		p.begun = true
		p.emit(Event{Kind: CallBegin, Call: ToolCall{ID: p.id(), Name: name}})
	}
}

// id returns the id of the next call: nine letters and digits, as Mistral's templates demand.
func (p *Parser) id() string { return fmt.Sprintf("call%05d", p.calls%100000) }

// finish ends a body.
func (p *Parser) finish() {
	calls, next, err := p.body.result(p.tools)
	if err != nil {
		p.drop()
		return
	}
	source := string(p.lead) + string(p.raw)
	for i, c := range calls {
		if c.ID == "" {
			c.ID = p.id()
		}
		if c.Arguments == "" {
			c.Arguments = "{}"
		}
		if !p.begun {
			p.emit(Event{Kind: CallBegin, Call: ToolCall{ID: c.ID, Name: c.Name}})
		}
		p.begun = false
		p.calls++
		p.emit(Event{Kind: CallArguments, Text: c.Arguments})
		end := Event{Kind: CallEnd, Call: c}
		if i == len(calls)-1 {
			end.Source = source
		}
		p.emit(end)
	}
	if len(calls) == 0 {
		p.mark(source)
	}
	p.body, p.lead, p.raw = nil, p.lead[:0], p.raw[:0]
	p.begin(next)
	if next.body != nil {
		p.body, p.begun = next.body, false
		p.announce()
	}
}

// drop makes prose of a body that is not what it seemed.
func (p *Parser) drop() {
	if p.begun {
		p.emit(Event{Kind: CallDrop})
	}
	p.body, p.begun = nil, false
	p.space = append(p.space, p.lead...)
	p.settle()
	p.say(string(p.raw))
	p.lead, p.raw = p.lead[:0], p.raw[:0]
}

// mark adds what is shown to nobody.
func (p *Parser) mark(source string) {
	if source != "" {
		p.emit(Event{Kind: Markup, Source: source})
	}
}

// emit adds an event behind the prose before it.
func (p *Parser) emit(e Event) {
	p.flushPending(len(p.pending))
	p.events = append(p.events, e)
}

// flushPending makes an event of the first n bytes of the pending prose.
func (p *Parser) flushPending(n int) {
	if n == 0 {
		return
	}
	text := string(p.pending[:n])
	p.events = append(p.events, Event{Kind: p.pendingKind, Text: text, Source: text})
	p.pending = append(p.pending[:0], p.pending[n:]...)
}

// take returns the events so far. Bytes that begin a character wait for the others.
func (p *Parser) take() []Event {
	p.flushPending(len(p.pending) - unfinished(p.pending))
	return p.events
}

// unfinished returns how many bytes at the end of text begin a character that more bytes could
// complete.
func unfinished(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\r' || b == '\t' }
