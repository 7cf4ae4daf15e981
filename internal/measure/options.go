package measure

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
)

// Options say what is measured. Model has no default, but workloads with models of their own need
// none; the zero value of each other field has the meaning that its comment gives. Everything is
// measured with every combination of number of threads and K/V type.
type Options struct {
	Model     string   // a GGUF file
	Workloads []string // names of those to run; nil: all

	Device    string      // the device that computes; "": cpu
	GPULayers int         // number of last layers that a GPU computes, beside the CPU; 0: Device computes all
	Threads   []int       // numbers of threads; nil: one a core
	Policies  []kv.Policy // of decode and prefill; nil: dynamic, static and offloaded
	KVTypes   []string    // nil: f16
	Context   int         // most tokens of a sequence; 0: as many as the model was trained for
	Fill      int         // tokens that are computed to reach a depth, before their K/V are repeated; 0: 512

	Depths       []int // tokens in the cache, of decode; nil: 0, 512, 2048, 4096 and 8000, as far as the context goes
	Prompts      []int // tokens, of prefill; nil: 128, 512 and 2048, as far as the context goes
	PromptDepths []int // tokens in the cache, of prefill; nil: 0 and 4096, as far as the context goes

	LinkDepth int       // tokens in the cache when streaming is measured; 0: 1024, or half the context
	Slots     int       // slots when streaming is measured; 0: 2
	Ratios    []float64 // of link: transfer time divided by compute time; nil: 0.5, 1, 2 and 4

	Disk      string // a folder on the disk to measure; "": none
	DiskDepth int    // tokens in the cache when rows in files are measured; 0: 8000, or half the context

	Pace     Pace   // 0: 10 rounds of 16 steps after 1 round and 3 steps
	Library  string // the version of ggml, for the report
	Version  string // the version of this program, for the report
	Progress func(line string)

	// ISAs are the instruction sets of ebb's kernels that decode and prefill compare; nil: the one that
	// EBB_ISA names.
	ISAs []isa.ISA

	// Attentions are the ways to compute attention that are compared with each instruction set; nil: auto.
	Attentions []attend.Kind

	// Peers opens the programs that decode and prefill compare ebb with, for sequences of room
	// tokens. The notes say which ones could not be opened, and why. nil: there are none.
	Peers func(s Setting, room int) (peers []Peer, notes []string)
}

