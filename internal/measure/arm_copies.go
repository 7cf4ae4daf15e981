package measure

import (
	"context"

	"github.com/seed4d217819/ebb/internal/exec"
	"github.com/seed4d217819/ebb/kv"
)

// copiesArm makes all copies of another arm's steps, of the same rows from the same places, and
// computes nothing. No step that makes these copies is faster.
type copiesArm struct {
	of    *Ebb
	label string
}

var _ Arm = (*copiesArm)(nil)

func (a *copiesArm) Name() string { return a.label }

func (a *copiesArm) Rewind(ctx context.Context, depth int) error { return a.of.Rewind(ctx, depth) }

func (a *copiesArm) Step(ctx context.Context, n int) error {
	a.of.ids = Tokens(a.of.ids, a.of.Seq.Len(), n, a.of.Vocab())
	return exec.OfEngine(a.of.Engine).Traverse(ctx, kv.Work{Seq: a.of.Seq, Tokens: a.of.ids})
}

// Close does nothing: the other arm closes the engine.
func (a *copiesArm) Close() error { return nil }
