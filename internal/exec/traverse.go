package exec

import (
	"context"
	"errors"

	"github.com/seed4d217819/ebb/kv"
)

// Traverse appends tokens to a sequence by a step that goes through all layers and computes
// nothing: every copy of the step is made, in the same order, and no copy waits for a computation.
// The rows of the tokens are whatever lay in their cells, so they should be truncated. Benchmarks
// time it: no step that makes the same copies is faster.
func (r *Runner) Traverse(ctx context.Context, w kv.Work) (err error) {
	defer recoverMisuse(&err)
	step, err := r.pool.Begin(ctx, []kv.Work{w})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, step.Close()) }()
	for _, err := range step.Layers(ctx) {
		if err != nil {
			return err
		}
	}
	return step.Commit()
}
