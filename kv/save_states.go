package kv

import (
	"context"
	"fmt"

	"github.com/seed4d217819/ebb/tier"
)

// savedState is a state of a sequence that is saved: in a place, or in the tiers of a snapshot, which
// nobody gives up meanwhile.
type savedState struct {
	tokens   int // after how many it is
	place    int // nowhere: the snapshot was copied
	snapshot *snapshot
}

// beginSaveStates lists the states of a sequence, and its snapshots.
func (p *Pool) beginSaveStates(s *Seq, all *Saved) (states []savedState) {
	if p.states == nil || all.Computed == 0 {
		return nil
	}
	for _, one := range s.snapshots {
		if one.coming.missed() {
			continue
		}
		one.readers++
		states = append(states, savedState{one.tokens, one.place, one})
		all.Snapshots = append(all.Snapshots, one.tokens)
	}
	if n := len(states); n == 0 || all.Snapshots[n-1] < all.Computed {
		states = append(states, savedState{tokens: all.Computed, place: s.state})
	}
	return states
}

// endStates lets snapshots be given up again.
func (s saved) endStates() {
	for _, one := range s.states {
		if one.snapshot != nil {
			one.snapshot.readers--
		}
	}
}

// saveStates saves the states of a sequence, through a buffer. Places stay as they are meanwhile: only a
// step makes others of them.
func (p *Pool) saveStates(ctx context.Context, s saved, to Sink, buffer []byte) error {
	for i, from := range s.states {
		for number, l := range p.states.layers {
			if err := p.uninterrupted(ctx); err != nil {
				return err
			}
			if err := p.readSaved(ctx, from, l, buffer); err != nil {
				return fmt.Errorf("kv: save the state of layer %d after %d tokens: %w", l, from.tokens, err)
			}
			if err := to.State(i, number, buffer[:4*p.config.shapes[l].State]); err != nil {
				return err
			}
		}
	}
	return nil
}

// readSaved copies the state of a layer to a buffer.
func (p *Pool) readSaved(ctx context.Context, from savedState, layer int, buffer []byte) error {
	shape := p.config.shapes[layer]
	if from.place != nowhere {
		p.states.read(layer, from.place, buffer[:4*shape.State])
		return nil
	}
	device, number := p.snapshots.find(p, layer)
	rows := block{layout: shape.snapshotLayout(), rows: buffer[:shape.StateBytes()], cells: Block}
	return from.snapshot.tiers[device].Fetch(ctx, number, tier.Run{N: Block}, rows)
}
