package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/kv"
)

// benchFlags are the flags of ebb bench.
type benchFlags struct {
	options measure.Options
	command measure.Command
}

func newBenchCommand() *cobra.Command {
	var f benchFlags
	f.command = measure.Command{Options: &f.options, Workloads: measure.Workloads()}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure speed, against memory and against a link's bandwidth",
		Long: `Bench measures, with fixed tokens:

` + f.command.Help() + `
What is compared takes turns, and rounds that other processes disturbed are repeated;
still, give it a machine with nothing else to do. A depth is reached by computing the
first --fill tokens and repeating their K/V.

Comparisons with llama.cpp, more workloads and plots are in "make bench", in the
sources of ebb.`,
		Example: `  ebb bench -m model.gguf --threads 2
  ebb bench -m model.gguf --workloads decode --depths 0,512,32000 --context 32768
  ebb bench -m model.gguf --policies static --kv-types f16,q8_0 --json result.json`,
		Args: noArguments,
		RunE: f.run,
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.options.Model, "model", "m", "", modelHelp)
	f.command.Register(flags)
	complete(cmd, "workloads", measure.Names(f.command.Workloads)...)
	complete(cmd, "policies", kv.PolicyNames()...)
	complete(cmd, "kv-types", kv.TypeNames()...)
	for _, name := range movedBenchFlags {
		flags.String(name, "", "")
		if err := flags.MarkHidden(name); err != nil {
			panic(err) // there is no such flag
		}
	}
	return cmd
}

// movedBenchFlags are flags that ebb bench had and that only `make bench` has.
var movedBenchFlags = []string{"peer", "plots", "beam-depth"}

func (f *benchFlags) run(cmd *cobra.Command, _ []string) error {
	for _, name := range movedBenchFlags {
		if cmd.Flags().Changed(name) {
			return misusef("--%s is a flag of \"make bench\", in the sources of ebb", name)
		}
	}
	if err := f.options.Validate(f.command.Workloads); err != nil {
		if errors.Is(err, measure.ErrWorkload) {
			err = errors.Join(err, errors.New(`the other workloads are in "make bench", in the sources of ebb`))
		}
		return misuseError{err}
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	path, err := modelFile(ctx, f.options.Model, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	f.options.Model, f.options.Version = path, buildVersion()
	_, err = f.command.Run(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr())
	return explain(err)
}
