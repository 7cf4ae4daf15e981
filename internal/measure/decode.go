package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// targetDecode is the share of the fastest peer's speed that a resident cache should reach up to a
// depth of shallow tokens, where a step reads little but weights. Deeper, it should be at least as
// fast as the peer with flash attention, which ebb's attention is like.
const (
	targetDecode = 0.98
	shallow      = 512
	targetFlash  = 1
)

// decodeNeeds returns each depth with the tokens of a turn.
func decodeNeeds(o Options) (needs []Need) {
	for _, d := range o.Depths {
		needs = append(needs, Need{d, o.Pace.Tokens()})
	}
	return needs
}

// decode measures steps of one token at each depth.
func decode(ctx context.Context, o Options, m Model) (Result, error) {
	return Decode(ctx, o, m, "decode", func(depth int) Targets {
		t := Targets{Flash: targetFlash}
		if depth <= shallow {
			t.Fastest = targetDecode
		}
		return t
	})
}

// Decode measures steps of one token of a model at each depth, in rows and scores of a workload with
// that name.
func Decode(ctx context.Context, o Options, m Model, workload string, at func(depth int) Targets) (res Result, err error) {
	for _, s := range o.Settings() {
		if err := decodeIn(ctx, o, m, s, workload, at, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

// title returns the name of a workload as a title begins.
func title(workload string) string { return strings.ToUpper(workload[:1]) + workload[1:] }

func decodeIn(ctx context.Context, o Options, m Model, s Setting, workload string, at func(depth int) Targets, res *Result) (err error) {
	if len(o.Depths) == 0 {
		return nil
	}
	room := slices.Max(o.Depths) + o.Pace.Tokens()
	c, notes, err := openContest(o, s, room)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	res.Note(notes...)
	var more []Arm
	if o.OnCPU() && len(c.ours) > 0 { // another device reads other memory
		rows, err := c.ours[0].ReadBytes(s)
		if err != nil {
			return err
		}
		more = append(more, newReadArm(s.Threads, m.StepBytes, rows, room))
	}
	curve := Curve{
		Name:  fmt.Sprintf("%s-%s-%d", workload, s.KVType, s.Threads),
		Title: fmt.Sprintf("%s, %v", title(workload), s),
		X:     "tokens in the cache", Y: "tokens/s",
	}
	for _, depth := range o.Depths {
		o.Progress(fmt.Sprintf("%s at depth %d, %v", workload, depth, s))
		rows, err := c.measure(ctx, Point{workload, s, depth, 1}, o.Pace, more...)
		if err != nil {
			return err
		}
		res.Rows = append(res.Rows, rows...)
		curve.addSpeeds(rows, float64(depth), len(rows)-len(more))
		ours, peers, roof := c.split(rows)
		res.Scores = append(res.Scores, c.against(ours, peers, at(depth))...)
		for _, r := range roof {
			for _, row := range ours {
				res.Scores = append(res.Scores, SpeedScore(row, r, 0))
			}
		}
	}
	res.Curves = append(res.Curves, curve)
	return nil
}
