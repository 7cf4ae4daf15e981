package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed4d217819/ebb/internal/memory"
)

// chatFlags are the flags of ebb chat.
type chatFlags struct {
	engine     engineFlags
	generation generationFlags
	render     renderFlags
	system     string
	keepFull   bool
	session    string // a file
	verbose    bool
	helpDebug  bool
}

const chatCommands = `/tool RESULT  Give the result of the tool that the model calls (see --tools).
/reset        Forget what was said and start over.
/stats        Show how fast the last answer was, and what the cache took and moved.
/help         Show this.
/exit         End the chat, as Ctrl-D does.
Ctrl-C stops an answer. A line that ends in \ goes on with the next one. A line that
begins with a space is no command.
`

func newChatCommand() *cobra.Command {
	var f chatFlags
	cmd := &cobra.Command{
		Use:   "chat",
		Short: "Talk with a model",
		Long: `Chat reads what you say from stdin, line by line, and answers on stdout. The cache is
kept from turn to turn, so only what is new is computed.

` + chatCommands + `
An answer ends after 256 tokens unless --max-new-tokens or the generation config says
otherwise. When the context is full, the model forgets the oldest turns, but never the
system message; with --keep-full it forgets nothing, and the chat ends there.`,
		Example: `  ebb chat -m model.gguf
  ebb chat -m model.gguf --system "Answer in one sentence." --cache offloaded --kv-memory 1GiB`,
		Args: noArguments,
		RunE: f.run,
	}
	f.engine.register(cmd)
	f.generation.register(cmd)
	group(cmd, groupPrompt, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.system, "system", "", "The system message.")
		flags.BoolVar(&f.keepFull, "keep-full", false, "Keep all turns when the context is full, instead of dropping the oldest.")
	})
	f.render.register(cmd)
	group(cmd, groupOutput, func(flags *pflag.FlagSet) {
		flags.BoolVarP(&f.verbose, "verbose", "v", false, "Show after each answer what /stats shows.")
	})
	registerSession(cmd, &f.session)
	listByGroup(cmd, &f.helpDebug, groupMemory, groupDevices, groupPrompt, groupLength, groupSampling, groupBeams, groupScores, groupConstraints, groupLookup, groupOutput)
	return cmd
}

func (f *chatFlags) run(cmd *cobra.Command, _ []string) (err error) {
	if f.helpDebug {
		return printDebugFlags(cmd)
	}
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
	options, err := f.render.read()
	if err != nil {
		return err
	}
	path, err := f.fetch(cmd)
	if err != nil {
		return err
	}
	saved, err := openSession(f.session, path, f.engine.options, sessionOfChat)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, saved.Close()) }()
	departs := &departures{w: cmd.ErrOrStderr()}
	f.engine.options.Notify = departs.print
	engine, err := f.engine.open(path, cmd.ErrOrStderr())
	if err != nil {
		return f.engine.memoryAdvice(err)
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	memory.GiveBack()
	printNotes(cmd.ErrOrStderr(), append(warnings, f.engine.notes(engine)...))
	if cfg.Grammar, err = grammar.compile(engine); err != nil {
		return err
	}
	c, err := newConversation(engine, f.system, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	c.options, c.dim = options, dims(cmd.OutOrStdout())
	if err := checkTools(c.template, c.options); err != nil {
		return err
	}
	c.keepFull, c.notes = f.keepFull, cmd.ErrOrStderr()
	if err := c.open(cmd.Context(), saved); err != nil {
		return err
	}
	r := repl{
		conversation: c, verbose: f.verbose,
		in: readLines(cmd.InOrStdin()), interrupts: make(chan os.Signal, 1),
		out: departs.follow(cmd.OutOrStdout()), notes: cmd.ErrOrStderr(),
		person: isTerminal(cmd.InOrStdin()), advise: f.engine.explain,
	}
	err = r.run(cmd.Context())
	return errors.Join(err, c.save())
}

// fetch returns the model's file. Ctrl-C ends a download.
func (f *chatFlags) fetch(cmd *cobra.Command) (string, error) {
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	return modelFile(ctx, f.engine.model, cmd.ErrOrStderr())
}
