package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/bench/families"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/trace"
)

// The conversation that is measured: templates drop what a model has thought from the turns before, so
// that the next turn goes on from the end of the prompt, with the answer alone and the next message.
const (
	conversationFamily = "qwen35-9b"
	conversationDepth  = 1024 // tokens of the prompt, if the options name no depths
	thoughtTokens      = 64   // that the next turn drops
	turnTokens         = 256  // of the next turn: the answer before it, and the message
)

// targetSnapshot is the share of its speed that a step keeps while a snapshot of the state before it is
// copied.
const targetSnapshot = 0.98

// conversation measures the first token of a turn with a hybrid, whose state cannot be taken back, and
// what the snapshot costs that it goes back to.
func (o *Options) conversation(ctx context.Context, with measure.Options, _ measure.Model) (res measure.Result, err error) {
	names := o.Families
	if names == nil {
		names = []string{conversationFamily}
	}
	some, err := families.Find(names...)
	if err != nil {
		return res, err
	}
	with.Depths = o.Depths
	if with.Depths == nil {
		with.Depths = []int{conversationDepth}
	}
	for _, f := range some {
		if !f.Hybrid() {
			res.Note(fmt.Sprintf("Without %s: none of its layers carries a state.", f.Name))
			continue
		}
		if err := o.withFamily(with, f, func(with measure.Options, m measure.Model) error {
			res.Note(fmt.Sprintf("%s: %s; random weights. A turn of %d tokens follows a prompt, and drops %d tokens that the model has thought. "+
				"llama.cpp computes the prompt again: libllama cannot go back, and its server's checkpoints are not in the library.",
				f.Name, f.About(), turnTokens, thoughtTokens))
			for _, s := range with.Settings() {
				for _, depth := range with.Depths {
					if err := o.turns(ctx, with, s, depth, &res); err != nil {
						return err
					}
					if err := snapshotCost(ctx, with, s, depth, &res); err != nil {
						return err
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

// turns measures the next turn behind a prompt.
func (o *Options) turns(ctx context.Context, with measure.Options, s measure.Setting, depth int, res *measure.Result) (err error) {
	with.Progress(fmt.Sprintf("conversation behind %d tokens, %v", depth, s))
	var computed atomic.Int64
	count := func(span trace.Span) {
		if span.Track == trace.Step {
			computed.Add(int64(span.Tokens))
		}
	}
	room := depth + thoughtTokens + turnTokens
	e, err := measure.OpenEbb("ebb static", with, s, ebb.Options{Cache: kv.Static, Context: room, Trace: count})
	if err != nil {
		return err
	}
	ours := &turnArm{Ebb: e, depth: depth, computed: &computed}
	arms := []measure.Arm{ours}
	defer func() { err = errors.Join(err, measure.CloseAll(arms)) }()
	of := *o
	of.Options, of.Fill = with, room // all is computed
	peers, notes := of.openPeers(s, room)
	res.Note(notes...)
	for _, p := range peers {
		arms = append(arms, &turnAnew{p, depth})
	}
	rows, err := measure.Measure(ctx, arms, measure.Point{Workload: "conversation", Setting: s, Depth: depth, Tokens: turnTokens}, with.Pace.Prompts())
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	res.Figures = append(res.Figures, measure.Figure{
		Workload: "conversation", Name: fmt.Sprintf("tokens that a turn of %d computes behind %d, ebb", turnTokens, depth), Value: float64(ours.last), Unit: "tokens",
	})
	for i := range peers {
		res.Figures = append(res.Figures, measure.Figure{
			Workload: "conversation", Name: fmt.Sprintf("tokens that a turn of %d computes behind %d, %s", turnTokens, depth, rows[1+i].Arm), Value: float64(depth + turnTokens), Unit: "tokens",
		})
		res.Scores = append(res.Scores, measure.SpeedScore(rows[0], rows[1+i], 0))
	}
	own := measure.SpeedScore(rows[0], rows[0], 1)
	own.Name, own.Value = "ebb static: tokens of the turn / tokens computed", turnTokens/float64(max(1, ours.last))
	res.Scores = append(res.Scores, own)
	return nil
}

// turnArm has a prompt and what the model has thought. Its step is the next turn.
type turnArm struct {
	*measure.Ebb
	depth    int
	computed *atomic.Int64
	last     int64 // tokens that the last turn computed
}

// Rewind ends a prompt, where a snapshot is taken, and adds the thoughts.
func (a *turnArm) Rewind(ctx context.Context, depth int) error {
	if err := a.Ebb.Rewind(ctx, depth); err != nil {
		return err
	}
	return a.Forward(ctx, thoughtTokens, 0)
}

func (a *turnArm) Step(ctx context.Context, n int) error {
	before := a.computed.Load()
	if err := a.Seq.Truncate(a.depth); err != nil {
		return err
	}
	err := a.Ebb.Step(ctx, n)
	a.last = a.computed.Load() - before
	return err
}

// turnAnew is a peer that computes the prompt again with each turn.
type turnAnew struct {
	*peerArm
	depth int
}

func (a *turnAnew) Rewind(ctx context.Context, _ int) error { return a.peerArm.Rewind(ctx, 0) }

func (a *turnAnew) Step(ctx context.Context, n int) error { return a.peerArm.Step(ctx, a.depth+n) }

// snapshotCost compares steps that follow a snapshot each, which is copied meanwhile, with steps that do
// not.
func snapshotCost(ctx context.Context, o measure.Options, s measure.Setting, depth int, res *measure.Result) (err error) {
	o.Progress(fmt.Sprintf("snapshots behind %d tokens, %v", depth, s))
	var arms []measure.Arm
	defer func() { err = errors.Join(err, measure.CloseAll(arms)) }()
	for _, label := range []string{"ebb static", "ebb static, a snapshot before each step"} {
		a, err := measure.OpenEbb(label, o, s, ebb.Options{Cache: kv.Static, Context: depth + o.Pace.Tokens()})
		if err != nil {
			return err
		}
		if len(arms) == 0 {
			arms = append(arms, a)
		} else {
			arms = append(arms, snapshotArm{a})
		}
	}
	rows, err := measure.Measure(ctx, arms, measure.Point{Workload: "conversation", Setting: s, Depth: depth, Tokens: 1}, o.Pace)
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	res.Scores = append(res.Scores, measure.SpeedScore(rows[1], rows[0], targetSnapshot))
	return nil
}

// snapshotArm takes a snapshot before each step.
type snapshotArm struct{ *measure.Ebb }

func (a snapshotArm) Step(ctx context.Context, n int) error {
	if err := a.Seq.SnapshotAt(a.Seq.Len()); err != nil {
		return err
	}
	return a.Ebb.Step(ctx, n)
}
