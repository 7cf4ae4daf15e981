package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/kv"
)

// answer is what was generated after a prompt, with its speed.
type answer struct {
	measured
	sequences []ebb.Completion // the best one first
	messages  []chat.Message   // what they are, if they are messages
	shown     *answerWriter    // where the best one was written to
	logits    [][]float32      // of the prompt's last tokens, if they were wanted
}

// question is what an answer is generated from.
type question struct {
	seq    *kv.Seq
	tokens []int32 // those that seq does not hold yet
	config ebb.GenerationConfig
	logits int // of how many of the last tokens logits are wanted

	format answerFormat
	dim    bool // reasoning is written dimmed, as a terminal can

	keepPrompt bool // seq is to hold the prompt afterwards, even if several texts are searched for
}

// best returns the answer's best text, or an empty one.
func (a *answer) best() ebb.Completion {
	if len(a.sequences) == 0 {
		return ebb.Completion{}
	}
	return a.sequences[0]
}

// message returns the message that a text is. A text after a raw prompt is all content.
func (a *answer) message(i int) chat.Message {
	if i < len(a.messages) {
		return a.messages[i]
	}
	return chat.Message{Role: "assistant", Content: a.sequences[i].Text}
}

// generateAnswer answers a question. Text goes to w as it comes; if there are several, or beams,
// the best one does at the end. With an error, what was generated before it is returned too; the
// answer is nil if nothing was computed.
func generateAnswer(ctx context.Context, engine *ebb.Engine, q question, w io.Writer) (*answer, error) {
	a := &answer{measured: begin(engine), shown: &answerWriter{w: w, dim: q.dim}}
	a.prefilled = len(q.tokens)
	var err error
	if q.config.NumBeams > 1 || q.config.NumReturnSequences > 1 {
		err = a.search(ctx, engine, q)
		if writeErr := a.showBest(engine, q); err == nil {
			err = writeErr
		}
	} else {
		err = a.stream(ctx, engine, q)
	}
	a.count(a.sequences)
	a.draft = draftedSince(engine, a.draft)
	if a.steps = engine.Stats().Cache.Steps - a.beforeSteps; err != nil && a.steps == 0 {
		return nil, err
	}
	return a, err
}

// stream generates one text. Logits that are wanted come from computing the prompt, which is done once.
func (a *answer) stream(ctx context.Context, engine *ebb.Engine, q question) (err error) {
	var tokens iter.Seq2[generate.Token, error]
	if q.logits == 0 {
		tokens = engine.GenerateTokens(ctx, q.seq, q.tokens, q.config)
	} else {
		if a.logits, err = engine.Prefill(ctx, q.seq, q.tokens, q.logits); err != nil {
			return err
		}
		tokens = engine.ContinueTokens(ctx, q.seq, a.logits[len(a.logits)-1], q.config)
	}
	var c ebb.Completion
	r := q.format.reader()
	defer func() {
		err = errors.Join(err, a.shown.write(r.end()))
		a.sequences, a.messages = []ebb.Completion{c}, r.messages()
	}()
	for piece, err := range engine.Decode(tokens, q.config.StopStrings) {
		c.Text += piece.Text
		writeErr := a.shown.write(r.next(piece))
		if err != nil {
			return err
		}
		c.IDs, c.Tokens = append(c.IDs, piece.ID), append(c.Tokens, piece.Token)
		c.Score += piece.LogProb
		c.Finish = piece.Finish
		a.token()
		if writeErr != nil {
			return writeErr
		}
	}
	return nil
}

// showBest writes the best of the texts that were searched for.
func (a *answer) showBest(engine *ebb.Engine, q question) error {
	a.messages = q.format.read(engine, a.sequences, q.config.StopStrings)
	if len(a.messages) == 0 {
		return a.shown.write([]chat.Event{{Kind: chat.Text, Text: a.best().Text}})
	}
	return a.shown.message(a.messages[0])
}

// search generates several texts, or one with beams. They are branches of the sequence if that is
// to hold the prompt afterwards.
func (a *answer) search(ctx context.Context, engine *ebb.Engine, q question) (err error) {
	b := engine.NewBatch(ebb.BatchOptions{})
	defer func() { err = errors.Join(err, b.Close()) }()
	request := ebb.Request{Prompt: q.tokens, Config: q.config}
	if q.logits > 0 || q.keepPrompt {
		rows, err := engine.Prefill(ctx, q.seq, q.tokens, q.logits)
		if err != nil {
			return err
		}
		if q.logits > 0 {
			a.logits = rows
		}
		request = ebb.Request{Seq: q.seq, Logits: rows[len(rows)-1], Config: q.config}
	}
	g, err := b.Add(request)
	if err != nil {
		return err
	}
	if request.Seq != nil {
		a.token()
	}
	for !g.Done() && err == nil {
		_, err = b.Step(ctx)
		a.token()
	}
	a.sequences = g.Completions()
	return errors.Join(err, g.Err())
}

// measured counts the tokens and the time of generating.
type measured struct {
	prefilled int // tokens of prompts that were computed
	texts     int
	tokens    int  // of all texts
	steps     int  // through the model
	cut       bool // texts are as long as they may be, and might go on

	draft ebb.DraftStats // by the model's block that drafts tokens; before the end, those before the beginning

	start       time.Time
	firstToken  time.Duration // from the beginning to the first new token
	decode      time.Duration // from the first new token to the last
	beforeStall time.Duration // stalled before the beginning
	beforeSteps int
}

// begin starts measuring.
func begin(engine *ebb.Engine) measured {
	s := engine.Stats()
	return measured{start: time.Now(), draft: s.Draft, beforeStall: s.Cache.Stall, beforeSteps: s.Cache.Steps}
}

// draftedSince returns how many tokens were drafted since some were.
func draftedSince(engine *ebb.Engine, before ebb.DraftStats) ebb.DraftStats {
	s := engine.Stats().Draft
	s.Drafted -= before.Drafted
	s.Accepted -= before.Accepted
	return s
}

// token records the time of a new token.
func (m *measured) token() {
	if m.firstToken == 0 {
		m.firstToken = time.Since(m.start)
	}
	m.decode = time.Since(m.start) - m.firstToken
}

// count adds the tokens of completions.
func (m *measured) count(sequences []ebb.Completion) {
	for _, s := range sequences {
		m.texts++
		m.tokens += len(s.IDs)
		m.cut = m.cut || s.Finish == generate.LengthLimit
	}
}

// prefillSpeed returns how many tokens of the prompt were computed per second.
func (m *measured) prefillSpeed() float64 { return speed(m.prefilled, m.firstToken) }

// decodeSpeed returns how many new tokens were generated per second, without the first of each
// text.
func (m *measured) decodeSpeed() float64 { return speed(m.tokens-m.texts, m.decode) }
