package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/kv"
)

// Options say what is measured. Model has no default; the zero value of the
// others means all workloads as described.
type Options struct {
	Model     string    // a GGUF file
	Workloads []string  // of [Workloads]; nil: all
	Threads   int       // 0: one a core
	Depths    []int     // of decode; nil: 0 and 512
	LinkDepth int       // of link; 0: 1024
	Slots     int       // of link: layers that visit the device at a time; 0: 2
	Ratios    []float64 // of link: transfer time to compute time; nil: 0.5, 1 and 4
	Pace      Pace      // 0: 20 rounds of 16 steps after 1 round and 3 steps
	NoPeer    bool      // decode without llama.cpp
	Library   string    // the version of ggml, for the report
	Version   string    // of this program, for the report
	Progress  func(line string)
}

// Workloads returns the names of the workloads.
//
//   - decode: decode steps with all of the cache on the device, against
//     llama.cpp with the faster of its attention settings.
//   - link: decode steps with no layer on the device, whose rows come over a
//     link as fast as compute, faster and slower, against the longer of
//     compute and transfer.
func Workloads() []string { return []string{"decode", "link"} }

func (o Options) withDefaults() Options {
	if o.Workloads == nil {
		o.Workloads = Workloads()
	}
	if o.Threads == 0 {
		o.Threads = runtime.NumCPU()
	}
	if o.Depths == nil {
		o.Depths = []int{0, 512}
	}
	if o.LinkDepth == 0 {
		o.LinkDepth = 1024
	}
	if o.Slots == 0 {
		o.Slots = kv.DefaultSlots
	}
	if o.Ratios == nil {
		o.Ratios = []float64{0.5, 1, 4}
	}
	if o.Pace.Rounds == 0 {
		o.Pace.Rounds = 20
	}
	if o.Pace.WarmUp == 0 {
		o.Pace.WarmUp = 1
	}
	if o.Pace.Steps == 0 {
		o.Pace.Steps = 16
	}
	if o.Pace.WarmUpSteps == 0 {
		o.Pace.WarmUpSteps = 3
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o
}

// Validate reports every fault of the options.
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
	for _, d := range o.Depths {
		if d < 0 {
			fault("depth %d: want tokens, at least 0", d)
		}
	}
	for _, r := range o.Ratios {
		if !(r > 0) {
			fault("ratio %v: want transfer time to compute time, above 0", r)
		}
	}
	for _, n := range []struct {
		name  string
		value int
	}{
		{"threads", o.Threads},
		{"link depth", o.LinkDepth},
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

// Run measures. It needs the machine for itself: what else runs makes the
// figures worse.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	r := &Report{
		Machine: readMachine(o), Model: filepath.Base(o.Model),
		Threads: o.Threads, KVType: kvType, Pace: o.Pace,
	}
	for _, w := range o.Workloads {
		run := decode
		if w == "link" {
			run = link
		}
		if err := run(ctx, o, r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// kvType is the type of K/V that all arms use, and valueBytes its size.
const (
	kvType     = "f16"
	valueBytes = 2
)
