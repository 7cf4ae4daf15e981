package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/internal/rehearsal"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/plan"
)

// planFlags are the flags of ebb plan.
type planFlags struct {
	model        string
	kvType       string
	context      int
	cpuExperts   int
	sequences    int
	beams        int
	mtp          int
	windowRows   int // as in ebb.Options
	deviceMemory int64
	hostMemory   int64
	hostStated   bool // hostMemory was
	threads      int
	disk         diskPlace
	machine      string
	output       string
}

func newPlanCommand() *cobra.Command {
	f := planFlags{kvType: "f16"}
	cmd := &cobra.Command{
		Use:   "plan -m MODEL",
		Short: "Say what would lie where, and how fast decoding would be",
		Long: `Plan reads a model's header, and prints what its weights, its steps and its K/V would take,
which layers stay on the device, how much of the others lies in host memory and on disk, and
how many tokens a second decoding yields, expected and at most. No model is loaded; of one on
the hub only the header is read.

The figures of this machine are measured in about two seconds; --machine plans for another
one, by name or from a JSON file. docs/planning.md says what is counted and what is assumed.`,
		Example: `  ebb plan -m model.gguf --context 131072 --device-memory 8GiB
  ebb plan -m model.gguf --machine h100 --sequences 8
  ebb plan -m hf://OWNER/REPO:Q4_K_M --disk /var/tmp:64GiB --output json`,
		Args: noArguments,
		RunE: f.run,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&f.model, "model", "m", "", modelHelp)
	flags.IntVar(&f.context, "context", 0, "how many `TOKENS` a sequence may hold (default the model's)")
	flags.IntVar(&f.sequences, "sequences", 1, "how many sequences, `N`, are decoded together")
	flags.IntVar(&f.beams, "num-beams", 1, "how many beams, `N`, search for each sequence's text")
	flags.IntVar(&f.mtp, "mtp", 0, "for `N` tokens at a time that the model's own block drafts (default none)")
	flags.Var(&parsed[string]{&f.kvType, "f16", "TYPE", parseKVType}, "kv-type", "the type of K/V: "+strings.Join(kv.TypeNames(), ", "))
	flags.Var(&parsed[int64]{&f.deviceMemory, "", "SIZE", parseSize}, "device-memory", "what weights, K/V and computing may take together on the device, as in 8GiB (default all that is free)")
	flags.Var(&parsed[int64]{&f.hostMemory, "", "SIZE", parseBudget}, "host-memory", "what K/V off the device may take in host memory, or 0 (default all that is free, and with --disk half of it; none if the CPU computes)")
	flags.Var(&parsed[diskPlace]{&f.disk, "", "DIR[:SIZE]", parseDisk}, "disk", "a folder for K/V that host memory has no room for, as in /var/tmp:64GiB (default no disk)")
	registerCPUExperts(flags, &f.cpuExperts, "plan for the CPU to compute the experts of the last `N` layers, or of all, in host memory (default none)")
	flags.Var(&parsed[int]{&f.windowRows, "all", "all|N", parseWindowRows}, "window-rows", "how many rows behind sliding windows stay in host memory or on the disk: all, or at least `N`")
	flags.IntVar(&f.threads, "threads", 0, "compute with `N` CPU threads on this machine (default one a core)")
	flags.StringVar(&f.machine, "machine", "", "plan for the machine that this JSON `FILE` describes, or for one of "+strings.Join(machineNames(), ", ")+" (default this machine)")
	flags.StringVar(&f.output, "output", "text", "what to print: text or json")
	complete(cmd, "output", "text", "json")
	complete(cmd, "kv-type", kv.TypeNames()...)
	complete(cmd, "window-rows", "all")
	if err := errors.Join(cmd.MarkFlagFilename("model", "gguf"), cmd.MarkFlagFilename("machine", "json")); err != nil {
		panic(err) // there is no such flag
	}
	return cmd
}

// check reports flags with impossible values.
func (f *planFlags) check(cmd *cobra.Command) error {
	switch {
	case f.model == "":
		return misusef("say which model to plan for: -m FILE")
	case cmd.Flags().Changed("context") && (f.context < 1 || f.context > maxTokens):
		return misusef("--context %d: want 1 to %d", f.context, int64(maxTokens))
	case f.sequences < 1 || f.sequences > maxSequences:
		return misusef("--sequences %d: want 1 to %d", f.sequences, maxSequences)
	case f.beams < 1 || f.beams > maxSequences:
		return misusef("--num-beams %d: want 1 to %d", f.beams, maxSequences)
	case f.mtp < 0 || f.mtp > maxSequences:
		return misusef("--mtp %d: want 0 to %d", f.mtp, maxSequences)
	case f.mtp > 0 && (f.beams > 1 || f.sequences > 1):
		return misusef("--mtp %d with --num-beams %d and --sequences %d: tokens are drafted for one text; want 1 of each", f.mtp, f.beams, f.sequences)
	case cmd.Flags().Changed("threads") && f.threads < 1:
		return misusef("--threads %d: want at least 1", f.threads)
	case f.output != "text" && f.output != "json":
		return misusef("--output %s: want text or json", f.output)
	}
	return nil
}

