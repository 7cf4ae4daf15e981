package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed4d217819/ebb"
)

// batchPrompt is a line of a file of prompts.
type batchPrompt struct {
	line   int
	text   string
	ids    []int32 // instead of text
	config ebb.GenerationConfig
}

// batchLine is a line of a .jsonl file.
type batchLine struct {
	Prompt *string                    `json:"prompt"`
	IDs    []int32                    `json:"prompt_ids"`
	Config map[string]json.RawMessage `json:"generation_config"`
}

// readBatch reads a file of prompts; - is stdin. base is the config of all that say nothing else. It reports all lines that
// are wrong. Empty ones are left out.
func readBatch(name string, stdin io.Reader, base ebb.GenerationConfig) (prompts []batchPrompt, err error) {
	var data []byte
	if name == "-" {
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the prompts: %w", err)
	}
	var errs []error
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		p := batchPrompt{line: n, text: line, config: base}
		if strings.HasSuffix(name, ".jsonl") {
			if err := p.parse(line); err != nil {
				errs = append(errs, fmt.Errorf("%s, line %d: %w", name, n, err))
			}
		}
		prompts = append(prompts, p)
	}
	if len(prompts) == 0 {
		errs = append(errs, fmt.Errorf("%s has no prompts: want one a line", name))
	}
	return prompts, errors.Join(errs...)
}

// parse reads a line of JSON.
func (p *batchPrompt) parse(line string) error {
	var l batchLine
	d := json.NewDecoder(bytes.NewReader([]byte(line)))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return err
	}
	if (l.Prompt == nil) == (l.IDs == nil) {
		return errors.New("want a prompt or prompt_ids, and not both")
	}
	p.text, p.ids = "", l.IDs
	if l.Prompt != nil {
		p.text = *l.Prompt
	}
	var errs []error
	for name, value := range l.Config {
		errs = append(errs, p.config.Set(name, value))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return p.config.Validate()
}

// batchAnswer is what was generated after one of the prompts.
type batchAnswer struct {
	generation *ebb.Generation
	sequences  []ebb.Sequence
	err        error
}

// answerBatch generates for all prompts together, and prints the answers in their order as they end.
func (f *runFlags) answerBatch(ctx context.Context, engine *ebb.Engine, prompts []batchPrompt, stdout, notes io.Writer) (err error) {
	g, err := f.generation.readGrammar(engine)
	if err != nil {
		return err
	}
	b := engine.NewBatch()
	defer func() { err = errors.Join(err, b.Close()) }()
	m := begin(engine)
	answers := make([]batchAnswer, len(prompts))
	for i, p := range prompts {
		tokens, err := f.batchTokens(engine, p)
		if err == nil {
			p.config.Grammar = g
			answers[i].generation, err = b.Add(ebb.Request{Prompt: tokens, Config: p.config})
			m.prefilled += len(tokens)
		}
		answers[i].err = err
	}
	next := 0 // to be printed
	for running := true; running && err == nil; {
		running, err = b.Step(ctx)
		m.token()
		for ; next < len(answers) && (answers[next].done() || !running || err != nil); next++ {
			a := &answers[next]
			a.collect()
			m.count(a.sequences)
			if f.output != "text" {
				continue
			}
			if err := f.printBatchAnswer(stdout, prompts[next], *a, engine.Tokenizer().Spell); err != nil {
				return err
			}
		}
	}
	err = explain(err)
	if f.output == "json" {
		err = errors.Join(err, printBatchJSON(stdout, &m, answers, engine.Stats().Cache, engine.Tokenizer().Spell, err))
	} else {
		printReport(notes, &m, engine)
	}
	for i, a := range answers {
		if a.err != nil {
			err = errors.Join(err, fmt.Errorf("%s, line %d: %w", f.batch, prompts[i].line, a.err))
		}
	}
	return err
}

func (f *runFlags) batchTokens(engine *ebb.Engine, p batchPrompt) ([]int32, error) {
	prompt := f.prompt
	if p.ids != nil {
		prompt.ids = p.ids
	}
	tokens, err := prompt.tokens(engine, p.text)
	if err != nil {
		return nil, err
	}
	return tokens, checkTokens(engine, tokens)
}

func (a *batchAnswer) done() bool { return a.generation == nil || a.generation.Done() }

// collect takes what was generated.
func (a *batchAnswer) collect() {
	if a.generation != nil {
		a.sequences, a.err = a.generation.Sequences(), explain(a.generation.Err())
	}
}

func (f *runFlags) printBatchAnswer(w io.Writer, p batchPrompt, a batchAnswer, spell spelling) error {
	title := p.text
	if p.ids != nil {
		title = strings.Trim(fmt.Sprint(p.ids), "[]")
	}
	if letters := []rune(title); len(letters) > 70 {
		title = string(letters[:69]) + "…"
	}
	if _, err := fmt.Fprintf(w, "--- %d: %s\n", p.line, title); err != nil {
		return err
	}
	return printTexts(w, a.sequences, spell, false, f.explain)
}
