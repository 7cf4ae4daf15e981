package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

const (
	beamCount = 4
	// reorderSteps is after how many steps one beam takes the place of another.
	reorderSteps = 4
	// slowLink is how many times as long as computing a transfer takes where
	// beams and guesses share one.
	slowLink = 4
	// targetBeams is how many tokens 4 beams should give over a slow link in the
	// time of one: 0.97 of its steps.
	targetBeams = 3.9
	// targetBeamRows is the share of the speed that as many tokens of one text
	// have: the same work on weights, and on K/V that are as many.
	targetBeamRows = 1 / 1.1
)

// beamTokens returns how many tokens a turn of beams adds to the cache.
func beamTokens(p Pace) int { return beamCount * p.tokens() }

// beams compares steps of 4 beams with steps of one.
func beams(ctx context.Context, o Options, _ Model) (res Result, err error) {
	for _, s := range o.settings() {
		if err := beamsIn(ctx, o, s, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func beamsIn(ctx context.Context, o Options, s setting, res *Result) error {
	at := point{"beams", s, o.BeamDepth, 1} // of each beam
	resident := ebb.Options{Cache: kv.Static}
	rows, each, err := measureBeams(ctx, o, at, "ebb static", resident, true)
	if err != nil {
		return err
	}
	greedy, forked, text := rows[0], rows[1], rows[2]
	res.Rows = append(res.Rows, rows...)
	res.Scores = append(res.Scores, stepScore(forked, greedy, 0), stepScore(forked, text, targetBeamRows))
	res.note(fmt.Sprintf("beams: a resident step is compared with one of %d tokens of one text: weights and attention at as many rows, and no forks.", beamCount))

	rate := fetchedBytes(each, at.depth, o.Pace) / (slowLink * greedy.P25)
	paced := ebb.Options{Cache: kv.Offloaded, Link: rate, Slots: o.Slots}
	if rows, _, err = measureBeams(ctx, o, at, linkLabel(o.Slots, slowLink), paced, false); err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	res.Scores = append(res.Scores, tokenScore(rows[1], rows[0], targetBeams))
	return nil
}

// measureBeams returns the rows of one beam, of 4, and of as many tokens of one
// text if that is asked for; and what the K/V of a token take.
func measureBeams(ctx context.Context, o Options, at point, label string, with ebb.Options, text bool) (rows []Row, each int64, err error) {
	o.Progress(fmt.Sprintf("beams at depth %d, %v, %s", at.depth, at.setting, label))
	with.Context = at.depth + beamTokens(o.Pace)
	var arms []arm
	defer func() { err = errors.Join(err, closeAll(arms)) }()
	for _, of := range []func(*ebbArm) arm{
		func(a *ebbArm) arm { return a },
		func(a *ebbArm) arm { return &beamArm{ebbArm: a} },
		func(a *ebbArm) arm { return textArm{a} },
	} {
		if len(arms) == 2 && !text {
			break
		}
		a, err := openEbb(label, o, at.setting, with)
		if err != nil {
			return nil, 0, err
		}
		arms = append(arms, of(a))
		if each, err = a.rowBytes(at.setting); err != nil {
			return nil, 0, err
		}
	}
	if rows, err = measure(ctx, arms, at, o.Pace); err != nil {
		return nil, 0, err
	}
	for i := range rows[1:] {
		rows[1+i].Tokens = beamCount
	}
	return rows, each, nil
}

// stepScore is one row's steps a second divided by another's.
func stepScore(row, by Row, target float64) Score {
	s := speedScore(row, by, target)
	s.Name += ", steps/s"
	return s
}

// tokenScore is one row's tokens a second divided by another's.
func tokenScore(row, by Row, target float64) Score {
	s := speedScore(row, by, target)
	s.Name += ", tokens/s"
	s.Value = row.Speed() / by.Speed()
	return s
}

// beamArm takes a token of each beam in a step. Beams are forks of its sequence,
// which does not grow itself.
type beamArm struct {
	*ebbArm
	beams []*kv.Seq
	steps int // since they were forked
	works []kv.Work
}

func (a *beamArm) name() string { return fmt.Sprintf("%s, %d beams", a.label, beamCount) }

func (a *beamArm) rewind(ctx context.Context, depth int) error {
	if err := a.drop(); err != nil {
		return err
	}
	if err := a.ebbArm.rewind(ctx, depth); err != nil {
		return err
	}
	for range beamCount {
		fork, err := a.seq.Fork()
		if err != nil {
			return err
		}
		a.beams = append(a.beams, fork)
	}
	a.steps = 0
	return nil
}

// step appends one token to each beam, and reorders now and then.
func (a *beamArm) step(ctx context.Context, _ int) error {
	a.ids = tokens(a.ids, a.beams[0].Len(), beamCount, a.engine.Config().Vocab)
	a.works = a.works[:0]
	for i, b := range a.beams {
		a.works = append(a.works, kv.Work{Seq: b, Tokens: a.ids[i : i+1], Logits: 1})
	}
	logits, err := a.engine.ForwardInto(ctx, a.works, a.logits)
	if err != nil {
		return err
	}
	a.logits = logits
	if a.steps++; a.steps%reorderSteps != 0 {
		return nil
	}
	return a.reorder(a.steps / reorderSteps % beamCount)
}

// reorder drops a beam, and goes on with the next one twice.
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

func (a *beamArm) Close() error { return errors.Join(a.drop(), a.ebbArm.Close()) }

// textArm takes as many tokens of one text in a step as there are beams, with
// the logits of each.
type textArm struct{ *ebbArm }

func (a textArm) name() string { return fmt.Sprintf("%s, %d tokens of one text", a.label, beamCount) }

func (a textArm) step(ctx context.Context, _ int) error { return a.forward(ctx, beamCount, beamCount) }
