package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// The shares to be reached over a link: of the longer of compute and transfer in
// steps of one token, and of the resident speed with a prompt, whose computing
// takes many times as long as the transfer.
const (
	targetLink        = 0.95
	targetLinkPrefill = 0.95
)

// linkPrompt is how many tokens a prompt over the link has at most: one chunk.
const linkPrompt = kv.DefaultChunkTokens

// link compares streamed steps with what bounds them: the time that a resident
// step computes, and the time that the link transfers.
func link(ctx context.Context, o Options, _ Model) (res Result, err error) {
	for _, s := range o.settings() {
		if err := linkIn(ctx, o, s, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func linkIn(ctx context.Context, o Options, s setting, res *Result) (err error) {
	prompt := min(linkPrompt, o.Context-o.LinkDepth)
	at := point{"link", s, o.LinkDepth, 1}
	st := &streams{o: o, at: at, room: o.LinkDepth + max(prompt, o.Pace.tokens())}
	defer func() { err = errors.Join(err, closeAll(st.arms)) }()
	if err := st.openResident(ctx); err != nil {
		return err
	}
	for _, ratio := range o.Ratios {
		if _, err := st.open(linkLabel(o.Slots, ratio), ebb.Options{Link: st.rate(ratio)}); err != nil {
			return err
		}
	}
	copied := "ebb offloaded"
	if o.onCPU() {
		copied += ", forced copies"
	}
	if _, err := st.open(copied, ebb.Options{ForcedCopies: true}); err != nil {
		return err
	}

	o.Progress(fmt.Sprintf("link at depth %d, %v", at.depth, s))
	rows, err := measure(ctx, st.arms, at, o.Pace)
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	curve := Curve{
		Name:  fmt.Sprintf("link-%s-%d", s.kvType, s.threads),
		Title: fmt.Sprintf("Streaming over a link, depth %d, %v, %d slots", at.depth, s, o.Slots),
		X:     "transfer time / compute time", Y: "max(compute, link) / step",
	}
	for i, ratio := range o.Ratios {
		transfer := st.transfer(ratio)
		score := againstBound(rows[1+i], rows[0].P25, transfer)
		res.Scores = append(res.Scores, score)
		x := transfer / rows[0].P25
		curve.add("reached", false, Point{x, score.Value})
		curve.add("perfect overlap", true, Point{x, 1})
	}
	res.Curves = append(res.Curves, curve)
	res.Scores = append(res.Scores, speedScore(rows[len(rows)-1], rows[0], 0))
	return linkPrefill(ctx, o, st.arms, point{"link", s, o.LinkDepth, prompt}, res)
}

// fetchedBytes returns what a step of one token fetches with no layer on the
// device. Its rows are those before it. As p25 is compared, they are those of a
// step a quarter through its turn: the longer ones transfer more.
func fetchedBytes(each int64, depth int, p Pace) float64 {
	return float64(each) * (float64(depth+p.WarmUpSteps) + float64(p.Steps-1)/4)
}

// linkLabel names an arm whose link takes ratio times as long as computing.
func linkLabel(slots int, ratio float64) string {
	return fmt.Sprintf("ebb offloaded, %d slots, link %.2g× compute", slots, ratio)
}

// linkPrefill compares prompts over the links with those of a resident cache,
// the first arm.
func linkPrefill(ctx context.Context, o Options, arms []arm, at point, res *Result) error {
	o.Progress(fmt.Sprintf("link: a prompt of %d tokens at depth %d, %v", at.tokens, at.depth, at.setting))
	rows, err := measure(ctx, arms, at, o.Pace.prompts())
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	for i, row := range rows[1:] {
		target := float64(targetLinkPrefill)
		if i == len(o.Ratios) { // copies compete for the cores that compute
			target = 0
		}
		res.Scores = append(res.Scores, speedScore(row, rows[0], target))
	}
	return nil
}

// againstBound scores a streamed row by the longer of compute and transfer, in
// seconds a step.
func againstBound(streamed Row, compute, transfer float64) Score {
	return Score{
		Workload: streamed.Workload, Threads: streamed.Threads, KVType: streamed.KVType, Depth: streamed.Depth, Tokens: streamed.Tokens,
		Name:  fmt.Sprintf("max(compute, link) / %s", streamed.Arm),
		Value: max(compute, transfer) / streamed.P25, Target: targetLink,
	}
}
