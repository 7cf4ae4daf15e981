package kv

import (
	"context"
	"fmt"
	"time"

	"github.com/seed4d217819/ebb/trace"
)

// What a tree, a step and the pool see of a restore.

// wait waits until the rows that the tree is restored with are there in all layers.
func (t *tree) wait(ctx context.Context) error {
	if r := t.restoring.Load(); r != nil {
		return r.wait(ctx)
	}
	return nil
}

// untilRestored waits until nothing is placed in the tree any more, whether or not all rows have come.
// Nobody moves the rows of a layer before.
func (t *tree) untilRestored(ctx context.Context) error {
	r := t.restoring.Load()
	if r == nil {
		return nil
	}
	select {
	case <-r.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forgetRestore forgets a restore that has ended well.
func (t *tree) forgetRestore() {
	r := t.restoring.Load()
	if r == nil || r.failure() != nil {
		return
	}
	select {
	case <-r.ended:
		t.forget(r)
	default:
	}
}

// forget forgets a restore that has ended.
func (t *tree) forget(r *restoring) {
	r.state.give()
	t.restoring.Store(nil)
}

// awaitRestored waits until the restored rows of a layer are there.
func (t *tree) awaitRestored(ctx context.Context, layer int) error {
	if r := t.restoring.Load(); r != nil {
		return r.await(ctx, layer)
	}
	return nil
}

// lost returns why rows of the tree are lost, or nil.
func (t *tree) lost() error {
	if t.broken != nil {
		return t.broken
	}
	if r := t.restoring.Load(); r != nil {
		return r.failure()
	}
	return nil
}

// endRestore ends the restore of a tree that is given up, and waits for that.
func (t *tree) endRestore() {
	if r := t.restoring.Load(); r != nil {
		r.fail(fmt.Errorf("kv: restore: %w: the sequence", ErrClosed))
		<-r.ended
		t.forget(r)
	}
}

// change changes tiers, or cells that no sequence holds, while no restored row is placed anywhere.
func (p *Pool) change(f func() error) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	return f()
}

// awaitRestored waits until the restored rows of a tree of the step are there in a layer. The time
// counts as stall.
func (s *Step) awaitRestored(ctx context.Context, tree, layer int) error {
	r := s.trees[tree].restoring.Load()
	if r == nil {
		return nil
	}
	start := time.Now()
	err := r.await(ctx, layer)
	waited := time.Since(start)
	s.stall += waited
	if waited > atOnce {
		s.pool.span(s.pool.placed[layer].device, trace.Compute, "wait", layer, 0, start, start.Add(waited))
	}
	return err
}
