package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/memory"
	"github.com/seed4d217819/ebb/kv"
)

// runFlags are the flags of ebb run.
type runFlags struct {
	engine     engineFlags
	generation generationFlags
	prompt     promptFlags
	batch      string
	output     string
	logits     int
	explain    bool
	session    string // a file
	quiet      bool
	trace      string // a file
	verbose    bool
	helpDebug  bool
}

func newRunCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [PROMPT…]",
		Short: "Answer one prompt",
		Long: `Run answers a prompt, which is put into the model's chat template. The text goes to
stdout as it is generated, and a report of speed and memory to stderr after it.

If the GPU has no room for a long context, layers of the K/V cache leave it one after the
other, for host memory, and ebb says so:

  ebb run -m model.gguf --device vulkan0 --context 65536 -f long.txt
  … --device-memory 8GiB   bounds all that the GPU's memory is used for
  … --disk /var/tmp:64GiB  goes on in files when host memory ends
  … --kv-type q8_0         halves the cache
  … --gpu-layers 20        leaves the other layers to the CPU
  … --cpu-experts          leaves the experts to the CPU, of models that have some
  ebb doctor -m model.gguf says what fits

The default is greedy decoding. An answer ends after 256 tokens unless --max-new-tokens
or the generation config says otherwise. Ctrl-C ends it early; what there is stays
printed. docs/generation.md explains the settings of what is generated.`,
		Example: `  ebb run -m model.gguf "Why is the sky blue?"
  ebb run -m hf://owner/repo:Q4_K_M Why is the sky blue
  ebb run -m model.gguf --cache offloaded --kv-memory 512MiB -f question.txt
  cat report.txt | ebb run -m model.gguf "Sum this up."
  echo "Fun fact:" | ebb run -m model.gguf --raw --max-new-tokens 40
  ebb run -m model.gguf --raw --num-beams 4 --num-return-sequences 2 "Blue is"
  ebb run -m model.gguf --do-sample --temperature 0.7 --seed 1 "Name a colour."
  ebb run -m model.gguf --json-schema '{"enum": ["yes", "no"]}' "Is the sky blue?"
  ebb run -m model.gguf --batch prompts.jsonl --output json
  ebb run -m model.gguf --prompt-ids 5,9,12 --output json --logits 3
  ebb run -m model.gguf --cache offloaded --trace run.json "Why?"`,
		Args: cobra.ArbitraryArgs,
		RunE: f.run,
	}
	f.engine.register(cmd)
	group(cmd, groupOutput, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.output, "output", "text", "The `FORMAT` of what is printed: text, or json when all is done.")
		flags.IntVar(&f.logits, "logits", 0, "Print the logits after the last `N` tokens of the prompt, with --output json.")
		flags.BoolVar(&f.explain, "explain", false, "Print the likeliest tokens of each step and their probabilities: 5, or --top-logprobs of them.")
		flags.BoolVarP(&f.quiet, "quiet", "q", false, "Print no notes and no report.")
		flags.BoolVarP(&f.verbose, "verbose", "v", false, "Print what ebb computes with, and what memory is used for.")
		flags.StringVar(&f.trace, "trace", "", "Write to `FILE` what was computed and moved when, a timeline for Perfetto or chrome://tracing.")
	})
	f.generation.register(cmd)
	f.prompt.register(cmd)
	group(cmd, groupPrompt, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.batch, "batch", "", `Answer all prompts in `+"`FILE`"+` at once: one a line, or in a .jsonl file an object a line, {"prompt": "…"}, {"prompt_ids": […]} or {"messages": […]}, with an "id" and a "generation_config" where you want them.`)
	})
	registerSession(cmd, &f.session)
	listByGroup(cmd, &f.helpDebug, groupMemory, groupDevices, groupPrompt, groupLength, groupSampling, groupBeams, groupScores, groupConstraints, groupLookup, groupOutput)
	complete(cmd, "output", "text", "json")
	return cmd
}

func (f *runFlags) check(cmd *cobra.Command, args []string) error {
	if err := f.engine.check(cmd); err != nil {
		return err
	}
	switch {
	case f.output != "text" && f.output != "json":
		return misusef("--output %s: want text or json", f.output)
	case f.logits < 0:
		return misusef("--logits %d: want at least 0", f.logits)
	case f.logits > 0 && f.output != "json":
		return misusef("--logits needs --output json")
	case f.quiet && f.verbose:
		return misusef("--quiet and --verbose cannot be used together")
	case f.logits > 0 && f.batch != "":
		return misusef("--logits is for one prompt, not for --batch")
	case f.session != "" && f.batch != "":
		return misusef("--session is for one prompt, not for --batch")
	case f.batch != "":
		return f.prompt.checkBatch(cmd, args)
	}
	return f.prompt.check(cmd, args)
}