const maxSequences = 1 << 16

// planned is a plan with what it was made from.
type planned struct {
	flags    *planFlags
	model    summary
	machine  plan.Machine
	device   string // its name; "": not known
	request  plan.Request
	forecast plan.Forecast
}

func (f *planFlags) run(cmd *cobra.Command, _ []string) (err error) {
	if err := f.check(cmd); err != nil {
		return err
	}
	f.hostStated = cmd.Flags().Changed("host-memory")
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	file, err := openHeader(ctx, f.model, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	p, err := f.plan(ctx, file)
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case err != nil:
		return err
	}
	if f.output == "json" {
		return p.printJSON(cmd.OutOrStdout())
	}
	return p.print(cmd.OutOrStdout())
}

// plan makes a plan for a model.
func (f *planFlags) plan(ctx context.Context, file *gguf.File) (p planned, err error) {
	p.flags = f
	if p.request, p.model, err = planRequest(file, f.kvType); err != nil {
		return p, err
	}
	r := &p.request
	if err := f.draft(file, r); err != nil {
		return p, err
	}
	r.Context, r.Sequences, r.Beams, r.WindowRows = f.context, f.sequences, f.beams, f.windowRows
	if r.Context == 0 {
		r.Context = p.model.Context
	}
	if f.machine != "" {
		if p.machine, err = namedMachine(f.machine); err != nil {
			return p, err
		}
		if err = f.leaveExperts(file, &p, &p.machine); err != nil {
			return p, err
		}
		f.budgets(r, p.machine, anyDisk)
		p.forecast, err = r.On(p.machine)
		return p, f.explain(err, p)
	}
	err = f.planHere(ctx, file, &p)
	return p, err
}

