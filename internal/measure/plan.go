package measure

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/rehearsal"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/plan"
)

// targetPlan is how near the expected and the measured speed should be: the smaller one divided by
// the larger one.
const targetPlan = 0.85

// planned compares the speed that a plan expects, from a rehearsal on this machine, with the speed of
// steps: all rows on the device, over a link that takes as long as computing, and from a disk.
func planned(ctx context.Context, o Options, m Model) (res Result, err error) {
	if o.GPULayers > 0 {
		res.Note("Without plan: it is measured where one device computes all layers.")
		return res, nil
	}
	for _, s := range o.Settings() {
		p := planPoint{o: o, s: s, depth: o.DiskDepth, room: o.DiskDepth + o.Pace.Tokens()}
		if err := p.measure(ctx, m, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

// planPoint is where a plan is compared with what comes out.
type planPoint struct {
	o           Options
	s           Setting
	depth, room int
	request     plan.Request
	arms        []Arm
	expected    []float64 // tokens a second of each arm
}

func (p *planPoint) measure(ctx context.Context, m Model, res *Result) (err error) {
	p.o.Progress(fmt.Sprintf("plan at depth %d, %v", p.depth, p.s))
	header, err := gguf.Open(p.o.Model)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, header.Close(), CloseAll(p.arms)) }()
	at := Point{"plan", p.s, p.depth, 1}
	st := NewStreams(p.o, at, p.room)
	err = st.OpenResident(ctx)
	p.arms = st.Arms
	if err != nil {
		return err
	}
	resident := p.arms[0].(*Ebb)
	if p.request, err = p.ask(header, m, resident); err != nil {
		return err
	}
	if err := p.expect(ctx, header, st, res); err != nil {
		return err
	}
	rows, err := Measure(ctx, p.arms, at, p.o.Pace)
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	for i, row := range rows {
		res.Figures = append(res.Figures,
			Figure{Workload: "plan", Name: row.Arm + ", expected", Value: p.expected[i], Unit: "tokens/s"},
			Figure{Workload: "plan", Name: row.Arm + ", measured", Value: row.Speed(), Unit: "tokens/s", Disturbed: row.Disturbed > 0},
		)
		res.Scores = append(res.Scores, planScore(row, p.expected[i]))
	}
	return nil
}

// ask returns what a plan must know of the model.
func (p *planPoint) ask(header *gguf.File, m Model, a *Ebb) (plan.Request, error) {
	typ, err := kv.ParseType(p.s.KVType)
	if err != nil {
		return plan.Request{}, err
	}
	r := plan.Request{
		Model: plan.Model{Weights: m.Weights - model.DraftBytes(header)}, StepWeights: m.StepBytes, HeadWeights: rehearsal.HeadBytes(header),
		Context: p.room, Slots: p.o.Slots,
	}
	for _, l := range a.Engine.Config().Layers {
		layer := plan.Layer{Window: l.Window, Shares: l.SharesKV, Of: l.KVOf, NoRows: !l.SharesKV && l.KVHeads == 0}
		layer.StateBytes = kv.Shape{State: l.State.Values()}.StateBytes()
		if !l.SharesKV && !layer.NoRows {
			layer.RowBytes = int64(l.KVHeads) * (typ.RowSize(int64(l.KeyDim)) + typ.RowSize(int64(l.ValueDim)))
		}
		r.Layers = append(r.Layers, layer)
	}
	return r, nil
}

// expect rehearses, and opens the arms that stream, each with the speed that is expected of it.
func (p *planPoint) expect(ctx context.Context, header *gguf.File, st *Streams, res *Result) (err error) {
	h, err := rehearsal.Open(ctx, header, p.request, rehearsal.Options{Device: p.o.Device, Threads: p.s.Threads, KVType: p.s.KVType, Depth: p.depth})
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	machine := plan.Machine{Unified: p.o.OnCPU()}
	if machine.Compute, err = h.Compute(ctx); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	c := machine.Compute
	machine.DeviceRate = max(c.WeightRate, c.KVRate, c.HeadRate)
	machine.LinkRate, machine.DiskRate = machine.DeviceRate, machine.DeviceRate // of which nothing is read yet
	if err := p.add(machine, false, p.room); err != nil {
		return err
	}
	link := st.Rate(1)
	overLink := machine
	overLink.Paced, overLink.LinkRate = p.o.OnCPU(), link
	overLink.Unified = false // nothing is copied in the memory in which the CPU computes
	if !p.o.OnCPU() {        // a link that is faster than stated may be slower than that
		if overLink, err = h.Copies(ctx, machine, ""); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		link = 0
	}
	a, err := OpenEbb("ebb offloaded, over a link", p.o, p.s, ebb.Options{Cache: kv.Offloaded, Context: p.room, Slots: p.o.Slots, Link: link})
	if err != nil {
		return err
	}
	p.arms = append(p.arms, a)
	if err := p.add(overLink, true, p.room); err != nil {
		return err
	}
	if p.o.Disk == "" {
		res.Note("plan has no rows on a disk: --disk names a folder there.")
		return nil
	}
	fromDisk, err := h.Copies(ctx, machine, p.o.Disk)
	if err != nil {
		res.Note(fmt.Sprintf("plan has no rows on a disk: %v.", err))
		return nil
	}
	if a, err = OpenEbb("ebb offloaded, rows on the disk", p.o, p.s, ebb.Options{Cache: kv.Offloaded, Context: p.room, Slots: p.o.Slots, Disk: p.o.Disk}); err != nil {
		return err
	}
	p.arms = append(p.arms, a)
	return p.add(fromDisk, true, 0)
}

// add notes the speed that is expected with all layers on the device, or none, and some cells in host
// memory, in the middle of a turn.
func (p *planPoint) add(m plan.Machine, streams bool, hostCells int) error {
	cache := plan.Cache{Layers: p.request.Layers, Cells: p.room, Trees: 1, Slots: p.o.Slots, Streams: streams}
	placements, err := cache.Place()
	if err != nil {
		return err
	}
	f := plan.Forecast{Context: p.room, Sequences: 1, Placement: placements[0], HostCells: hostCells}
	p.expected = append(p.expected, p.request.Decode(f, m, p.depth+p.o.Pace.Tokens()/2).Expected.PerSecond)
	return nil
}

// planScore is the smaller of the expected and the measured speed, divided by the larger one.
func planScore(row Row, expected float64) Score {
	s := SpeedScore(row, row, targetPlan)
	s.Name = row.Arm + ": expected and measured, the smaller / the larger"
	s.Value = min(expected/row.Speed(), row.Speed()/expected)
	return s
}