func (f *runFlags) run(cmd *cobra.Command, args []string) (err error) {
	if f.helpDebug {
		return printDebugFlags(cmd)
	}
	if err := f.check(cmd, args); err != nil {
		return err
	}
	notes := cmd.ErrOrStderr()
	if f.quiet {
		notes = io.Discard
	}
	job, err := f.read(cmd, args, notes)
	if err != nil {
		return err
	}
	timeline, err := openTrace(f.trace, cmd.CommandPath())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, timeline.Close()) }() // the engine's movers have ended by then
	f.engine.options.Trace = timeline.spans()
	departs := &departures{w: notes}
	f.engine.options.Notify = departs.print
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	path, err := modelFile(ctx, f.engine.model, notes)
	if err != nil {
		return err
	}
	saved, err := openSession(f.session, path, f.engine.options, sessionOfRun)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, saved.Close()) }()
	engine, err := f.engine.open(path, notes)
	if err != nil {
		return f.engine.memoryAdvice(err)
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	memory.GiveBack()
	printNotes(notes, append(job.notes, f.engine.notes(engine)...))
	if job.config.Grammar, err = job.grammar.compile(engine); err != nil {
		return err
	}
	if f.batch != "" {
		return f.answerBatch(ctx, engine, job.batch, job.config.Grammar, departs.follow(cmd.OutOrStdout()), notes)
	}
	job.dim = dims(cmd.OutOrStdout())
	return f.answer(ctx, engine, saved, job, departs.follow(cmd.OutOrStdout()), notes)
}

// job is the work of ebb run. It is read before a model is opened.
type job struct {
	config  ebb.GenerationConfig
	grammar grammarText
	prompt  prompt
	batch   []batchPrompt // instead of prompt
	notes   []string      // what the user should hear of
	dim     bool          // reasoning can be dimmed where the answer goes
}

// read reads flags, files and stdin.
func (f *runFlags) read(cmd *cobra.Command, args []string, notes io.Writer) (j job, err error) {
	if j.config, j.notes, err = f.generation.config(); err != nil {
		return j, err
	}
	if f.explain && j.config.TopLogProbs == 0 {
		j.config.TopLogProbs = 5
	}
	// Several texts are shown with what ranks them.
	j.config.OutputScores = f.output == "json" || f.explain || j.config.NumReturnSequences > 1
	if err := f.engine.configure(cmd, &j.config); err != nil {
		return j, err
	}
	if j.grammar, err = f.generation.readGrammar(); err != nil {
		return j, err
	}
	if f.prompt.options, err = f.prompt.render.read(); err != nil {
		return j, err
	}
	if f.batch != "" {
		if j.config.MTP > 0 {
			return j, misusef("--mtp %d is for one prompt, not for --batch", j.config.MTP)
		}
		j.batch, err = readBatch(f.batch, cmd.InOrStdin(), j.config)
		f.engine.options.Sequences = len(j.batch)
		return j, err
	}
	if j.config.DoSample && j.config.Seed == nil {
		j.config.Seed = new(rand.Uint64N(1 << 32)) // short enough to be typed
		j.notes = append(j.notes, fmt.Sprintf("--seed %d draws the same text again", *j.config.Seed))
	}
	j.prompt, err = f.prompt.read(cmd.InOrStdin(), args, notes)
	return j, err
}

// answer generates an answer to the prompt and prints it.
func (f *runFlags) answer(ctx context.Context, engine *ebb.Engine, saved *savedSession, j job, stdout, notes io.Writer) (err error) {
	q := question{config: j.config, logits: f.logits, dim: j.dim}
	r, err := f.prompt.tokens(engine, j.prompt)
	if err != nil {
		return err
	}
	q.tokens, q.format = r.tokens, r.format
	var seq *kv.Seq
	defer func() {
		if seq != nil {
			err = errors.Join(err, seq.Close())
		}
	}()
	if f.verbose {
		defer func() { err = errors.Join(err, printVerbose(notes, engine, f.engine.options)) }()
	}
	live := stdout
	if f.output == "json" || q.config.NumReturnSequences > 1 {
		live = io.Discard
	}
	var a *answer
	if a, seq, err = saved.goOn(ctx, engine, q, live, notes); a == nil {
		return f.engine.explainMemory(err)
	}
	unsaved := saved.save(seq, nil)
	if f.output == "json" {
		err = errors.Join(f.engine.explain(err), unsaved)
		return errors.Join(err, printJSON(stdout, a, engine.Stats(), engine.Tokenizer().Spell, err))
	}
	if err := printTexts(stdout, a, engine.Tokenizer().Spell, live == stdout, f.explain); err != nil {
		return errors.Join(err, unsaved)
	}
	printReport(notes, &a.measured, engine)
	return errors.Join(f.engine.explain(err), unsaved)
}

// explain says what ended an answer, in terms of the command.
func explain(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	case errors.Is(err, kv.ErrFull) && !errors.Is(err, kv.ErrNoMemory):
		return fmt.Errorf("%w; --context makes it larger", err)
	default:
		return err
	}
}

// printNotes prints what the user should know without having asked.
func printNotes(w io.Writer, notes []string) {
	for _, note := range notes {
		fmt.Fprintf(w, "ebb: note: %s\n", note)
	}
}
