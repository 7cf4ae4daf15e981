package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/tokenizer"
)

// promptFlags are the flags that give the prompt.
type promptFlags struct {
	file   string
	ids    []int32
	raw    bool
	system string
	render renderFlags

	options chat.RenderOptions // what render has read
}

func (f *promptFlags) register(cmd *cobra.Command) {
	group(cmd, groupPrompt, func(flags *pflag.FlagSet) {
		flags.StringVarP(&f.file, "file", "f", "", "Read the prompt from `FILE`; - is stdin.")
		flags.StringVar(&f.system, "system", "", "The system message of the chat template.")
		flags.BoolVar(&f.raw, "raw", false, "Continue the prompt as it is, without the model's chat template.")
		flags.Var(&parsed[[]int32]{&f.ids, "", "IDS", parseIDs}, "prompt-ids", "The prompt as token ids, as in 5,9,12. They are taken as they are.")
	})
	f.render.register(cmd)
}

func parseIDs(text string) (ids []int32, err error) {
	for field := range strings.SplitSeq(text, ",") {
		id, err := strconv.ParseInt(strings.TrimSpace(field), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is not a token id: want whole numbers with commas between them, as in 5,9,12", field)
		}
		ids = append(ids, int32(id))
	}
	return ids, nil
}

// check reports contradictions between flags and arguments, and a missing prompt.
func (f *promptFlags) check(cmd *cobra.Command, args []string) error {
	ids := cmd.Flags().Changed("prompt-ids")
	var given []string
	for _, source := range []struct {
		name  string
		given bool
	}{{"an argument", len(args) > 0}, {"-f", f.file != ""}, {"--prompt-ids", ids}} {
		if source.given {
			given = append(given, source.name)
		}
	}
	switch {
	case len(given) > 1:
		return misusef("the prompt is given twice, by %s: give one of them", strings.Join(given, " and "))
	case len(given) == 0 && isTerminal(cmd.InOrStdin()):
		return misusef("no prompt: give it as an argument, with -f FILE, or on stdin")
	case len(args) > 1 && (args[0] == "true" || args[0] == "false"):
		return misusef("the prompt begins with %s: if that is the value of a flag, join them, as in --do-sample=%[1]s; if not, quote the prompt", args[0])
	case f.system != "" && (f.raw || ids):
		return misusef("--system is for the chat template, which --raw and --prompt-ids leave out")
	case f.render.given() && (f.raw || ids):
		return misusef("--tools and --chat-template-kwargs are for the chat template, which --raw and --prompt-ids leave out")
	}
	return nil
}

// checkBatch reports flags and arguments that contradict --batch.
func (f *promptFlags) checkBatch(cmd *cobra.Command, args []string) error {
	if len(args) > 0 || f.file != "" || cmd.Flags().Changed("prompt-ids") {
		return misusef("the prompt is given beside --batch, which has prompts of its own: give one of them")
	}
	if f.system != "" && f.raw {
		return misusef("--system is for the chat template, which --raw leaves out")
	}
	if f.render.given() && f.raw {
		return misusef("--tools and --chat-template-kwargs are for the chat template, which --raw leaves out")
	}
	return nil
}

// prompt is what a model is asked: a text, token ids that are taken as they are, or a conversation.
type prompt struct {
	text     string
	ids      []int32
	messages []chat.Message
	tools    []chat.Tool // of a conversation; nil: those of --tools
}

// read returns the prompt. One newline at the end of a file is dropped: it is the file's, not the
// prompt's. Text that is piped in beside an argument comes first, as in `cat report.txt | ebb run
// "Sum this up."`.
func (f *promptFlags) read(stdin io.Reader, args []string, notes io.Writer) (prompt, error) {
	argument := strings.Join(args, " ")
	switch {
	case f.ids != nil:
		return prompt{ids: f.ids}, nil
	case len(args) > 0 && !isPiped(stdin):
		return prompt{text: argument}, nil
	}
	if len(args) > 0 {
		waiting := time.AfterFunc(stdinPatience, func() {
			printNotes(notes, []string{"the prompt's text on stdin is being read, until it ends (</dev/null says that there is none)"})
		})
		defer waiting.Stop()
	}
	data, err := readText("the prompt", cmp.Or(f.file, "-"), stdin)
	if err != nil {
		return prompt{}, err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case len(args) == 0:
		return prompt{text: text}, nil
	case strings.TrimSpace(text) == "":
		return prompt{text: argument}, nil
	}
	return prompt{text: text + "\n\n" + argument}, nil
}

// stdinPatience is how long stdin may be silent before a note says that it is being read.
const stdinPatience = 2 * time.Second

// tokens returns a prompt as the model reads it.
func (f *promptFlags) tokens(engine *ebb.Engine, p prompt) (r rendered, err error) {
	switch {
	case p.ids != nil:
		return rendered{tokens: p.ids}, nil
	case f.raw && p.messages != nil:
		return r, errors.New("messages are for the chat template, which --raw leaves out")
	case f.raw:
		r.tokens, err = engine.Tokenizer().Encode(p.text, tokenizer.Options{AddSpecial: true, ParseSpecial: true})
		return r, err
	}
	template, err := engine.Template()
	if err != nil {
		return r, fmt.Errorf("%w (--raw)", err)
	}
	options := f.options
	if p.tools != nil {
		options.Tools = p.tools
	}
	if err := checkTools(template, options); err != nil {
		return r, err
	}
	messages := p.messages
	if messages == nil {
		messages = []chat.Message{{Role: "user", Content: p.text}}
	}
	if messages[0].Role != "system" {
		messages = append(systemMessage(f.system), messages...)
	}
	return renderPrompt(engine, template, template.Express(messages), options)
}

// systemMessage returns the messages that a conversation begins with.
func systemMessage(text string) []chat.Message {
	if text == "" {
		return nil
	}
	return []chat.Message{{Role: "system", Content: text}}
}

// isPiped reports whether a reader is a pipe or a file, in which text may be meant for the command.
func isPiped(stream io.Reader) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return true
	}
	info, err := file.Stat()
	return err == nil && (info.Mode().IsRegular() || info.Mode()&os.ModeNamedPipe != 0)
}

// isTerminal reports whether a reader or writer is a terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
