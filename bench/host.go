package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
)

// targetHost is how many times as fast steps should at least be with the host's
// help as the link alone allows, if it takes slowLink times as long as computing.
const targetHost = 1.5

// host compares steps in which all layers come over a slow link with steps in
// which the host attends to some of them where they are.
func host(ctx context.Context, o Options, _ Model) (res Result, err error) {
	for _, s := range o.settings() {
		if err := hostIn(ctx, o, s, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func hostIn(ctx context.Context, o Options, s setting, res *Result) (err error) {
	at := point{"host", s, o.LinkDepth, 1}
	st := &streams{o: o, at: at, room: o.LinkDepth + o.Pace.tokens()}
	defer func() { err = errors.Join(err, closeAll(st.arms)) }()
	if err := st.openResident(ctx); err != nil {
		return err
	}
	for _, where := range []ebb.AttendAt{ebb.AttendAtDevice, ebb.AttendAtHost, ebb.AttendAuto} {
		name := fmt.Sprintf("%s, attention %v", linkLabel(o.Slots, slowLink), where)
		a, err := st.open(name, ebb.Options{ForcedCopies: true, Link: st.rate(slowLink), Attend: where})
		if err != nil {
			return err
		}
		for _, note := range a.engine.Notes() {
			res.note(fmt.Sprintf("%s: %s.", name, note))
		}
	}
	o.Progress(fmt.Sprintf("host at depth %d, %v", at.depth, s))
	rows, err := measure(ctx, st.arms, at, o.Pace)
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	for _, row := range rows[2:] {
		res.Scores = append(res.Scores, Score{
			Workload: row.Workload, Threads: row.Threads, KVType: row.KVType, Depth: row.Depth, Tokens: row.Tokens,
			Name: "the link alone / " + row.Arm, Value: st.transfer(slowLink) / row.P25,
		})
	}
	res.Scores[len(res.Scores)-1].Target = targetHost
	return nil
}
