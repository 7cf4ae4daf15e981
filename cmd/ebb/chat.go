package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/kv"
)

// chatFlags are the flags of ebb chat.
type chatFlags struct {
	engine     engineFlags
	generation generationFlags
	system     string
	verbose    bool
}

const chatCommands = `/reset  forget what was said and start over
/stats  show the speed of the last answer, and what the cache took and moved
/exit   end, as Ctrl-D does
A line that ends in \ goes on with the next one. Ctrl-C stops an answer.
`

func newChatCommand() *cobra.Command {
	var f chatFlags
	cmd := &cobra.Command{
		Use:   "chat",
		Short: "Talk with a model",
		Long: `Chat reads what you say from stdin, line by line, and answers on stdout. The cache is
kept from turn to turn: only what is new is computed.

` + chatCommands + `
An answer ends after 256 tokens unless --max-new-tokens or the generation config says
otherwise. When the context is full, ebb says so, and what was said is kept.`,
		Example: `  ebb chat -m model.gguf
  ebb chat -m model.gguf --system "Answer in one sentence." --cache offloaded --kv-memory 1GiB`,
		Args: arguments(cobra.NoArgs),
		RunE: f.run,
	}
	f.engine.register(cmd)
	f.generation.register(cmd)
	cmd.Flags().StringVar(&f.system, "system", "", "the system message")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "show after each answer what /stats shows")
	return cmd
}

func (f *chatFlags) run(cmd *cobra.Command, _ []string) (err error) {
	if err := f.engine.check(cmd); err != nil {
		return err
	}
	cfg, warnings, err := f.generation.config()
	if err != nil {
		return err
	}
	if err := f.engine.configure(cmd, &cfg); err != nil {
		return err
	}
	grammar, err := f.generation.readGrammar()
	if err != nil {
		return err
	}
	path, err := f.fetch(cmd)
	if err != nil {
		return err
	}
	engine, err := ebb.Open(path, f.engine.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	printNotes(cmd.ErrOrStderr(), append(warnings, engine.Notes()...))
	if cfg.Grammar, err = grammar.compile(engine); err != nil {
		return err
	}
	c, err := newConversation(engine, f.system, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	r := repl{
		conversation: c, verbose: f.verbose,
		in: bufio.NewReader(cmd.InOrStdin()), out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr(),
		person: isTerminal(cmd.InOrStdin()),
	}
	return r.run(cmd.Context())
}

// fetch returns the model's file. Ctrl-C ends a download.
func (f *chatFlags) fetch(cmd *cobra.Command) (string, error) {
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	return modelFile(ctx, f.engine.model, cmd.ErrOrStderr())
}

// repl reads, evaluates, prints, and loops.
type repl struct {
	conversation *conversation
	verbose      bool
	in           *bufio.Reader
	out          io.Writer
	notes        io.Writer
	person       bool // someone types, and is to be prompted
}

func (r *repl) run(ctx context.Context) error {
	if r.person {
		fmt.Fprint(r.notes, chatCommands)
	}
	for {
		text, err := r.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch strings.TrimSpace(text) {
		case "":
		case "/exit":
			return nil
		case "/help":
			fmt.Fprint(r.notes, chatCommands)
		case "/stats":
			r.printStats()
		case "/reset":
			if err := r.conversation.reset(); err != nil {
				return err
			}
			fmt.Fprintln(r.notes, "ebb: starting over")
		default:
			if err := r.turn(ctx, text); err != nil {
				return err
			}
		}
	}
}

// read returns the next line, with the lines that it goes on with. At the end of the input the error is io.EOF.
func (r *repl) read() (string, error) {
	var text strings.Builder
	for prompt := "> "; ; prompt = ". " {
		if r.person {
			fmt.Fprint(r.notes, prompt)
		}
		line, err := r.in.ReadString('\n')
		last := errors.Is(err, io.EOF) // line is what stands behind the last newline
		if err != nil && !last {
			return "", fmt.Errorf("reading what you say: %w", err)
		}
		line, goesOn := strings.CutSuffix(strings.TrimRight(line, "\r\n"), `\`)
		text.WriteString(line)
		if last && text.Len() == 0 {
			return "", io.EOF
		}
		if last || !goesOn {
			return text.String(), nil
		}
		text.WriteByte('\n')
	}
}

// turn answers, and explains errors after which the conversation can go on.
func (r *repl) turn(ctx context.Context, text string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	a, err := r.conversation.ask(ctx, text, r.out)
	if a != nil && !strings.HasSuffix(a.best().Text, "\n") {
		fmt.Fprintln(r.out)
	}
	if err == nil && a.cut {
		fmt.Fprintf(r.notes, "ebb: cut off after %d tokens; --max-new-tokens allows more\n", len(a.best().IDs))
	}
	if r.verbose && a != nil {
		r.printStats()
	}
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(r.notes, "ebb: interrupted")
	case errors.Is(err, kv.ErrNoMemory):
		fmt.Fprintf(r.notes, "%v; what was said is kept; /reset starts over\n", err)
	case errors.Is(err, kv.ErrFull):
		fmt.Fprintf(r.notes, "ebb: the context of %d tokens is full; what was said is kept; /reset starts over\n", r.conversation.engine.Context())
	case errors.Is(err, ebb.ErrPromptTooLong):
		fmt.Fprintf(r.notes, "%v; what was said before is kept; /reset starts over\n", err)
	case errors.Is(err, chat.ErrRefused), errors.Is(err, chat.ErrLimit):
		fmt.Fprintf(r.notes, "ebb: %v\n", err)
	default:
		return err
	}
	return nil
}

func (r *repl) printStats() {
	c := r.conversation
	if c.last == nil {
		fmt.Fprintln(r.notes, "ebb: nothing was said yet")
		return
	}
	printReport(r.notes, &c.last.measured, c.engine)
	fmt.Fprintf(r.notes, "%-9s  %d of %d tokens; the last turn computed %d, and %d were in the cache\n",
		"context", c.seq.Len(), c.engine.Context(), c.last.prefilled, c.reused)
}
