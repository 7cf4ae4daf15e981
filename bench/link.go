package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// targetLink is the share of the longer of compute and transfer to be reached.
const targetLink = 0.95

// link compares streamed decode steps with what bounds them: the time that a
// resident step computes, and the time that the link transfers.
func link(ctx context.Context, o Options, r *Report) (err error) {
	room := o.LinkDepth + o.Pace.tokens()
	var arms []arm
	defer func() { err = errors.Join(err, closeAll(arms)) }()
	open := func(name string, e ebb.Options) error {
		e.Threads, e.KVType, e.Context = o.Threads, kvType, room
		a, err := openEbb(name, o.Model, e)
		if err == nil {
			arms = append(arms, a)
		}
		return err
	}
	if err := open("ebb static", ebb.Options{Cache: kv.Static}); err != nil {
		return err
	}
	row := rowBytes(arms[0].(*ebbArm).engine)
	o.Progress(fmt.Sprintf("link at depth %d: how long a resident step computes", o.LinkDepth))
	alone, err := measure(ctx, "link", arms, o.LinkDepth, Pace{Rounds: 3, WarmUp: 1, Steps: o.Pace.Steps, WarmUpSteps: o.Pace.WarmUpSteps})
	if err != nil {
		return err
	}
	// The rows of a step are those before it. As p25 is compared, they are those
	// of a step a quarter through its turn: the longer ones transfer more.
	depth := float64(o.LinkDepth+o.Pace.WarmUpSteps) + float64(o.Pace.Steps-1)/4
	rates := make([]float64, len(o.Ratios))
	for i, ratio := range o.Ratios {
		rates[i] = row * depth / (ratio * alone[0].P25)
		name := fmt.Sprintf("ebb offloaded, %d slots, link %.2g× compute", o.Slots, ratio)
		if err := open(name, ebb.Options{Cache: kv.Offloaded, Link: rates[i], Slots: o.Slots}); err != nil {
			return err
		}
	}
	if err := open("ebb offloaded, forced copies", ebb.Options{Cache: kv.Offloaded, ForcedCopies: true, Slots: o.Slots}); err != nil {
		return err
	}
	o.Progress(fmt.Sprintf("link at depth %d", o.LinkDepth))
	rows, err := measure(ctx, "link", arms, o.LinkDepth, o.Pace)
	if err != nil {
		return err
	}
	r.Rows = append(r.Rows, rows...)
	resident, streamed, copied := rows[0], rows[1:len(rows)-1], rows[len(rows)-1]
	for i, s := range streamed {
		r.Scores = append(r.Scores, againstBound(s, resident.P25, row*depth/rates[i]))
	}
	r.Scores = append(r.Scores, Score{
		Workload: "link", Depth: o.LinkDepth, Name: copied.Arm + " / " + resident.Arm,
		Value: resident.P25 / copied.P25, Of: "speeds at p25",
	})
	return nil
}

// againstBound scores a streamed row by the longer of compute and transfer, in
// seconds a step.
func againstBound(streamed Row, compute, transfer float64) Score {
	return Score{
		Workload: streamed.Workload, Depth: streamed.Depth,
		Name:  fmt.Sprintf("max(compute, link) / %s", streamed.Arm),
		Value: max(compute, transfer) / streamed.P25, Target: targetLink,
		Of: "p25 of computed and streamed steps",
	}
}

// rowBytes returns what the K/V of one token take in all layers.
func rowBytes(e *ebb.Engine) float64 {
	n := 0
	for _, l := range e.Config().Layers {
		n += l.KVHeads * (l.KeyDim + l.ValueDim) * valueBytes
	}
	return float64(n)
}
