package measure

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
)

// slotsMore is how many layers' memory is given to slots or to resident layers beyond the slots that
// the options say.
const slotsMore = 2

// slots compares what the same memory brings as slots and as resident layers, over a link that takes
// as long for all layers as a step computes.
func slots(ctx context.Context, o Options, _ Model) (res Result, err error) {
	for _, s := range o.Settings() {
		if err := slotsIn(ctx, o, s, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func slotsIn(ctx context.Context, o Options, s Setting, res *Result) (err error) {
	at := Point{"slots", s, o.LinkDepth, 1}
	st := NewStreams(o, at, o.LinkDepth+o.Pace.Tokens())
	defer func() { err = errors.Join(err, CloseAll(st.Arms)) }()
	if err := st.OpenResident(ctx); err != nil {
		return err
	}
	var shares []float64 // of the layers that stream
	open := func(slots, resident int) error {
		label := fmt.Sprintf("ebb offloaded, %d slots", slots)
		if resident > 0 {
			label += fmt.Sprintf(" and %d resident", resident)
		}
		a, err := st.Open(label, ebb.Options{Slots: slots, ResidentLayers: resident, Link: st.Rate(1)})
		if err != nil {
			return err
		}
		c := a.Engine.Stats().Cache
		shares = append(shares, float64(c.StreamedLayers)/float64(c.StreamedLayers+c.ResidentLayers))
		return nil
	}
	if err := open(o.Slots, 0); err != nil {
		return err
	}
	for resident := range slotsMore + 1 {
		if err := open(o.Slots+slotsMore-resident, resident); err != nil {
			return err
		}
	}
	o.Progress(fmt.Sprintf("slots at depth %d, %v", at.Depth, s))
	rows, err := Measure(ctx, st.Arms, at, o.Pace)
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	for i, share := range shares {
		res.Scores = append(res.Scores, againstBound(rows[1+i], rows[0].P25, share*st.Transfer(1)))
	}
	return nil
}
