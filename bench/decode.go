package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// targetDecode is the share of llama.cpp's speed that a resident cache should
// reach where weights are most of what is read: up to shallow tokens. Deeper,
// it should not be behind llama.cpp with flash attention, which is what ebb
// computes attention with.
const (
	targetDecode = 0.98
	shallow      = 512
	targetFlash  = 1
)

// decode measures steps of one token at each depth.
func decode(ctx context.Context, o Options, m Model) (res Result, err error) {
	for _, s := range o.settings() {
		if err := decodeIn(ctx, o, m, s, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func decodeIn(ctx context.Context, o Options, m Model, s setting, res *Result) (err error) {
	if len(o.Depths) == 0 {
		return nil
	}
	room := slices.Max(o.Depths) + o.Pace.tokens()
	c, notes, err := openContest(o, s, room)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	res.note(notes...)
	var more []arm
	if o.onCPU() && len(c.ours) > 0 { // another device reads other memory
		each, err := c.ours[0].rowBytes(s)
		if err != nil {
			return err
		}
		more = append(more, newReadArm(s.threads, m.StepBytes, each, room))
	}
	curve := Curve{
		Name:  fmt.Sprintf("decode-%s-%d", s.kvType, s.threads),
		Title: fmt.Sprintf("Decode, %v", s),
		X:     "tokens in the cache", Y: "tokens/s",
	}
	for _, depth := range o.Depths {
		o.Progress(fmt.Sprintf("decode at depth %d, %v", depth, s))
		rows, err := c.measure(ctx, point{"decode", s, depth, 1}, o.Pace, more...)
		if err != nil {
			return err
		}
		res.Rows = append(res.Rows, rows...)
		curve.addSpeeds(rows, float64(depth), len(rows)-len(more))
		ours, peers, roof := c.split(rows)
		t := targets{flash: targetFlash}
		if depth <= shallow {
			t.fastest = targetDecode
		}
		res.Scores = append(res.Scores, c.against(ours, peers, t)...)
		for _, r := range roof {
			for _, row := range ours {
				res.Scores = append(res.Scores, speedScore(row, r, 0))
			}
		}
	}
	res.Curves = append(res.Curves, curve)
	return nil
}
