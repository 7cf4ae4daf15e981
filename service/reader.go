package service

import (
	"context"
	"iter"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/generate"
)

// Events yields what happens to the answer until it ends, an error last if that ended it. If ctx is
// cancelled, its error is. Whoever leaves the loop closes the answer.
func (a *Answer) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		var readers []*reader
		var now soFar
		var progress Progress
		beat := time.NewTicker(a.service.options.Beat)
		defer beat.Stop()
		part := func(e Event, err error) bool {
			beat.Reset(a.service.options.Beat)
			return yield(e, err)
		}
		for {
			select {
			case <-a.news:
			case <-beat.C:
				if !yield(Event{Kind: Beat, Progress: progress}, nil) {
					return
				}
				continue
			case <-ctx.Done():
				yield(Event{}, context.Cause(ctx))
				return
			}
			a.read(&now)
			if now.progress.Done > progress.Done {
				progress = now.progress
				if !yield(Event{Kind: Prefill, Progress: progress}, nil) {
					return
				}
			}
			for i, tokens := range now.tokens {
				if i == len(readers) {
					readers = append(readers, a.reader(i))
				}
				if !readers[i].read(tokens, part) || now.ended && !readers[i].end(now.finishes[i], part) {
					return
				}
			}
			if now.ended {
				if now.err != nil {
					yield(Event{}, now.err)
				}
				return
			}
		}
	}
}

// Texts waits for the end of the answer and returns its texts, the best one first. With an error it
// returns what there was before it.
func (a *Answer) Texts(ctx context.Context) (texts []Text, err error) {
	a.Wait(ctx)
	for e, err := range a.Events(ctx) {
		if err != nil {
			return texts, err
		}
		if e.Kind != Part && e.Kind != Finished {
			continue
		}
		for e.Text >= len(texts) {
			texts = append(texts, Text{Message: chat.Message{Role: "assistant"}})
		}
		t := &texts[e.Text]
		t.Tokens = append(t.Tokens, e.Tokens...)
		if e.Kind == Part {
			t.Message.Append(e.Part)
		} else {
			t.Finish = e.Finish
		}
	}
	return texts, nil
}

// reader makes events of the tokens of one text.
type reader struct {
	number  int
	decoder *ebb.TextDecoder
	parser  *chat.Parser // nil: all is text

	tokens []generate.Token // of the text so far
	seen   int              // of these, those that are read
	told   int              // of these, those that have come with a part

	reasoned func(tokens int) // hears of tokens of the model's reasoning
}

func (a *Answer) reader(number int) *reader {
	e := a.service.engine
	r := &reader{number: number, decoder: e.NewTextDecoder(a.prompt.config.StopStrings), reasoned: a.reasoned}
	if f := a.prompt.format; f != "" {
		r.parser = f.NewParser(a.prompt.reads)
		r.parser.Next(a.prompt.given)
	}
	return r
}

// read yields the events of the tokens that are new.
func (r *reader) read(tokens []generate.Token, yield func(Event, error) bool) bool {
	for r.tokens = tokens; r.seen < len(tokens); {
		t := tokens[r.seen]
		r.seen++
		if !r.say(r.decoder.Piece(t), yield) {
			return false
		}
	}
	return true
}

// end yields the events at the end of the text: what was held back, and why it has ended, unless an
// error has ended it.
func (r *reader) end(finish generate.Finish, yield func(Event, error) bool) bool {
	if rest := r.decoder.Flush(); rest != "" && !r.say(ebb.Piece{Text: rest}, yield) {
		return false
	}
	if r.parser != nil {
		for _, e := range r.parser.Flush() {
			if !r.part(e, yield) {
				return false
			}
		}
	}
	return finish == generate.Unfinished || yield(Event{Kind: Finished, Text: r.number, Finish: finish, Tokens: r.untold()}, nil)
}

// say yields the events of a piece of the text.
func (r *reader) say(p ebb.Piece, yield func(Event, error) bool) bool {
	if r.parser == nil {
		return p.Text == "" || r.part(chat.Event{Kind: chat.Text, Text: p.Text}, yield)
	}
	for _, e := range r.parser.Next(p.Text) {
		if !r.part(e, yield) {
			return false
		}
	}
	if p.Control == "" {
		return true
	}
	for _, e := range r.parser.Control(p.Control) {
		if !r.part(e, yield) {
			return false
		}
	}
	return true
}

// part yields a part of the text, with the tokens that have come since the part before.
func (r *reader) part(e chat.Event, yield func(Event, error) bool) bool {
	tokens := r.untold()
	if e.Kind == chat.Reasoning {
		r.reasoned(len(tokens))
	}
	return yield(Event{Kind: Part, Text: r.number, Part: e, Tokens: tokens}, nil)
}

// untold returns the tokens that have come since the part before.
func (r *reader) untold() []generate.Token {
	tokens := r.tokens[r.told:r.seen:r.seen]
	r.told = r.seen
	return tokens
}
