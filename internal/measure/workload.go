package measure

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Workload is one kind of measurement.
type Workload struct {
	Name  string
	About string // what it measures, for help
	Run   func(ctx context.Context, o Options, m Model) (Result, error)
	Needs func(o Options) []Need // what the context must hold; nil: nothing
	Disk  bool                   // it measures a disk, and needs [Options.Disk]
}

// Need is a place that a workload measures at.
type Need struct {
	Depth, Tokens int
}

// Workloads returns the workloads of the ebb command, in the order in which they run.
func Workloads() []Workload {
	return []Workload{
		{"roofline", "how fast memory is read and copied, how fast a device is reached, how fast a disk is read: bounds that no program passes", roofline, nil, false},
		{"decode", "steps of one token at each depth, under each policy, against reading the memory that a step must read", decode, decodeNeeds, false},
		{"prefill", "prompts of each size at each depth, under each policy", prefill, prefillNeeds, false},
		{"link", "steps with no layer on the device, over a link slower and faster than computing, against the longer of the two", link, LinkNeeds, false},
		{"slots", "the same over a link as fast as computing, with the same memory as slots and as resident layers", slots, LinkNeeds, false},
		{"disk", "steps with all rows in files, against computing, against their copies without computing, and against the disk", disk, diskNeeds, true},
		{"mixed", "the same with half of the rows in host memory", mixed, diskNeeds, true},
		{"session", "saving and restoring a sequence, against the disk, and against computing its tokens anew", sessions, sessionNeeds, true},
		{"auto", "steps of one token at each depth under the policy auto, where everything fits, against static", auto, decodeNeeds, false},
		{"plan", "the speed that a plan expects, from a rehearsal, against that of steps: resident, over a link as fast as computing, and from a disk", planned, diskNeeds, false},
	}
}

// Names returns the names of workloads.
func Names(workloads []Workload) []string {
	var names []string
	for _, w := range workloads {
		names = append(names, w.Name)
	}
	return names
}

// choose returns the workloads to run, and the names of those that are left out because they need a
// disk.
func (o Options) choose(all []Workload) (chosen []Workload, left []string) {
	for _, w := range all {
		switch {
		case o.Workloads != nil && !slices.Contains(o.Workloads, w.Name):
		case w.Disk && o.Disk == "":
			left = append(left, w.Name)
		default:
			chosen = append(chosen, w)
		}
	}
	return chosen, left
}

// Run measures the workloads that the options name. It needs the machine for itself: other programs
// make the figures worse. An error ends the run, and the report has what was measured before; the
// report is nil if nothing was.
func Run(ctx context.Context, o Options, workloads []Workload) (*Report, error) {
	if err := o.Validate(workloads); err != nil {
		return nil, err
	}
	m, err := readModel(o.Model)
	if err != nil {
		return nil, err
	}
	o = o.withDefaults(m)
	workloads, left := o.choose(workloads)
	if err := o.fit(m, workloads); err != nil {
		return nil, err
	}
	if err := o.checkDevice(); err != nil {
		return nil, err
	}
	r := &Report{Machine: readMachine(o), Model: m, Pace: o.Pace, Fill: o.Fill}
	if len(left) > 0 {
		r.Note(fmt.Sprintf("Without %s: --disk names a folder on the disk to measure.", strings.Join(left, ", ")))
	}
	for _, w := range workloads {
		res, err := w.Run(ctx, o, m)
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