// planHere makes a plan for this machine. What layers cost is measured, and if some stream what their
// copies cost.
func (f *planFlags) planHere(ctx context.Context, file *gguf.File, p *planned) (err error) {
	here, err := thisMachine(ctx, os.DirFS("/"), f.disk.dir)
	p.machine, p.device = here.Machine, here.device
	if err != nil {
		return err
	}
	r := &p.request
	if f.cpuExperts > 0 && !here.Unified {
		here.HostRate = readRate()
	}
	if err := f.leaveExperts(file, p, &here.Machine); err != nil {
		return err
	}
	again := func() (err error) {
		p.machine = here.Machine
		f.budgets(r, p.machine, here.diskFree)
		p.forecast, err = r.On(p.machine)
		return f.explain(err, *p)
	}
	h, err := rehearsal.Open(ctx, file, *r, rehearsal.Options{
		Device: here.device, Threads: f.threads, KVType: f.kvType, Depth: r.Context, Sequences: f.sequences, Beams: f.beams, Memory: here.HostMemory / 2,
	})
	if err != nil {
		here.source("computing and copies: assumed, because the model could not be tried here: %s", plain(err))
		return cmp.Or(ctx.Err(), again())
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	r.Footprint = h.Footprint
	if err := again(); err != nil { // before anything takes time
		return err
	}
	if err := here.rehearse(ctx, h); err != nil {
		return err
	}
	if p.forecast.Placement.Streamed > 0 {
		if err := here.rehearseCopies(ctx, h, r.HostMemory > 0, f.disk.dir); err != nil {
			return err
		}
	}
	return again()
}

// anyDisk is the budget of a folder that has no bound, on a machine whose disk is not known.
const anyDisk = int64(1) << 60

// budgets sets what K/V and the rest may take where, as ebb run does. On a unified machine the device
// has all memory but what --host-memory says: rows in host memory would only be copied there once
// more.
func (f *planFlags) budgets(r *plan.Request, m plan.Machine, diskFree int64) {
	r.DeviceMemory, r.HostMemory = m.DeviceMemory, m.HostMemory
	if f.disk.dir != "" {
		if r.DiskMemory = diskFree; f.disk.bytes > 0 {
			r.DiskMemory = min(diskFree, f.disk.bytes)
		}
		r.HostMemory = m.HostMemory / 2
	}
	if m.Unified {
		r.DeviceMemory, r.HostMemory = m.DeviceMemory-f.hostMemory, 0
	}
	r.HostMemory = max(0, r.HostMemory-r.CPUExperts.Weights)
	const mib = 1 << 20 // in which the command that does what is planned states sizes
	r.DeviceMemory, r.HostMemory = max(1, r.DeviceMemory/mib*mib), r.HostMemory/mib*mib
	if f.deviceMemory > 0 {
		r.DeviceMemory = f.deviceMemory
	}
	if f.hostStated {
		r.HostMemory = f.hostMemory
	}
}

// explain says what does not fit, and the least that would.
func (f *planFlags) explain(err error, p planned) error {
	most := func(cells int) string {
		if cells == 0 {
			return ""
		}
		return fmt.Sprintf(", or --context %d", cells)
	}
	if short, ok := errors.AsType[*plan.BudgetError](err); ok {
		least, disk, kept, windows := short.Footprint.Total()+short.KV, "", "K/V", ""
		if p.machine.Unified && f.disk.dir == "" {
			disk = ", or a place for K/V: --disk DIR"
		}
		if short.Footprint.Weights > short.Bytes && !p.machine.Unified {
			disk = ", or fewer layers there: ebb run --gpu-layers N"
		}
		if short.States > 0 {
			kept, windows = "K/V and states", fmt.Sprintf(", %s of that for states", bytesize.Format(short.States))
		}
		if k := p.request.Kinds(); k.Windowed > 0 {
			windows += fmt.Sprintf(", %s of that for windows, which stay there", bytesize.Format(k.RingBytes*int64(max(1, p.request.Sequences))))
		}
		return fmt.Errorf("%s of device memory is too little for a context of %d tokens: weights take %s, a step %s, and %s at least %s%s; the least that works is --device-memory %s%s%s",
			bytesize.Format(short.Bytes), short.Cells, bytesize.Format(short.Footprint.Weights), bytesize.Format(short.Footprint.Total()-short.Footprint.Weights),
			kept, bytesize.Format(short.KV), windows, sizeFlag(least), most(short.MostCells), disk)
	}
	if short, ok := errors.AsType[*plan.TierError](err); ok && short.States {
		return fmt.Errorf("states off the device take %s, and host memory has room for %s; the least that works is --host-memory %s, or more device memory", bytesize.Format(short.Need), bytesize.Format(short.Host), sizeFlag(short.Need))
	} else if ok {
		text := fmt.Sprintf("K/V off the device take %s for a context of %d tokens, and host memory has room for %s", bytesize.Format(short.Need), p.request.Context, bytesize.Format(short.Host))
		if short.Past > 0 {
			text = fmt.Sprintf("K/V off the device take %s for a context of %d tokens, %s of that behind the windows of layers, and host memory has room for %s",
				bytesize.Format(short.Need), p.request.Context, bytesize.Format(short.Past), bytesize.Format(short.Host))
		}
		var ways []string
		switch {
		case f.disk.dir != "":
			text += ", the disk for " + bytesize.Format(short.Disk)
			ways = append(ways, fmt.Sprintf("--disk %s:%s", f.disk.dir, sizeFlag(short.Need-short.Host+plan.Block*p.rowBytes())))
		case p.machine.Unified || short.Need > p.machine.HostMemory-p.request.CPUExperts.Weights:
			ways = append(ways, "--disk DIR")
		default:
			ways = append(ways, "--host-memory "+sizeFlag(short.Need), "--disk DIR")
		}
		if short.WindowRows >= 0 {
			ways = append(ways, fmt.Sprintf("--window-rows %d", short.WindowRows))
		}
		return fmt.Errorf("%s; the least that works is %s%s", text, strings.Join(ways, ", "), most(short.MostCells))
	}
	return err
}

// rowBytes returns the bytes of a token in all layers and sequences.
func (p planned) rowBytes() int64 {
	row := int64(0)
	for _, l := range p.request.Layers {
		row += l.RowBytes
	}
	return row * int64(p.request.Sequences)
}

// sizeFlag writes a number of bytes as a flag takes it, rounded up to MiB.
func sizeFlag(bytes int64) string {
	const mib, gib = 1 << 20, 1 << 30
	if bytes == 0 {
		return "0"
	}
	if bytes%gib == 0 {
		return fmt.Sprintf("%dGiB", bytes/gib)
	}
	return fmt.Sprintf("%dMiB", bytes/mib+min(1, bytes%mib))
}
