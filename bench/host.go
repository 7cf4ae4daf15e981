package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/measure"
)

// targetHost is how many times as fast as the link alone allows steps should be with the host's
// help, if the link takes slowLink times as long as computing.
const targetHost = 1.5

// host compares steps that fetch all layers over a slow link with steps in which the host attends
// to some of them.
func host(ctx context.Context, o measure.Options, _ measure.Model) (res measure.Result, err error) {
	for _, s := range o.Settings() {
		if err := hostIn(ctx, o, s, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func hostIn(ctx context.Context, o measure.Options, s measure.Setting, res *measure.Result) (err error) {
	at := measure.Point{Workload: "host", Setting: s, Depth: o.LinkDepth, Tokens: 1}
	st := measure.NewStreams(o, at, o.LinkDepth+o.Pace.Tokens())
	defer func() { err = errors.Join(err, measure.CloseAll(st.Arms)) }()
	if err := st.OpenResident(ctx); err != nil {
		return err
	}
	for _, where := range []ebb.AttendAt{ebb.AttendAtDevice, ebb.AttendAtHost, ebb.AttendAuto} {
		name := fmt.Sprintf("%s, attention %v", measure.LinkLabel(o.Slots, slowLink), where)
		a, err := st.Open(name, ebb.Options{ForcedCopies: true, Link: st.Rate(slowLink), Attend: where})
		if err != nil {
			return err
		}
		for _, note := range a.Engine.Notes() {
			res.Note(fmt.Sprintf("%s: %s.", name, note))
		}
	}
	o.Progress(fmt.Sprintf("host at depth %d, %v", at.Depth, s))
	rows, err := measure.Measure(ctx, st.Arms, at, o.Pace)
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	for _, row := range rows[2:] {
		res.Scores = append(res.Scores, measure.Score{
			Workload: row.Workload, Threads: row.Threads, KVType: row.KVType, Depth: row.Depth, Tokens: row.Tokens,
			Name: "the link alone / " + row.Arm, Value: st.Transfer(slowLink) / row.P25,
		})
	}
	res.Scores[len(res.Scores)-1].Target = targetHost
	return nil
}
