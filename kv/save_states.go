package kv

import (
	"context"
	"errors"

	"github.com/seed4d217819/ebb/tier"
)

// savedState is a state of a sequence that is saved: that with which it goes on, or a snapshot, which
// nobody gives up meanwhile.
type savedState struct {
	tokens   int // after how many it is
	place    int // of the state; nowhere: it is the snapshot's
	snapshot *snapshot
}

// beginSaveStates lists the states of a sequence, and its snapshots.
func (p *Pool) beginSaveStates(s *Seq, o SaveOptions, all *saved) {
	if p.states == nil || all.Computed == 0 {
		return
	}
	for _, one := range s.snapshots {
		if one.coming.missed() || o.Snapshot != nil && !o.Snapshot(one.tokens) {
			continue
		}
		all.states = append(all.states, savedState{one.tokens, nowhere, one})
		all.Snapshots = append(all.Snapshots, one.tokens)
	}
	if n := len(all.Snapshots); n == 0 || all.Snapshots[n-1] < all.Computed {
		last := savedState{tokens: all.Computed, place: s.state}
		if s.state == nowhere { // it begins with a snapshot that is not saved as one
			last.snapshot = s.snapshots[len(s.snapshots)-1]
		}
		all.states = append(all.states, last)
	}
	for i, from := range all.states {
		if from.snapshot != nil {
			from.snapshot.readers++
		}
		for number, l := range p.states.layers {
			all.portions = append(all.portions, portion{layer: l, number: number, of: i, state: true, bytes: p.config.shapes[l].StateBytes()})
		}
	}
}

// endStates lets snapshots be given up again.
func (s *saved) endStates(p *Pool) {
	for _, from := range s.states {
		if one := from.snapshot; one != nil {
			one.readers--
			p.leavePlace(one)
		}
	}
}

// readSaved copies the state of a layer to a buffer. The turn is held: only a step makes other states of
// places. A snapshot may have been copied to its tiers meanwhile.
func (p *Pool) readSaved(ctx context.Context, from savedState, layer int, buffer []byte) error {
	shape, place := p.config.shapes[layer], from.place
	if from.snapshot != nil {
		place = from.snapshot.place
	}
	switch {
	case place != nowhere:
		p.states.read(layer, place, buffer[:4*shape.State])
		return ctx.Err()
	case from.snapshot.tiers == nil:
		return errors.New("it could not be read")
	}
	device, number := p.snapshots.find(p, layer)
	rows := block{layout: shape.snapshotLayout(), rows: buffer[:shape.StateBytes()], cells: Block}
	return from.snapshot.tiers[device].Fetch(ctx, number, tier.Run{N: Block}, rows)
}