// withDefaults replaces zero values by defaults. The default depths and sizes are the ones that fit
// the context.
func (o Options) withDefaults(m Model) Options {
	if o.Threads == nil {
		o.Threads = []int{runtime.NumCPU()}
	}
	if o.Policies == nil {
		o.Policies = []kv.Policy{kv.Dynamic, kv.Static, kv.Offloaded}
	}
	if o.KVTypes == nil {
		o.KVTypes = []string{"f16"}
	}
	for _, n := range []struct {
		value    *int
		standard int
	}{
		{&o.Context, m.Context},
		{&o.Fill, 512},
		{&o.Slots, kv.DefaultSlots},
		{&o.Pace.Rounds, 10},
		{&o.Pace.WarmUp, 1},
		{&o.Pace.Steps, 16},
		{&o.Pace.WarmUpSteps, 3},
	} {
		if *n.value == 0 {
			*n.value = n.standard
		}
	}
	if o.Depths == nil {
		o.Depths = UpTo(o.Context-o.Pace.Tokens(), 0, 512, 2048, 4096, 8000)
	}
	if o.Prompts == nil {
		o.Prompts = UpTo(o.Context, 128, 512, 2048)
	}
	if o.PromptDepths == nil {
		o.PromptDepths = UpTo(o.Context-slices.Max(append(o.Prompts, 0)), 0, 4096)
	}
	if o.LinkDepth == 0 {
		o.LinkDepth = min(1024, o.Context/2)
	}
	if o.DiskDepth == 0 {
		o.DiskDepth = 8000
		if o.DiskDepth+o.Pace.Tokens() > o.Context {
			o.DiskDepth = o.Context / 2
		}
	}
	if o.Ratios == nil {
		o.Ratios = []float64{0.5, 1, 2, 4}
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o
}

// UpTo returns the values that are at most most.
func UpTo(most int, values ...int) []int {
	return slices.DeleteFunc(values, func(n int) bool { return n > most })
}

// Validate reports every fault that can be seen without the model. The workloads are those that
// there are.
func (o Options) Validate(workloads []Workload) error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("bench: "+format, args...)) }
	if chosen, _ := o.choose(workloads); o.Model == "" && (len(chosen) == 0 || o.needsModel(chosen)) {
		fault("no model is given: name a GGUF file with -m")
	}
	for _, name := range o.Workloads {
		i := slices.IndexFunc(workloads, func(w Workload) bool { return w.Name == name })
		switch {
		case i < 0:
			errs = append(errs, fmt.Errorf("%w %q: want some of %s", ErrWorkload, name, strings.Join(Names(workloads), ", ")))
		case workloads[i].Disk && o.Disk == "":
			fault("%s needs a disk: name a folder on it with --disk", name)
		}
	}
	for _, t := range o.KVTypes {
		if _, err := kv.ParseType(t); err != nil {
			errs = append(errs, fmt.Errorf("bench: %w", err))
		}
	}
	for _, r := range o.Ratios {
		if !(r > 0) {
			fault("ratio %v: want transfer time divided by compute time, above 0", r)
		}
	}
	for _, list := range []struct {
		name   string
		least  int
		values []int
	}{
		{"threads", 1, o.Threads},
		{"depth", 0, o.Depths},
		{"prompt", 1, o.Prompts},
		{"prompt depth", 0, o.PromptDepths},
	} {
		for _, n := range list.values {
			if n < list.least {
				fault("%s %d: want at least %d", list.name, n, list.least)
			}
		}
	}
	for _, n := range []struct {
		name  string
		value int
	}{
		{"GPU layers", o.GPULayers},
		{"context", o.Context},
		{"fill", o.Fill},
		{"link depth", o.LinkDepth},
		{"disk depth", o.DiskDepth},
		{"slots", o.Slots},
		{"rounds", o.Pace.Rounds},
		{"warm-up rounds", o.Pace.WarmUp},
		{"steps", o.Pace.Steps},
		{"warm-up steps", o.Pace.WarmUpSteps},
	} {
		if n.value < 0 {
			fault("%s %d: want at least 1, or 0 for the default", n.name, n.value)
		}
	}
	return errors.Join(errs...)
}

// ErrWorkload reports a workload that does not exist.
var ErrWorkload = errors.New("bench: unknown workload")

// ErrContext reports a depth that the context does not hold. Options.Context may be larger than the
// model was trained for: the text makes no sense there, but speed can be measured.
var ErrContext = errors.New("bench: beyond the context")

// fit reports every place where the workloads measure that the context does not hold.
func (o Options) fit(m Model, workloads []Workload) error {
	var errs []error
	for _, w := range workloads {
		if w.Needs == nil {
			continue
		}
		for _, n := range w.Needs(o) {
			if n.Depth+n.Tokens > o.Context {
				errs = append(errs, fmt.Errorf("%w: %s at depth %d with %d tokens, and the context is %d (the model was trained for %d)",
					ErrContext, w.Name, n.Depth, n.Tokens, o.Context, m.Context))
			}
		}
	}
	return errors.Join(errs...)
}

// Setting is what all arms that are compared have in common.
type Setting struct {
	Threads int
	KVType  string
}

func (s Setting) String() string {
	if s.Threads == 1 {
		return s.KVType + " K/V, 1 thread"
	}
	return fmt.Sprintf("%s K/V, %d threads", s.KVType, s.Threads)
}

// Settings returns every combination of number of threads and K/V type that the options name.
func (o Options) Settings() (all []Setting) {
	for _, threads := range o.Threads {
		for _, kvType := range o.KVTypes {
			all = append(all, Setting{Threads: threads, KVType: kvType})
		}
	}
	return all
}

// checkDevice reports a device that does not exist.
func (o Options) checkDevice() error {
	if o.OnCPU() {
		return nil
	}
	library, err := ggml.Load()
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if _, err := o.otherDevice(library); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// otherDevice returns the device that computes beside the CPU.
func (o Options) otherDevice(l *ggml.Library) (*ggml.Device, error) {
	if o.Device != "" {
		return l.Device(o.Device)
	}
	for _, d := range l.Devices() {
		if d.Type() != ggml.CPU {
			return d, nil
		}
	}
	return nil, errors.New("there is no device but the CPU")
}

// OnCPU reports whether the CPU computes all layers.
func (o Options) OnCPU() bool {
	return o.GPULayers == 0 && (o.Device == "" || strings.EqualFold(o.Device, "cpu"))
}
