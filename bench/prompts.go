package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/bench/families"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/kv"
)

// The shares of the speed of another engine, and of ggml's products, that ebb should reach with steps
// of some tokens.
const (
	targetPrompt      = 1.2 // prompts of longPrompt tokens and more, against the fastest peer
	targetShortPrompt = 1.1 // shorter prompts
	longPrompt        = 512
	targetCurve       = 0.98 // steps of 1 to 64 tokens, against each instruction set named behind the first
)

// promptSizes are the tokens of prompts where the options name none.
func promptSizes() []int { return []int{16, 64, longPrompt, 4096} }

// curveSizes are the tokens of the steps of the curve.
func curveSizes() []int { return []int{1, 2, 4, 8, 12, 16, 24, 32, 48, 64} }

// prompts measures prompts, each of which is the first of its sequence.
func (o *Options) prompts(ctx context.Context, with measure.Options, _ measure.Model) (res measure.Result, err error) {
	sizes := o.Prompts
	if sizes == nil {
		sizes = promptSizes()
	}
	return o.sizes(ctx, with, "prompts", sizes, func(n int) targets {
		if n < longPrompt {
			return targets{peer: targetShortPrompt}
		}
		return targets{peer: targetPrompt}
	})
}

// curve measures steps of few tokens behind none, where products of few tokens give way to products of
// many.
func (o *Options) curve(ctx context.Context, with measure.Options, _ measure.Model) (res measure.Result, err error) {
	return o.sizes(ctx, with, "curve", curveSizes(), func(int) targets { return targets{set: targetCurve} })
}

// targets are the shares of other arms' speed that the first arm should reach; 0: none.
type targets struct {
	peer float64 // of the fastest peer
	set  float64 // of ebb with each of the other instruction sets
}

// sizes measures steps of each of several sizes, of each model.
func (o *Options) sizes(ctx context.Context, with measure.Options, workload string, sizes []int, at func(n int) targets) (res measure.Result, err error) {
	err = o.each(with, &res, func(with measure.Options, m measure.Model, family string) error {
		name := workload
		if family != "" {
			name = family + "-" + workload
		}
		for _, s := range with.Settings() {
			if err := o.sizesIn(ctx, with, s, name, measure.UpTo(m.Context, sizes...), at, &res); err != nil {
				return err
			}
		}
		return nil
	})
	return res, err
}

// each has the models of the families measured that the options name, or the model that they name, or
// else that of a family whose files differ in nothing but the type of their weights.
func (o *Options) each(with measure.Options, res *measure.Result, run func(with measure.Options, m measure.Model, family string) error) error {
	if o.Families == nil && o.Model != "" {
		m, err := measure.ReadModel(o.Model)
		if err != nil {
			return err
		}
		return run(with, m, "")
	}
	names := o.Families
	if names == nil {
		names = families.WholeNames()
	}
	some, err := families.Find(names...)
	if err != nil {
		return err
	}
	for _, f := range some {
		if err := o.withFamily(with, f, func(with measure.Options, m measure.Model) error {
			res.Note(fmt.Sprintf("%s: %s; random weights, %.3g GB.", f.Name, f.About(), float64(m.Weights)/1e9))
			return run(with, m, f.Name)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) sizesIn(ctx context.Context, with measure.Options, s measure.Setting, workload string, sizes []int, at func(n int) targets, res *measure.Result) (err error) {
	if len(sizes) == 0 {
		return nil
	}
	room := slices.Max(sizes)
	ours, err := measure.OpenISAs("ebb static", with, s, ebb.Options{Cache: kv.Static, Context: room})
	if err != nil {
		return err
	}
	arms := []measure.Arm{}
	defer func() { err = errors.Join(err, measure.CloseAll(arms)) }()
	for _, a := range ours {
		arms = append(arms, &anewArm{Arm: a})
	}
	peers, notes := o.withModel(with).openAll(s, room)
	res.Note(notes...)
	for _, p := range peers {
		if _, own := p.Arm.(measure.Timed); own {
			arms = append(arms, p.Arm)
			continue
		}
		arms = append(arms, &anewArm{Arm: p.Arm})
	}
	curve := measure.Curve{
		Name: fmt.Sprintf("%s-%s-%d", workload, s.KVType, s.Threads), Title: fmt.Sprintf("%s, %v", workload, s),
		X: "tokens of a step", Y: "tokens/s",
	}
	for _, n := range sizes {
		with.Progress(fmt.Sprintf("%s: %d tokens, %v", workload, n, s))
		rows, err := measure.Measure(ctx, arms, measure.Point{Workload: workload, Setting: s, Tokens: n}, paceOf(with.Pace, n))
		if err != nil {
			return err
		}
		res.Rows = append(res.Rows, rows...)
		res.Scores = append(res.Scores, scoresOf(rows, len(ours), at(n))...)
		for _, row := range rows {
			curve.Add(row.Arm, false, measure.XY{X: float64(n), Y: row.Speed()})
		}
	}
	res.Curves = append(res.Curves, curve)
	return nil
}

// scoresOf scores the first of ebb's rows against its others, and each of them against the fastest
// peer.
func scoresOf(rows []measure.Row, ours int, t targets) (scores []measure.Score) {
	for _, other := range rows[1:ours] {
		scores = append(scores, measure.SpeedScore(rows[0], other, t.set))
	}
	if len(rows) == ours {
		return scores
	}
	fastest := slices.MinFunc(rows[ours:], func(a, b measure.Row) int { return cmp.Compare(a.P25, b.P25) })
	for i, row := range rows[:ours] {
		target := 0.0
		if i == 0 {
			target = t.peer
		}
		scores = append(scores, measure.SpeedScore(row, fastest, target))
	}
	return scores
}

// paceOf returns the pace of steps of n tokens: the longer they are the fewer, and the first of a turn
// only wakes the threads, unless it takes seconds.
func paceOf(p measure.Pace, n int) measure.Pace {
	const tokens = 1024 // of a turn
	p.WarmUpSteps = min(p.WarmUpSteps, 1)
	p.Steps = max(1, min(p.Steps, tokens/n))
	if n > tokens {
		return measure.Pace{Rounds: (p.Rounds + 1) / 2, Steps: 1}
	}
	return p
}

// anewArm takes each step where its turn began.
type anewArm struct {
	measure.Arm
	depth int
}

func (a *anewArm) Rewind(ctx context.Context, depth int) error {
	a.depth = depth
	return a.Arm.Rewind(ctx, depth)
}

func (a *anewArm) Step(ctx context.Context, n int) error {
	if err := a.Arm.Rewind(ctx, a.depth); err != nil {
		return err
	}
	return a.Arm.Step(ctx, n)
}
