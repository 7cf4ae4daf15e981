package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb/bench"
	"github.com/seed4d217819/ebb/bench/plot"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// benchFlags are the flags of ebb bench.
type benchFlags struct {
	options bench.Options
	json    string // a file
	plots   string // a folder
}

func newBenchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure speed against llama.cpp, against memory, and against a link's bandwidth",
		Long: `Bench measures, with fixed tokens:

` + describeWorkloads() + `
What is compared takes turns, and rounds that other processes disturbed are repeated;
still, give it a machine with nothing else to do. A depth is reached by computing the
first --fill tokens and repeating their K/V.`,
		Example: `  ebb bench -m model.gguf --threads 2 --peer llama.cpp
  ebb bench -m model.gguf --workloads decode --depths 0,512,32000 --context 32768
  ebb bench -m model.gguf --policies static --kv-types f16,q8_0 --json result.json`,
		Args: arguments(cobra.NoArgs),
		RunE: f.run,
	}
	f.register(cmd)
	return cmd
}

// describeWorkloads lists what is measured, a workload a paragraph.
func describeWorkloads() string {
	var text strings.Builder
	for _, name := range bench.Workloads() {
		line := fmt.Sprintf("  %-9s", name)
		for word := range strings.FieldsSeq(bench.Describe(name)) {
			if len(line)+1+len(word) > 88 {
				fmt.Fprintln(&text, line)
				line = strings.Repeat(" ", 11)
			}
			line += " " + word
		}
		fmt.Fprintln(&text, line)
	}
	return text.String()
}

func (f *benchFlags) register(cmd *cobra.Command) {
	o, flags := &f.options, cmd.Flags()
	flags.StringVarP(&o.Model, "model", "m", "", modelHelp)
	flags.StringSliceVar(&o.Workloads, "workloads", bench.Workloads(), "what to measure")
	flags.StringVar(&o.Device, "device", "", "the `DEVICE` to compute on: cpu, vulkan0, … (default cpu)")
	flags.IntVar(&o.GPULayers, "gpu-layers", 0, "how many of the last layers the GPU computes; the CPU computes the others")
	flags.IntSliceVar(&o.Threads, "threads", nil, "CPU threads to compute with (default one a core)")
	flags.Var(&parsed[[]kv.Policy]{&o.Policies, "dynamic,static,offloaded", "POLICIES", parsePolicies}, "policies",
		"where K/V live, of decode and prefill: some of "+strings.Join(kv.PolicyNames(), ", "))
	flags.StringSliceVar(&o.KVTypes, "kv-types", []string{"f16"}, "types of K/V: some of f32, f16, bf16, q8_0, q4_0")
	flags.IntVar(&o.Context, "context", 0, "tokens that there may be; more than the model was made for can be measured too (default the model's)")
	flags.IntVar(&o.Fill, "fill", 512, "tokens computed to reach a depth; the others repeat their K/V")

	flags.IntSliceVar(&o.Depths, "depths", nil, "tokens in the cache, of decode (default 0,512,2048,4096,8000 as far as the context goes)")
	flags.IntSliceVar(&o.Prompts, "prompts", nil, "tokens of a prompt, of prefill (default 128,512,2048 as far as the context goes)")
	flags.IntSliceVar(&o.PromptDepths, "prompt-depths", nil, "tokens in the cache, of prefill (default 0,4096 as far as the context goes)")
	flags.IntVar(&o.LinkDepth, "link-depth", 0, "tokens in the cache, of link and host (default 1024, or half the context)")
	flags.IntVar(&o.BeamDepth, "beam-depth", 0, "tokens in the cache, of beams (default 4096, or half the context)")
	flags.IntVar(&o.Slots, "slots", kv.DefaultSlots, "layers that visit the device at a time, of link, host, beams and lookup")
	flags.Float64SliceVar(&o.Ratios, "ratios", []float64{0.5, 1, 2, 4}, "transfer time to compute time, of link")

	flags.StringVar(&o.Disk, "disk", "", "a `FOLDER` on the disk to measure, of roofline (default none)")

	flags.IntVar(&o.Pace.Rounds, "rounds", 10, "turns that everything measured has; half as many with prompts")
	flags.IntVar(&o.Pace.Steps, "steps", 16, "steps of one token timed in a turn")
	flags.StringVar(&o.Peer, "peer", "", "what to compare with: "+bench.PeerLlama+", from the same libraries (default nothing)")
	flags.StringVar(&f.json, "json", "", "write the result with all samples to `FILE`")
	flags.StringVar(&f.plots, "plots", "", "draw curves and timelines as SVG files into `FOLDER`")

	complete(cmd, "workloads", bench.Workloads()...)
	complete(cmd, "policies", kv.PolicyNames()...)
	complete(cmd, "kv-types", "f32", "f16", "bf16", "q8_0", "q4_0")
	complete(cmd, "peer", bench.PeerLlama)
}

func parsePolicies(text string) (policies []kv.Policy, err error) {
	for name := range strings.SplitSeq(text, ",") {
		p, err := kv.ParsePolicy(name)
		if err != nil {
			return nil, err
		}
		policies = append(policies, p)
	}
	return policies, nil
}

func (f *benchFlags) run(cmd *cobra.Command, _ []string) (err error) {
	o := f.options
	if err := o.Validate(); err != nil {
		return misuseError{err}
	}
	library, err := ggml.Load()
	if err != nil {
		return err
	}
	o.Library, o.Version = library.Version(), buildVersion()
	o.Progress = func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) }
	if err := openFolder(f.plots); err != nil {
		return err
	}
	results, err := openResult(f.json)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, results.Close()) }()

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
	if errors.Is(err, bench.ErrContext) {
		err = fmt.Errorf("%w\n--context measures beyond what the model was made for", err)
	}
	if report == nil {
		return explain(err)
	}
	return errors.Join(results.write(report), f.show(cmd.OutOrStdout(), report), explain(err))
}

// show prints and draws what was measured.
func (f *benchFlags) show(w io.Writer, report *bench.Report) error {
	if err := report.WriteTable(w); err != nil {
		return err
	}
	for _, c := range report.Curves {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := plot.WriteText(w, c); err != nil {
			return err
		}
	}
	if f.plots == "" {
		return nil
	}
	files, err := plot.WriteFiles(f.plots, report)
	for _, name := range files {
		fmt.Fprintln(w, name)
	}
	return err
}
