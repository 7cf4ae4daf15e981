package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/bench/families"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/kv"
)

// sequenceCounts are how many sequences are decoded together.
func sequenceCounts() []int { return []int{1, 2, 4, 8} }

// sequences measures tokens of several sequences of a hybrid in one step, where one operation computes the
// states of all, against a step for each.
func (o *Options) sequences(ctx context.Context, with measure.Options, _ measure.Model) (res measure.Result, err error) {
	some, depths := o.Families, o.Depths
	if some == nil {
		some = []string{conversationFamily}
	}
	if depths == nil {
		depths = []int{0}
	}
	found, err := families.Find(some...)
	if err != nil {
		return res, err
	}
	for _, f := range found {
		if err := o.withFamily(with, f, func(with measure.Options, _ measure.Model) error {
			res.Note(fmt.Sprintf("%s: %s; random weights. Sequences share no tokens.", f.Name, f.About()))
			for _, s := range with.Settings() {
				for _, depth := range depths {
					for _, n := range sequenceCounts() {
						if err := together(ctx, with, s, depth, n, &res); err != nil {
							return err
						}
					}
				}
			}
			return nil
		}); err != nil {
			return res, err
		}
	}
	return res, nil
}

// together compares a step of n sequences with n steps.
func together(ctx context.Context, o measure.Options, s measure.Setting, depth, n int, res *measure.Result) (err error) {
	o.Progress(fmt.Sprintf("%d sequences at depth %d, %v", n, depth, s))
	var arms []measure.Arm
	defer func() { err = errors.Join(err, measure.CloseAll(arms)) }()
	for _, one := range []bool{true, false} {
		label := "ebb static, one step"
		if !one {
			label = "ebb static, a step for each sequence"
		}
		e, err := measure.OpenEbb(label, o, s, ebb.Options{Cache: kv.Static, Context: depth + o.Pace.Tokens(), Sequences: n})
		if err != nil {
			return err
		}
		a := &sequencesArm{Ebb: e, together: one, all: []*kv.Seq{e.Seq}}
		arms = append(arms, a)
		for range n - 1 {
			a.all = append(a.all, e.Engine.NewSeq())
		}
	}
	rows, err := measure.Measure(ctx, arms, measure.Point{Workload: "sequences", Setting: s, Depth: depth, Tokens: n}, o.Pace)
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	res.Scores = append(res.Scores, measure.SpeedScore(rows[0], rows[1], 0))
	return nil
}

// sequencesArm decodes several sequences.
type sequencesArm struct {
	*measure.Ebb
	together bool // in one step
	all      []*kv.Seq
	batch    []kv.Work
	logits   [][][]float32
}

func (a *sequencesArm) Rewind(ctx context.Context, depth int) error {
	for _, seq := range a.all {
		a.Seq = seq
		if err := a.Ebb.Rewind(ctx, depth); err != nil {
			return err
		}
	}
	return nil
}

// Step appends a token to each of n sequences.
func (a *sequencesArm) Step(ctx context.Context, _ int) error {
	a.batch = a.batch[:0]
	for i, seq := range a.all {
		a.batch = append(a.batch, kv.Work{Seq: seq, Tokens: []int32{measure.Token(seq.Len()+i, a.Vocab())}, Logits: 1})
	}
	size := 1
	if a.together {
		size = len(a.batch)
	}
	for first := 0; first < len(a.batch); first += size {
		logits, err := a.Engine.ForwardInto(ctx, a.batch[first:first+size], a.logits)
		if err != nil {
			return err
		}
		a.logits = logits
	}
	return nil
}

func (a *sequencesArm) Close() error {
	var errs []error
	for _, seq := range a.all {
		errs = append(errs, seq.Close())
	}
	return errors.Join(append(errs, a.Engine.Close())...)
}
