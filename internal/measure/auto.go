package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// targetAuto is the share of the speed of static that auto should reach where everything fits.
const targetAuto = 0.99

// auto compares the policy auto, where everything fits, with static.
func auto(ctx context.Context, o Options, _ Model) (res Result, err error) {
	for _, s := range o.Settings() {
		if err := autoIn(ctx, o, s, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func autoIn(ctx context.Context, o Options, s Setting, res *Result) (err error) {
	if len(o.Depths) == 0 {
		return nil
	}
	room := slices.Max(o.Depths) + o.Pace.Tokens()
	var arms []Arm
	defer func() { err = errors.Join(err, CloseAll(arms)) }()
	for _, p := range []kv.Policy{kv.Static, kv.Auto} {
		a, err := OpenEbb("ebb "+p.String(), o, s, ebb.Options{Cache: p, Context: room})
		if err != nil {
			return err
		}
		arms = append(arms, a)
	}
	for _, depth := range o.Depths {
		o.Progress(fmt.Sprintf("auto at depth %d, %v", depth, s))
		rows, err := Measure(ctx, arms, Point{"auto", s, depth, 1}, o.Pace)
		if err != nil {
			return err
		}
		res.Rows = append(res.Rows, rows...)
		res.Scores = append(res.Scores, SpeedScore(rows[1], rows[0], targetAuto))
	}
	return nil
}
