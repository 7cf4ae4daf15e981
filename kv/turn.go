package kv

import (
	"context"
	"fmt"
	"sync"
)

// Turn waits until no step is open, and lets none begin until done is called: what computes beside
// steps on their devices has the turn meanwhile. done may be called twice.
func (p *Pool) Turn(ctx context.Context) (done func(), err error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	done = sync.OnceFunc(func() { <-p.turn })
	p.mu.Lock()
	defer p.mu.Unlock()
	if err = ctx.Err(); err == nil && p.closed {
		err = fmt.Errorf("%w: the pool", ErrClosed)
	}
	if err != nil {
		done()
		return nil, err
	}
	return done, nil
}
