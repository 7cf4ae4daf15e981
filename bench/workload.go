package bench

import (
	"context"
	"slices"
)

// workload is one kind of measurement.
type workload struct {
	name  string
	about string // for help
	run   func(ctx context.Context, o Options, m Model) (Result, error)
}

// workloads lists all of them, in the order in which they run.
func workloads() []workload {
	return []workload{
		{"roofline", "how fast memory is read and copied, a device is reached and a disk is read: what no program passes", roofline},
		{"decode", "steps of one token at each depth, under each policy, against llama.cpp and the memory that a step reads", decode},
		{"prefill", "prompts of each size at each depth, under each policy, against llama.cpp", prefill},
		{"link", "steps with no layer on the device, over a link slower and faster than computing, against the longer of the two", link},
		{"host", "steps with attention at the device, the host and as measured, over a link slower than computing, against that link", host},
		{"beams", "a step of 4 beams that have a text in common against a step of one, resident and over a link slower than computing", beams},
		{"lookup", "a text that repeats its prompt, with prompt lookup and without, resident and over a link slower than computing", lookup},
		{"timeline", "one step with all layers copied: what was computed, fetched and stored when", timeline},
		{"contention", "steps alone and beside a program that takes a core, with a fixed number of threads and with as many as there is room for", contention},
		{"sampling", "choosing a token out of 152,064, against the step that its scores come from", sampling},
		{"overhead", "what Go costs beside the library: a call, the rest of a step, and garbage", overhead},
		{"attention", "the CPU's attention over K/V in memory, against ggml's flash attention and a loop that reads as many bytes", attention},
	}
}

// Workloads returns the names of the workloads.
func Workloads() []string {
	var names []string
	for _, w := range workloads() {
		names = append(names, w.name)
	}
	return names
}

// Describe says in one sentence what a workload measures; "" if there is none
// of that name.
func Describe(name string) string {
	for _, w := range workloads() {
		if w.name == name {
			return w.about
		}
	}
	return ""
}

// Run measures. It needs the machine for itself: what else runs makes the
// figures worse. An error ends it, and the report has what was measured before;
// it is nil if nothing was.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	m, err := readModel(o.Model)
	if err != nil {
		return nil, err
	}
	o = o.withDefaults(m)
	if err := o.fit(m); err != nil {
		return nil, err
	}
	if err := o.checkDevice(); err != nil {
		return nil, err
	}
	r := &Report{Machine: readMachine(o), Model: m, Pace: o.Pace, Fill: o.Fill}
	for _, w := range workloads() {
		if !slices.Contains(o.Workloads, w.name) {
			continue
		}
		res, err := w.run(ctx, o, m)
		r.add(res)
		if err != nil && len(r.Rows)+len(r.Figures) == 0 {
			return nil, err
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}
