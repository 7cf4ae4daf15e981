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
	Own   bool                   // it measures models of its own, and runs only where it is named
}

// Need is a place that a workload measures at.
type Need struct {
	Depth, Tokens int
}

// Workloads returns the workloads of the ebb command, in the order in which they run.
func Workloads() []Workload {
	return []Workload{
		{Name: "roofline", Run: roofline, About: "how fast memory is read and copied, how fast a device is reached, how fast a disk is read: bounds that no program passes"},
		{Name: "decode", Run: decode, Needs: decodeNeeds, About: "steps of one token at each depth, under each policy, against reading the memory that a step must read"},
		{Name: "prefill", Run: prefill, Needs: prefillNeeds, About: "prompts of each size at each depth, under each policy"},
		{Name: "link", Run: link, Needs: LinkNeeds, About: "steps with no layer on the device, over a link slower and faster than computing, against the longer of the two"},
		{Name: "slots", Run: slots, Needs: LinkNeeds, About: "the same over a link as fast as computing, with the same memory as slots and as resident layers"},
		{Name: "disk", Run: disk, Needs: diskNeeds, Disk: true, About: "steps with all rows in files, against computing, against their copies without computing, and against the disk"},
		{Name: "mixed", Run: mixed, Needs: diskNeeds, Disk: true, About: "the same with half of the rows in host memory"},
		{Name: "session", Run: sessions, Needs: sessionNeeds, Disk: true, About: "saving and restoring a sequence, against the disk, and against computing its tokens anew"},
		{Name: "auto", Run: auto, Needs: decodeNeeds, About: "steps of one token at each depth under the policy auto, where everything fits, against static"},
		{Name: "plan", Run: planned, Needs: diskNeeds, About: "the speed that a plan expects, from a rehearsal, against that of steps: resident, over a link as fast as computing, and from a disk"},
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
		case o.Workloads != nil && !slices.Contains(o.Workloads, w.Name), o.Workloads == nil && w.Own:
		case w.Disk && o.Disk == "":
			left = append(left, w.Name)
		default:
			chosen = append(chosen, w)
		}
	}
	return chosen, left
}

// needsModel reports whether one of the workloads that run measures the model of the options.
func (o Options) needsModel(chosen []Workload) bool {
	return slices.ContainsFunc(chosen, func(w Workload) bool { return !w.Own })
}

// Run measures the workloads that the options name. It needs the machine for itself: other programs
// make the figures worse. An error ends the run, and the report has what was measured before; the
// report is nil if nothing was.
func Run(ctx context.Context, o Options, workloads []Workload) (*Report, error) {
	if err := o.Validate(workloads); err != nil {
		return nil, err
	}
	workloads, left := o.choose(workloads)
	var m Model
	if o.needsModel(workloads) {
		var err error
		if m, err = ReadModel(o.Model); err != nil {
			return nil, err
		}
	}
	o = o.withDefaults(m)
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
		r.Add(res)
		if err != nil && len(r.Rows)+len(r.Figures) == 0 {
			return nil, err
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}
