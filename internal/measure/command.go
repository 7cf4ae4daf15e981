package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// Command is what the command lines of `ebb bench` and of `make bench` have in common: flags, help,
// and where the report goes.
type Command struct {
	Options   *Options
	Workloads []Workload // all that the flags can name
	json      string     // a file
}

// Register adds the flags of the options.
func (c *Command) Register(flags *pflag.FlagSet) {
	o, types := c.Options, strings.Join(kv.TypeNames(), ", ")
	flags.StringSliceVar(&o.Workloads, "workloads", nil, "what to measure (default all)")
	flags.StringVar(&o.Device, "device", "", "the `DEVICE` to compute on: cpu, vulkan0, … (default cpu)")
	flags.IntVar(&o.GPULayers, "gpu-layers", 0, "how many of the last layers the GPU computes; the CPU computes the others")
	flags.IntSliceVar(&o.Threads, "threads", nil, "CPU threads to compute with (default one a core)")
	flags.Var(&policies{&o.Policies}, "policies",
		"where K/V live, for decode and prefill: some of "+strings.Join(kv.PolicyNames(), ", ")+" (default dynamic,static,offloaded)")
	flags.StringSliceVar(&o.KVTypes, "kv-types", []string{"f16"}, "types of K/V: some of "+types)
	flags.IntVar(&o.Context, "context", 0, "most tokens of a sequence; it may be more than the model was trained for (default the model's)")
	flags.IntVar(&o.Fill, "fill", 512, "tokens computed to reach a depth, before their K/V are repeated (llama.cpp cannot repeat those of models with windows)")

	flags.IntSliceVar(&o.Depths, "depths", nil, "tokens in the cache, for decode (default 0,512,2048,4096,8000 as far as the context goes)")
	flags.IntSliceVar(&o.Prompts, "prompts", nil, "tokens of a prompt, for prefill (default 128,512,2048 as far as the context goes)")
	flags.IntSliceVar(&o.PromptDepths, "prompt-depths", nil, "tokens in the cache, for prefill (default 0,4096 as far as the context goes)")
	flags.IntVar(&o.LinkDepth, "link-depth", 0, "tokens in the cache, for streaming over a link (default 1024, or half the context)")
	flags.IntVar(&o.Slots, "slots", kv.DefaultSlots, "layers that visit the device at a time, for streaming")
	flags.Float64SliceVar(&o.Ratios, "ratios", []float64{0.5, 1, 2, 4}, "transfer time divided by compute time, for link")

	flags.StringVar(&o.Disk, "disk", "", "a `FOLDER` on the disk to measure; without it, workloads that need a disk are left out")
	flags.IntVar(&o.DiskDepth, "disk-depth", 0, "tokens in the cache, for workloads that need a disk (default 8000, or half the context)")

	flags.IntVar(&o.Pace.Rounds, "rounds", 10, "rounds in which each arm has a turn; half as many with prompts")
	flags.IntVar(&o.Pace.Steps, "steps", 16, "steps of one token timed in a turn")
	flags.StringVar(&c.json, "json", "", "write the report with all samples to `FILE`")
}

// Help lists the workloads, one a paragraph.
func (c *Command) Help() string {
	var text strings.Builder
	for _, w := range c.Workloads {
		line := fmt.Sprintf("  %-10s", w.Name)
		for word := range strings.FieldsSeq(w.About) {
			if len(line)+1+len(word) > 88 {
				fmt.Fprintln(&text, line)
				line = strings.Repeat(" ", 12)
			}
			line += " " + word
		}
		fmt.Fprintln(&text, line)
	}
	return text.String()
}

// Run measures, and writes the report as a table to out and as JSON where the flag says. Progress
// goes to log. It returns the report, of what was measured before an error too; the report is nil
// if nothing was measured.
func (c *Command) Run(ctx context.Context, out, log io.Writer) (report *Report, err error) {
	library, err := ggml.Load()
	if err != nil {
		return nil, err
	}
	o := *c.Options
	o.Library = library.Version()
	o.Progress = func(line string) { fmt.Fprintln(log, line) }
	results, err := openResult(c.json)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, results.Close()) }()
	report, err = Run(ctx, o, c.Workloads)
	if errors.Is(err, ErrContext) {
		err = fmt.Errorf("%w\n--context makes it larger, also beyond what the model was trained for", err)
	}
	if report != nil {
		err = errors.Join(results.write(report), report.WriteTable(out), err)
	}
	return report, err
}

// policies is a flag of policies' names.
type policies struct{ list *[]kv.Policy }

var _ pflag.Value = (*policies)(nil)

func (p *policies) Type() string { return "POLICIES" }

func (p *policies) String() string {
	var names []string
	for _, policy := range *p.list {
		names = append(names, policy.String())
	}
	return strings.Join(names, ",")
}

// Set replaces the policies.
func (p *policies) Set(text string) error {
	*p.list = nil
	for name := range strings.SplitSeq(text, ",") {
		policy, err := kv.ParsePolicy(name)
		if err != nil {
			return err
		}
		*p.list = append(*p.list, policy)
	}
	return nil
}
