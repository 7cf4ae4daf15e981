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

// sequenceCounts are how many sequences are decoded together if the options name no numbers.
func sequenceCounts() []int { return []int{1, 2, 4, manySequences} }

// targetSequences is the share of another engine's speed that manySequences together should reach.
const (
	targetSequences = 1.5
	manySequences   = 8
)

// sequences measures tokens of several sequences in one step, where one operation computes the states of
// all those of a hybrid, against a step for each, and against another engine.
func (o *Options) sequences(ctx context.Context, with measure.Options, _ measure.Model) (res measure.Result, err error) {
	some, depths, counts := o.Families, o.Depths, o.Sequences
	if counts == nil {
		counts = sequenceCounts()
	}
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
			name := "sequences"
			if len(found) > 1 {
				name = f.Name + "-sequences"
			}
			for _, s := range with.Settings() {
				for _, depth := range depths {
					for _, n := range counts {
						if err := o.together(ctx, with, measure.Point{Workload: name, Setting: s, Depth: depth, Tokens: n}, &res); err != nil {
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
func (o *Options) together(ctx context.Context, with measure.Options, at measure.Point, res *measure.Result) (err error) {
	n := at.Tokens
	with.Progress(fmt.Sprintf("%s: %d at depth %d, %v", at.Workload, n, at.Depth, at.Setting))
	var arms []measure.Arm
	defer func() { err = errors.Join(err, measure.CloseAll(arms)) }()
	options := ebb.Options{Cache: kv.Static, Context: at.Depth + with.Pace.Tokens(), Sequences: n}
	ours, err := measure.OpenISAs("ebb static, one step", with, at.Setting, options)
	if err != nil {
		return err
	}
	for _, e := range ours {
		arms = append(arms, sequencesOf(e, n, true))
	}
	if len(with.ISAs) == 0 {
		e, err := measure.OpenEbb("ebb static, a step for each sequence", with, at.Setting, options)
		if err != nil {
			return err
		}
		ours = append(ours, e)
		arms = append(arms, sequencesOf(e, n, false))
	}
	if o.PeerBench != "" {
		peer, note := o.withModel(with).openBatched(at.Setting)
		if note == "" {
			arms = append(arms, peer)
		} else {
			res.Note(note)
		}
	}
	rows, err := measure.Measure(ctx, arms, at, with.Pace)
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	var t targets
	if n == manySequences {
		t.peer = targetSequences
	}
	res.Scores = append(res.Scores, scoresOf(rows, len(ours), t)...)
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

// sequencesOf returns an arm that decodes n sequences.
func sequencesOf(e *measure.Ebb, n int, together bool) *sequencesArm {
	a := &sequencesArm{Ebb: e, together: together, all: []*kv.Seq{e.Seq}}
	for range n - 1 {
		a.all = append(a.all, e.Engine.NewSeq())
	}
	return a
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
