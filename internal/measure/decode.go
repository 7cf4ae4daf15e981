package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
func decode(ctx context.Context, o Options, m Model) (res Result, err error) {
	for _, s := range o.Settings() {
		if err := decodeIn(ctx, o, m, s, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func decodeIn(ctx context.Context, o Options, m Model, s Setting, res *Result) (err error) {
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
		each, err := c.ours[0].RowBytes(s)
		if err != nil {
			return err
		}
		more = append(more, newReadArm(s.Threads, m.StepBytes, each, room))
	}
	curve := Curve{
		Name:  fmt.Sprintf("decode-%s-%d", s.KVType, s.Threads),
		Title: fmt.Sprintf("Decode, %v", s),
		X:     "tokens in the cache", Y: "tokens/s",
	}
	for _, depth := range o.Depths {
		o.Progress(fmt.Sprintf("decode at depth %d, %v", depth, s))
		rows, err := c.measure(ctx, Point{"decode", s, depth, 1}, o.Pace, more...)
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
				res.Scores = append(res.Scores, SpeedScore(row, r, 0))
			}
		}
	}
	res.Curves = append(res.Curves, curve)
	return nil
}
