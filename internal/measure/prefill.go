package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// targetPrefill is the share of the fastest peer's speed that a resident cache should reach with
// prompts.
const targetPrefill = 0.95

// prefillNeeds returns each depth with the longest prompt.
func prefillNeeds(o Options) (needs []Need) {
	for _, d := range o.PromptDepths {
		needs = append(needs, Need{d, slices.Max(append(o.Prompts, 0))})
	}
	return needs
}

// prefill measures steps of one prompt each, of each size at each depth.
func prefill(ctx context.Context, o Options, _ Model) (Result, error) {
	return Prefill(ctx, o, "prefill")
}

// Prefill measures steps of one prompt each, of each size at each depth, in rows and scores of a workload
// with that name.
func Prefill(ctx context.Context, o Options, workload string) (res Result, err error) {
	for _, s := range o.Settings() {
		if err := prefillIn(ctx, o, s, workload, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func prefillIn(ctx context.Context, o Options, s Setting, workload string, res *Result) (err error) {
	if len(o.Prompts) == 0 || len(o.PromptDepths) == 0 {
		return nil
	}
	c, notes, err := openContest(o, s, slices.Max(o.PromptDepths)+slices.Max(o.Prompts))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	res.Note(notes...)
	for _, depth := range o.PromptDepths {
		curve := Curve{
			Name:  fmt.Sprintf("%s-%d-%s-%d", workload, depth, s.KVType, s.Threads),
			Title: fmt.Sprintf("%s behind %d tokens, %v", title(workload), depth, s),
			X:     "tokens of the prompt", Y: "tokens/s",
		}
		for _, n := range o.Prompts {
			o.Progress(fmt.Sprintf("%s of %d tokens at depth %d, %v", workload, n, depth, s))
			rows, err := c.measure(ctx, Point{workload, s, depth, n}, o.Pace.Prompts())
			if err != nil {
				return err
			}
			res.Rows = append(res.Rows, rows...)
			curve.addSpeeds(rows, float64(n), len(rows))
			ours, peers, _ := c.split(rows)
			res.Scores = append(res.Scores, c.against(ours, peers, Targets{Fastest: targetPrefill})...)
		}
		res.Curves = append(res.Curves, curve)
	}
	return nil
}
