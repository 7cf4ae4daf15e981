package main

import (
	"iter"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/generate"
)

// answerFormat says how answers to a prompt are read. The zero value is for raw prompts: what
// follows them is text and no message.
type answerFormat struct {
	format  chat.Format
	options chat.ParserOptions
}

// answerReader reads one answer, piece by piece.
type answerReader struct {
	parser *chat.Parser // nil: all is text
	said   chat.Message
}

func (f answerFormat) reader() *answerReader {
	r := &answerReader{said: chat.Message{Role: "assistant"}}
	if f.format != "" {
		r.parser = f.format.NewParser(f.options)
	}
	return r
}

// next returns the events of a piece.
func (r *answerReader) next(piece ebb.Piece) []chat.Event {
	if r.parser == nil {
		return []chat.Event{{Kind: chat.Text, Text: piece.Text}}
	}
	events := r.add(nil, r.parser.Next(piece.Text))
	if piece.Control != "" {
		events = r.add(events, r.parser.Control(piece.Control))
	}
	return events
}

// end returns the events at the end.
func (r *answerReader) end() []chat.Event {
	if r.parser == nil {
		return nil
	}
	return r.add(nil, r.parser.Flush())
}

func (r *answerReader) add(events, more []chat.Event) []chat.Event {
	for _, e := range more {
		r.said.Append(e)
	}
	return append(events, more...)
}

// messages returns the message that was read, if it is one.
func (r *answerReader) messages() []chat.Message {
	if r.parser == nil {
		return nil
	}
	return []chat.Message{r.said}
}

// read returns the messages that texts are.
func (f answerFormat) read(engine *ebb.Engine, sequences []ebb.Completion, stops []string) (messages []chat.Message) {
	if f.format == "" {
		return nil
	}
	for _, s := range sequences {
		r := f.reader()
		for piece, err := range engine.Decode(tokensOf(s), stops) {
			if err == nil {
				r.next(piece)
			}
		}
		r.end()
		messages = append(messages, r.said)
	}
	return messages
}

// tokensOf yields the tokens of a completion.
func tokensOf(s ebb.Completion) iter.Seq2[generate.Token, error] {
	return func(yield func(generate.Token, error) bool) {
		for i, id := range s.IDs {
			token := generate.Token{ID: id}
			if i == len(s.IDs)-1 {
				token.Finish = generate.LengthLimit // whatever it was, nothing follows
			}
			if !yield(token, nil) {
				return
			}
		}
	}
}
