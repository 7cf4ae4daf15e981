package kv

import (
	"context"
	"errors"
	"slices"

	"github.com/seed4d217819/ebb/plan"
)

// restoredState is the state that a restored sequence begins with. Its layers come with the rows of the
// others, in the order of computation. The restore holds the place, too, so that nobody has it as long as
// something may be written there: the sequence may have gone on, or back.
type restoredState struct {
	pool   *Pool
	place  int
	tokens int // after how many tokens it is
	number int // in the source
}

// stateIn returns the last state of a source at or before n tokens: after how many tokens it is, and its
// number. 0: there is none.
func stateIn(from Source, n int) (tokens, number int) {
	s, ok := from.(StateSource)
	if !ok {
		return 0, 0
	}
	computed, snapshots := s.States()
	if computed <= n {
		snapshots = append(slices.Clone(snapshots), computed) // a snapshot of them comes first
	}
	for i, at := range snapshots {
		if at > tokens && at <= n {
			tokens, number = at, i
		}
	}
	return tokens, number
}

// takeRestored gives a new sequence of n tokens a place for the state that is restored, if need be by
// making more: one for the first step, too, if there is memory for both.
func (p *Pool) takeRestored(ctx context.Context, s *Seq, n int) error {
	all := p.states
	if all.free() == 0 {
		places := len(all.holders)
		err := p.moreStates(places + plan.SequenceStates)
		if err != nil && p.config.policy.adapts() && errors.Is(err, ErrNoMemory) {
			err = p.settleForStates(ctx, places+plan.SequenceStates, []demand{{tree: s.tree, cells: n, past: s.tree.room}}, err)
		}
		if err != nil && (!errors.Is(err, ErrNoMemory) || s.tree.regions == nil || p.moreStates(places+1) != nil) {
			return err
		}
	}
	s.state = all.take()
	return nil
}

// restoredState returns the state that a new sequence begins with.
func (p *Pool) restoredState(s *Seq, tokens, number int) *restoredState {
	p.states.hold(s.state)
	return &restoredState{pool: p, place: s.state, tokens: tokens, number: number}
}

// give gives the place back, when nothing is written there any more.
func (s *restoredState) give() {
	if s != nil {
		s.pool.states.give(s.place)
	}
}

// bringState reads the state of a layer, if somebody still wants it, and places it.
func (r *restoring) bringState(ctx context.Context, i item, buffer []byte) error {
	if int(r.wanted.Load()) < r.state.tokens {
		return nil // the sequence and its forks have gone back
	}
	state, err := r.source.(StateSource).State(ctx, r.state.number, i.number, buffer)
	if err != nil {
		return err
	}
	return r.place(len(state), func() error {
		r.state.pool.states.write(i.layer, r.state.place, state)
		return ctx.Err()
	})
}

// awaitState waits until the state is there that the sequence begins with.
func (r *restoring) awaitState(ctx context.Context) error {
	for i, one := range r.items {
		if !one.isState() || one.coming != nil {
			continue
		}
		if err := r.awaitItem(ctx, i); err != nil {
			return err
		}
	}
	return nil
}
