package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// repl reads what is said, has it answered, prints, and loops.
type repl struct {
	conversation *conversation
	verbose      bool
	in           <-chan inputLine
	interrupts   chan os.Signal // Ctrl-C while a line is waited for
	out          io.Writer
	notes        io.Writer
	person       bool              // someone types, and is to be prompted
	advise       func(error) error // adds to an error what may help
}

// command matches a line that is a command. A path such as /usr/bin is not one.
var command = regexp.MustCompile(`^/([A-Za-z]+|\?)\s*$`)

// toolResult matches a line that gives the result of a tool.
var toolResult = regexp.MustCompile(`(?s)^/tool(?:\s+(.*))?$`)

func (r *repl) run(ctx context.Context) error {
	if r.person {
		fmt.Fprint(r.notes, chatCommands)
	}
	for {
		text, err := r.read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case strings.TrimSpace(text) == "":
		case toolResult.MatchString(text):
			if err := r.result(ctx, toolResult.FindStringSubmatch(text)[1]); err != nil {
				return err
			}
		case command.MatchString(text):
			if end, err := r.obey(strings.TrimSpace(text)); end || err != nil {
				return err
			}
		default:
			if err := r.turn(ctx, text); err != nil {
				return err
			}
		}
	}
}

// obey executes a command, and reports whether it ends the chat. The names that other programs use
// work too.
func (r *repl) obey(command string) (end bool, err error) {
	switch strings.ToLower(command) {
	case "/exit", "/quit", "/bye":
		return true, nil
	case "/help", "/?":
		fmt.Fprint(r.notes, chatCommands)
	case "/stats":
		r.printStats()
	case "/reset", "/clear":
		if err := r.conversation.reset(); err != nil {
			return false, err
		}
		fmt.Fprintln(r.notes, "ebb: starting over")
	default:
		fmt.Fprintf(r.notes, "ebb: there is no command %s; /help lists the commands, and a line that begins with a space is sent to the model\n", command)
	}
	return false, nil
}

// inputLine is a line of the input, or the error that ended it.
type inputLine struct {
	text string
	last bool // no newline ends it
	err  error
}

// readLines returns the lines of in. They are read by a goroutine, so that a signal can be heard
// while nothing is typed. It ends with in; a read from a terminal cannot be called off, so it may
// outlast the chat and end with the process.
func readLines(in io.Reader) <-chan inputLine {
	lines := make(chan inputLine)
	go func() {
		defer close(lines)
		for buffered := bufio.NewReader(in); ; {
			text, err := buffered.ReadString('\n')
			last := errors.Is(err, io.EOF)
			if last {
				err = nil
			}
			lines <- inputLine{strings.TrimRight(text, "\r\n"), last, err}
			if last || err != nil {
				return
			}
		}
	}()
	return lines
}

// read returns the next line, joined with those that continue it. At the end of the input the error
// is io.EOF. Ctrl-C drops what was typed, and ends the chat if it comes twice or if no person
// types.
func (r *repl) read() (string, error) {
	signal.Notify(r.interrupts, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(r.interrupts)
	var text strings.Builder
	prompt, interrupted := "> ", false
	for {
		if r.person {
			fmt.Fprint(r.notes, prompt)
		}
		select {
		case s := <-r.interrupts:
			switch {
			case !r.person || s != os.Interrupt:
				return "", errors.New("interrupted")
			case interrupted:
				fmt.Fprintln(r.notes)
				return "", io.EOF
			}
			fmt.Fprintln(r.notes, "\nebb: Ctrl-C again ends the chat, as Ctrl-D and /exit do")
			text.Reset()
			prompt, interrupted = "> ", true
		case line, more := <-r.in:
			switch {
			case !more:
				return "", io.EOF
			case line.err != nil:
				return "", fmt.Errorf("reading what you say: %w", line.err)
			}
			said, continues := strings.CutSuffix(line.text, `\`)
			text.WriteString(said)
			if line.last && text.Len() == 0 {
				return "", io.EOF
			}
			if line.last || !continues {
				return text.String(), nil
			}
			text.WriteByte('\n')
			prompt = ". "
		}
	}
}

// turn answers one question. An error is printed, and the chat goes on, unless the output cannot be
// written.
func (r *repl) turn(ctx context.Context, text string) error {
	return r.answer(ctx, func(ctx context.Context, w io.Writer) (*answer, error) { return r.conversation.ask(ctx, text, w) })
}

// result gives the result of a tool, and has the model go on if that was the last one.
func (r *repl) result(ctx context.Context, text string) error {
	return r.answer(ctx, func(ctx context.Context, w io.Writer) (*answer, error) { return r.conversation.give(ctx, text, w) })
}

// answer prints an answer as it is generated, and what is to be said of it.
func (r *repl) answer(ctx context.Context, generate func(context.Context, io.Writer) (*answer, error)) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	out := &checkedWriter{w: r.out}
	a, err := generate(ctx, out)
	if a != nil {
		_ = a.shown.end() // out has the error
	}
	if out.err != nil {
		return out.err
	}
	if err == nil && a != nil && a.cut {
		fmt.Fprintf(r.notes, "ebb: the answer was cut off after %s; --max-new-tokens allows more\n", count(len(a.best().IDs), "token"))
	}
	if r.verbose && a != nil {
		r.printStats()
	}
	if err != nil {
		fmt.Fprintf(r.notes, "ebb: %s\n", r.explain(err))
	} else if waiting := r.conversation.waiting(); len(waiting) > 0 {
		fmt.Fprintf(r.notes, "ebb: the model waits for the result of %s: /tool RESULT gives it\n", waiting[0].Name)
	}
	return nil
}

// explain says what ended an answer and what the user can do.
func (r *repl) explain(err error) string {
	full := fmt.Sprintf("the context of %s is full", count(r.conversation.engine.Context(), "token"))
	text := plain(err)
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, ebb.ErrPromptTooLong):
		return text + "; what was said before is kept; /reset starts over"
	case errors.Is(err, kv.ErrNoMemory):
		return plain(r.advise(err)) + "; what was said is kept; /reset starts over"
	case errors.Is(err, kv.ErrFull) && r.conversation.keepFull:
		return full + "; what was said is kept; /reset starts over"
	case errors.Is(err, kv.ErrFull):
		return full + ", so the answer ends here; the oldest turns are dropped when you go on"
	default:
		return text
	}
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

// checkedWriter remembers an error of writing.
type checkedWriter struct {
	w   io.Writer
	err error
}

func (o *checkedWriter) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil {
		o.err = err
	}
	return n, err
}
