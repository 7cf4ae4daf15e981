package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/grammar"
)

// batchAnswer is what was generated after one of the prompts.
type batchAnswer struct {
	tokens     int // of the prompt
	generation *ebb.Generation
	sequences  []ebb.Completion
	messages   []chat.Message // what they are, if they are messages
	format     answerFormat
	stops      []string
	err        error
}

// answerBatch generates for all prompts together, and prints the answers in their order as they
// end.
func (f *runFlags) answerBatch(ctx context.Context, engine *ebb.Engine, prompts []batchPrompt, g *grammar.Grammar, stdout, notes io.Writer) (err error) {
	b := engine.NewBatch(ebb.BatchOptions{StepTime: -1}) // nobody reads along, and whole prompts are fastest
	defer func() { err = errors.Join(err, b.Close()) }()
	m := begin(engine)
	answers := make([]batchAnswer, len(prompts))
	for i, p := range prompts {
		p.config.Grammar = g
		answers[i] = f.addToBatch(engine, b, p)
		m.prefilled += answers[i].tokens
	}
	next := 0 // to be printed
	for running := true; running && err == nil; {
		running, err = b.Step(ctx)
		m.token()
		for ; next < len(answers) && (answers[next].done() || !running || err != nil); next++ {
			a := &answers[next]
			a.collect(engine, f.engine.explain)
			m.count(a.sequences)
			if f.output != "text" {
				continue
			}
			if err := f.printBatchAnswer(stdout, prompts[next], *a, engine.Tokenizer().Spell); err != nil {
				return err
			}
		}
	}
	err = f.engine.explain(err)
	if f.output == "json" {
		err = errors.Join(err, printBatchJSON(stdout, &m, prompts, answers, engine.Stats(), engine.Tokenizer().Spell, err))
	} else {
		printReport(notes, &m, engine)
	}
	for i, a := range answers {
		if a.err != nil {
			err = errors.Join(err, fmt.Errorf("%s, line %d: %s", f.batch, prompts[i].line, plain(a.err)))
		}
	}
	return err
}

// addToBatch begins the answer to a prompt. If the prompt is wrong, the answer has the error.
func (f *runFlags) addToBatch(engine *ebb.Engine, b *ebb.Batch, p batchPrompt) (a batchAnswer) {
	if a.err = p.err; a.err != nil {
		return a
	}
	var r rendered
	if r, a.err = f.prompt.tokens(engine, p.prompt); a.err != nil {
		return a
	}
	a.format, a.stops = r.format, p.config.StopStrings
	if a.generation, a.err = b.Add(ebb.Request{Prompt: r.tokens, Config: p.config}); a.err == nil {
		a.tokens = len(r.tokens)
	}
	return a
}

func (a *batchAnswer) done() bool { return a.generation == nil || a.generation.Done() }

// collect takes the completions over from the batch, with what ended them, as the command explains it.
func (a *batchAnswer) collect(engine *ebb.Engine, explain func(error) error) {
	if a.generation != nil {
		a.sequences, a.err = a.generation.Completions(), explain(a.generation.Err())
		a.messages = a.format.read(engine, a.sequences, a.stops)
	}
}

func (f *runFlags) printBatchAnswer(w io.Writer, p batchPrompt, a batchAnswer, spell spelling) error {
	if _, err := fmt.Fprintf(w, "--- %s\n", p.title()); err != nil {
		return err
	}
	return printTexts(w, &answer{sequences: a.sequences, messages: a.messages}, spell, false, f.explain)
}
