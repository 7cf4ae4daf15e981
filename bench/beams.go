package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/kv"
)

const (
	beamCount = 4
	// reorderSteps is the number of steps after which one beam takes the place of another.
	reorderSteps = 4
	// slowLink is how many times as long as computing a transfer takes over the slow link.
	slowLink = 4
	// targetBeams is how many tokens 4 beams should give over a slow link in the time that one beam
	// takes for one: 0.97 of its steps.
	targetBeams = 3.9
	// targetBeamRows is the share of the speed of as many tokens of one text, which need the same
	// work on weights and attend to as many K/V.
	targetBeamRows = 1 / 1.1
)

// beamTokens returns how many tokens a turn of beams adds to the cache.
func beamTokens(p measure.Pace) int { return beamCount * p.Tokens() }

// beams compares steps of 4 beams with steps of one.
func (o *Options) beams(ctx context.Context, with measure.Options, _ measure.Model) (res measure.Result, err error) {
	for _, s := range with.Settings() {
		if err := beamsIn(ctx, with, measure.Point{Workload: "beams", Setting: s, Depth: o.beamDepth(with), Tokens: 1}, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

// beamsIn compares beams at a point, whose tokens are those of each beam.
func beamsIn(ctx context.Context, o measure.Options, at measure.Point, res *measure.Result) error {
	resident := ebb.Options{Cache: kv.Static}
	rows, each, err := measureBeams(ctx, o, at, "ebb static", resident, true)
	if err != nil {
		return err
	}
	greedy, forked, text := rows[0], rows[1], rows[2]
	res.Rows = append(res.Rows, rows...)
	res.Scores = append(res.Scores, stepScore(forked, greedy, 0), stepScore(forked, text, targetBeamRows))
	res.Note(fmt.Sprintf("beams: a resident step is compared with one of %d tokens of one text: the same weights, attention to as many rows, and no forks.", beamCount))

	rate := measure.FetchedBytes(each, at.Depth, o.Pace) / (slowLink * greedy.P25)
	paced := ebb.Options{Cache: kv.Offloaded, Link: rate, Slots: o.Slots}
	if rows, _, err = measureBeams(ctx, o, at, measure.LinkLabel(o.Slots, slowLink), paced, false); err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	res.Scores = append(res.Scores, tokenScore(rows[1], rows[0], targetBeams))
	return nil
}

// measureBeams returns the rows of one beam, of 4 beams, and, if text, of as many tokens of one
// text; and the bytes of the K/V of a token.
func measureBeams(ctx context.Context, o measure.Options, at measure.Point, label string, with ebb.Options, text bool) (rows []measure.Row, each int64, err error) {
	o.Progress(fmt.Sprintf("beams at depth %d, %v, %s", at.Depth, at.Setting, label))
	with.Context = at.Depth + beamTokens(o.Pace)
	var arms []measure.Arm
	defer func() { err = errors.Join(err, measure.CloseAll(arms)) }()
	for _, of := range []func(*measure.Ebb) measure.Arm{
		func(a *measure.Ebb) measure.Arm { return a },
		func(a *measure.Ebb) measure.Arm { return &beamArm{Ebb: a} },
		func(a *measure.Ebb) measure.Arm { return textArm{a} },
	} {
		if len(arms) == 2 && !text {
			break
		}
		a, err := measure.OpenEbb(label, o, at.Setting, with)
		if err != nil {
			return nil, 0, err
		}
		arms = append(arms, of(a))
		if each, err = a.RowBytes(at.Setting); err != nil {
			return nil, 0, err
		}
	}
	if rows, err = measure.Measure(ctx, arms, at, o.Pace); err != nil {
		return nil, 0, err
	}
	for i := range rows[1:] {
		rows[1+i].Tokens = beamCount
	}
	return rows, each, nil
}

// stepScore is one row's steps a second divided by another's.
func stepScore(row, by measure.Row, target float64) measure.Score {
	s := measure.SpeedScore(row, by, target)
	s.Name += ", steps/s"
	return s
}

// tokenScore is one row's tokens a second divided by another's.
func tokenScore(row, by measure.Row, target float64) measure.Score {
	s := measure.SpeedScore(row, by, target)
	s.Name += ", tokens/s"
	s.Value = row.Speed() / by.Speed()
	return s
}

// beamArm takes a token of each beam in a step. Beams are forks of its sequence, which does not
// grow itself.
type beamArm struct {
	*measure.Ebb
	beams  []*kv.Seq
	steps  int // since they were forked
	ids    []int32
	works  []kv.Work
	logits [][][]float32
}

func (a *beamArm) Name() string { return fmt.Sprintf("%s, %d beams", a.Label, beamCount) }

func (a *beamArm) Rewind(ctx context.Context, depth int) error {
	if err := a.drop(); err != nil {
		return err
	}
	if err := a.Ebb.Rewind(ctx, depth); err != nil {
		return err
	}
	for range beamCount {
		fork, err := a.Seq.Fork()
		if err != nil {
			return err
		}
		a.beams = append(a.beams, fork)
	}
	a.steps = 0
	return nil
}

// Step appends one token to each beam, and reorders the beams now and then.
func (a *beamArm) Step(ctx context.Context, _ int) error {
	a.ids = measure.Tokens(a.ids, a.beams[0].Len(), beamCount, a.Vocab())
	a.works = a.works[:0]
	for i, b := range a.beams {
		a.works = append(a.works, kv.Work{Seq: b, Tokens: a.ids[i : i+1], Logits: 1})
	}
	logits, err := a.Engine.ForwardInto(ctx, a.works, a.logits)
	if err != nil {
		return err
	}
	a.logits = logits
	if a.steps++; a.steps%reorderSteps != 0 {
		return nil
	}
	return a.reorder(a.steps / reorderSteps % beamCount)
}

// reorder drops a beam and forks the next one.
func (a *beamArm) reorder(dropped int) error {
	fork, err := a.beams[(dropped+1)%beamCount].Fork()
	if err != nil {
		return err
	}
	err = a.beams[dropped].Close()
	a.beams[dropped] = fork
	return err
}

// drop closes the beams.
func (a *beamArm) drop() error {
	var errs []error
	for _, b := range a.beams {
		errs = append(errs, b.Close())
	}
	a.beams = a.beams[:0]
	return errors.Join(errs...)
}

func (a *beamArm) Close() error { return errors.Join(a.drop(), a.Ebb.Close()) }

// textArm takes as many tokens of one text in a step as there are beams, with the logits of each.
type textArm struct{ *measure.Ebb }

func (a textArm) Name() string { return fmt.Sprintf("%s, %d tokens of one text", a.Label, beamCount) }

func (a textArm) Step(ctx context.Context, _ int) error { return a.Forward(ctx, beamCount, beamCount) }
