package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
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
	var arms []arm
	defer func() { err = errors.Join(err, closeAll(arms)) }()
	open := func(name string, with ebb.Options) (*ebbArm, error) {
		with.Context = o.LinkDepth + o.Pace.tokens()
		a, err := openEbb(name, o, s, with)
		if err == nil {
			arms = append(arms, a)
		}
		return a, err
	}
	resident, err := open("ebb static", ebb.Options{Cache: kv.Static})
	if err != nil {
		return err
	}
	each, err := resident.rowBytes(s)
	if err != nil {
		return err
	}
	o.Progress(fmt.Sprintf("host at depth %d, %v: how long a resident step computes", at.depth, s))
	alone, err := computing(ctx, resident, at, o.Pace)
	if err != nil {
		return err
	}
	bytes := fetchedBytes(each, at.depth, o.Pace)
	rate := bytes / (slowLink * alone)
	for _, where := range []ebb.AttendAt{ebb.AttendAtDevice, ebb.AttendAtHost, ebb.AttendAuto} {
		name := fmt.Sprintf("%s, attention %v", linkLabel(o.Slots, slowLink), where)
		a, err := open(name, ebb.Options{Cache: kv.Offloaded, ForcedCopies: true, Link: rate, Slots: o.Slots, Attend: where})
		if err != nil {
			return err
		}
		for _, note := range a.engine.Notes() {
			res.note(fmt.Sprintf("%s: %s.", name, note))
		}
	}
	o.Progress(fmt.Sprintf("host at depth %d, %v", at.depth, s))
	rows, err := measure(ctx, arms, at, o.Pace)
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	for _, row := range rows[2:] {
		res.Scores = append(res.Scores, Score{
			Workload: row.Workload, Threads: row.Threads, KVType: row.KVType, Depth: row.Depth, Tokens: row.Tokens,
			Name: "the link alone / " + row.Arm, Value: bytes / rate / row.P25,
		})
	}
	res.Scores[len(res.Scores)-1].Target = targetHost
	return nil
}
