package bench

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// Options say what is measured. Model has no default; the zero value of the
// others means all workloads as described. What is measured once for each of
// several values is measured with every K/V type and number of threads.
type Options struct {
	Model     string   // a GGUF file
	Workloads []string // of [Workloads]; nil: all

	Device    string      // that computes; "": cpu
	GPULayers int         // how many of the last layers a GPU computes, and the CPU the others; 0: Device computes all
	Threads   []int       // nil: one a core
	Policies  []kv.Policy // of decode and prefill; nil: dynamic, static and offloaded
	KVTypes   []string    // nil: f16
	Context   int         // tokens that there may be; 0: what the model was made for
	Fill      int         // tokens that are computed to reach a depth, whose rows are then repeated; 0: 512

	Depths       []int // tokens in the cache, of decode; nil: 0, 512, 2048, 4096 and 8000, as far as the context goes
	Prompts      []int // tokens, of prefill; nil: 128, 512 and 2048, as far as the context goes
	PromptDepths []int // tokens in the cache, of prefill; nil: 0 and 4096, as far as the context goes

	LinkDepth int       // tokens in the cache, of link and host; 0: 1024, or half the context
	BeamDepth int       // tokens in the cache, of beams; 0: 4096, or half the context
	Slots     int       // of link, host, beams and lookup: layers that visit the device at a time; 0: 2
	Ratios    []float64 // of link: transfer time to compute time; nil: 0.5, 1, 2 and 4

	Disk string // of roofline: a folder on the disk to measure; "": none

	Pace     Pace   // 0: 10 rounds of 16 steps after 1 round and 3 steps
	Peer     string // llama.cpp, to compare with it; "": nothing
	Library  string // the version of ggml, for the report
	Version  string // of this program, for the report
	Progress func(line string)

	attentionBytes int64 // of K/V in a step of attention, at least; 0: more than caches hold
}

// PeerLlama is the only peer there is.
const PeerLlama = "llama.cpp"

// withDefaults fills in what is open. Depths and sizes are those that fit.
func (o Options) withDefaults(m Model) Options {
	if o.Workloads == nil {
		o.Workloads = Workloads()
	}
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
		value *int
		open  int
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
			*n.value = n.open
		}
	}
	if o.Depths == nil {
		o.Depths = upTo(o.Context-o.Pace.tokens(), 0, 512, 2048, 4096, 8000)
	}
	if o.Prompts == nil {
		o.Prompts = upTo(o.Context, 128, 512, 2048)
	}
	if o.PromptDepths == nil {
		o.PromptDepths = upTo(o.Context-slices.Max(append(o.Prompts, 0)), 0, 4096)
	}
	if o.LinkDepth == 0 {
		o.LinkDepth = min(1024, o.Context/2)
	}
	if o.BeamDepth == 0 {
		o.BeamDepth = min(4096, o.Context/2)
	}
	if o.Ratios == nil {
		o.Ratios = []float64{0.5, 1, 2, 4}
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o
}

// upTo returns the values that are at most that large.
func upTo(most int, values ...int) []int {
	return slices.DeleteFunc(values, func(n int) bool { return n > most })
}

// Validate reports every fault that can be seen without the model.
func (o Options) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("bench: "+format, args...)) }
	if o.Model == "" {
		fault("no model: want a GGUF file")
	}
	for _, w := range o.Workloads {
		if !slices.Contains(Workloads(), w) {
			fault("unknown workload %q: want some of %s", w, strings.Join(Workloads(), ", "))
		}
	}
	if o.Peer != "" && o.Peer != PeerLlama {
		fault("unknown peer %q: want %s", o.Peer, PeerLlama)
	}
	for _, t := range o.KVTypes {
		if _, err := kv.ParseType(t); err != nil {
			errs = append(errs, fmt.Errorf("bench: %w", err))
		}
	}
	for _, r := range o.Ratios {
		if !(r > 0) {
			fault("ratio %v: want transfer time to compute time, above 0", r)
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
		{"beam depth", o.BeamDepth},
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

// ErrContext reports a depth that the context does not hold. A context beyond
// the model's own can be measured too: Options.Context.
var ErrContext = errors.New("bench: beyond the context")

// fit reports every place of the workloads that are chosen that the context
// does not hold.
func (o Options) fit(m Model) error {
	var errs []error
	within := func(workload string, depth, tokens int) {
		if depth+tokens > o.Context && slices.Contains(o.Workloads, workload) {
			errs = append(errs, fmt.Errorf("%w: %s at depth %d with %d tokens, and the context is %d (the model was made for %d)",
				ErrContext, workload, depth, tokens, o.Context, m.Context))
		}
	}
	for _, d := range o.Depths {
		within("decode", d, o.Pace.tokens())
	}
	for _, d := range o.PromptDepths {
		within("prefill", d, slices.Max(append(o.Prompts, 0)))
	}
	for _, w := range []string{"link", "host"} {
		within(w, o.LinkDepth, o.Pace.tokens())
	}
	within("beams", o.BeamDepth, beamTokens(o.Pace))
	return errors.Join(errs...)
}

// setting is what all arms that are compared have in common.
type setting struct {
	threads int
	kvType  string
}

func (s setting) String() string {
	if s.threads == 1 {
		return s.kvType + " K/V, 1 thread"
	}
	return fmt.Sprintf("%s K/V, %d threads", s.kvType, s.threads)
}

// settings returns every combination that is asked for.
func (o Options) settings() (all []setting) {
	for _, threads := range o.Threads {
		for _, kvType := range o.KVTypes {
			all = append(all, setting{threads, kvType})
		}
	}
	return all
}

// checkDevice reports a device that is not there.
func (o Options) checkDevice() error {
	if o.onCPU() {
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

// otherDevice returns the device beside the CPU that computes.
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

// onCPU reports whether the CPU computes all layers.
func (o Options) onCPU() bool {
	return o.GPULayers == 0 && (o.Device == "" || strings.EqualFold(o.Device, "cpu"))
}
