package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb/bench"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

func newBenchCommand() *cobra.Command {
	var o bench.Options
	var file string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure decode speed against llama.cpp and against a link's bandwidth",
		Long: `Bench times decode steps, with fixed tokens and f16 K/V on the CPU:

  decode  all of the cache on the device, against llama.cpp from the same libraries
          with the faster of its two attention settings
  link    no layer on the device, its rows coming over a paced link whose transfers
          take a multiple of the time to compute, against the longer of the two

What is compared takes turns, and rounds that other processes disturbed are repeated;
still, give it a machine with nothing else to do.`,
		Example: `  ebb bench -m model.gguf --threads 2
  ebb bench -m model.gguf --workloads decode --depths 0,512,2048 --json result.json`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return misuseError{err}
			}
			library, err := ggml.Load()
			if err != nil {
				return err
			}
			o.Library, o.Version = library.Version(), buildVersion()
			o.Progress = func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) }
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			path, err := modelFile(ctx, o.Model, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if o.Model, err = firstPart(path); err != nil { // which is what llama.cpp wants
				return err
			}
			report, err := bench.Run(ctx, o)
			if err != nil {
				return err
			}
			if err := report.WriteTable(cmd.OutOrStdout()); err != nil {
				return err
			}
			if file == "" {
				return nil
			}
			return writeReport(file, report)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.Model, "model", "m", "", modelHelp)
	flags.StringSliceVar(&o.Workloads, "workloads", bench.Workloads(), "what to measure: "+strings.Join(bench.Workloads(), ", "))
	flags.IntVar(&o.Threads, "threads", 0, "CPU threads to compute with (default one a core)")
	flags.IntSliceVar(&o.Depths, "depths", []int{0, 512}, "tokens in the cache, of decode")
	flags.IntVar(&o.LinkDepth, "link-depth", 1024, "tokens in the cache, of link")
	flags.IntVar(&o.Slots, "slots", kv.DefaultSlots, "layers that visit the device at a time, of link")
	flags.Float64SliceVar(&o.Ratios, "ratios", []float64{0.5, 1, 4}, "transfer time to compute time, of link")
	flags.IntVar(&o.Pace.Rounds, "rounds", 20, "turns that everything measured has")
	flags.IntVar(&o.Pace.Steps, "steps", 16, "decode steps timed in a turn")
	flags.BoolVar(&o.NoPeer, "no-peer", false, "measure without llama.cpp")
	flags.StringVar(&file, "json", "", "write the result with all samples to `FILE`")
	complete(cmd, "workloads", bench.Workloads()...)
	return cmd
}

// writeReport writes a report's JSON to a file.
func writeReport(name string, r *bench.Report) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return r.WriteJSON(f)
}
