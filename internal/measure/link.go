package measure

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// The targets over a link: for steps of one token, the longer of compute and transfer time divided
// by the time of a step; for a prompt, which computes many times as long as it transfers, the share
// of the resident speed.
const (
	targetLink        = 0.95
	targetLinkPrefill = 0.95
)

// linkPrompt is the most tokens of a prompt over the link: one chunk.
const linkPrompt = kv.DefaultChunkTokens

// LinkNeeds returns the depth at which streaming is measured, with the tokens of a turn.
func LinkNeeds(o Options) []Need { return []Need{{o.LinkDepth, o.Pace.Tokens()}} }

// link compares streamed steps with their bounds: how long a resident step computes, and how long
// the link transfers.
func link(ctx context.Context, o Options, _ Model) (res Result, err error) {
	for _, s := range o.Settings() {
		if err := linkIn(ctx, o, s, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func linkIn(ctx context.Context, o Options, s Setting, res *Result) (err error) {
	prompt := min(linkPrompt, o.Context-o.LinkDepth)
	at := Point{"link", s, o.LinkDepth, 1}
	st := NewStreams(o, at, o.LinkDepth+max(prompt, o.Pace.Tokens()))
	defer func() { err = errors.Join(err, CloseAll(st.Arms)) }()
	if err := st.OpenResident(ctx); err != nil {
		return err
	}
	for _, ratio := range o.Ratios {
		if _, err := st.Open(LinkLabel(o.Slots, ratio), ebb.Options{Link: st.Rate(ratio)}); err != nil {
			return err
		}
	}
	copied := "ebb offloaded"
	if o.OnCPU() {
		copied += ", forced copies"
	}
	if _, err := st.Open(copied, ebb.Options{ForcedCopies: true}); err != nil {
		return err
	}

	o.Progress(fmt.Sprintf("link at depth %d, %v", at.Depth, s))
	rows, err := Measure(ctx, st.Arms, at, o.Pace)
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	curve := Curve{
		Name:  fmt.Sprintf("link-%s-%d", s.KVType, s.Threads),
		Title: fmt.Sprintf("Streaming over a link, depth %d, %v, %d slots", at.Depth, s, o.Slots),
		X:     "transfer time / compute time", Y: "max(compute, link) / step",
	}
	for i, ratio := range o.Ratios {
		transfer := st.Transfer(ratio)
		score := againstBound(rows[1+i], rows[0].P25, transfer)
		res.Scores = append(res.Scores, score)
		x := transfer / rows[0].P25
		curve.Add("reached", false, XY{x, score.Value})
		curve.Add("perfect overlap", true, XY{x, 1})
	}
	res.Curves = append(res.Curves, curve)
	res.Scores = append(res.Scores, SpeedScore(rows[len(rows)-1], rows[0], 0))
	return linkPrefill(ctx, o, st.Arms, Point{"link", s, o.LinkDepth, prompt}, res)
}

// FetchedBytes returns how many bytes a step of one token fetches if no layer is on the device: the
// rows of the tokens before it. The 25th percentile is compared, so it counts them for a step a
// quarter through its turn; later steps transfer more.
func FetchedBytes(each int64, depth int, p Pace) float64 {
	return float64(each) * (float64(depth+p.WarmUpSteps) + float64(p.Steps-1)/4)
}

// LinkLabel names an arm whose link transfers ratio times as long as a resident step computes.
func LinkLabel(slots int, ratio float64) string {
	return fmt.Sprintf("ebb offloaded, %d slots, link %.2g× compute", slots, ratio)
}

// linkPrefill compares prompts over the links with prompts of a resident cache, the first arm.
func linkPrefill(ctx context.Context, o Options, arms []Arm, at Point, res *Result) error {
	o.Progress(fmt.Sprintf("link: a prompt of %d tokens at depth %d, %v", at.Tokens, at.Depth, at.Setting))
	rows, err := Measure(ctx, arms, at, o.Pace.Prompts())
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	for i, row := range rows[1:] {
		target := float64(targetLinkPrefill)
		if i == len(o.Ratios) { // copies compete for the cores that compute
			target = 0
		}
		res.Scores = append(res.Scores, SpeedScore(row, rows[0], target))
	}
	return nil
}

// againstBound scores a streamed row by the longer of compute and transfer time, in seconds a step.
func againstBound(streamed Row, compute, transfer float64) Score {
	return Score{
		Workload: streamed.Workload, Threads: streamed.Threads, KVType: streamed.KVType, Depth: streamed.Depth, Tokens: streamed.Tokens,
		Name:  fmt.Sprintf("max(compute, link) / %s", streamed.Arm),
		Value: max(compute, transfer) / streamed.P25, Target: targetLink,
	}
}
