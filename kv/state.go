package kv

import (
	"context"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
)

// Recurrent layers keep no rows. They carry a state of each sequence, which is as large after one token
// as after a million: a step reads the state before its tokens and writes the one after them elsewhere.
// Commit gives the sequence the new one, and Close without Commit drops it, so that a step that fails
// has changed nothing. A fork shares the state until one of both steps.
//
// The states of all sequences lie in one tensor a layer, so that one operation computes several of
// them. Its rows are places: place p of each layer is of the same sequence. state_memory.go gives the
// places their memory.

// states are the states of a pool's sequences.
type states struct {
	layers  []int         // those that have states
	memory  []stateMemory // by layer of the model
	holders []int32       // by place: how many sequences, and the open step, hold it
	idle    int           // steps in a row that have needed less than half of the places
	denied  int           // so many places were refused; 0: none were
}

// States are a layer's states where the layer computes.
type States struct {
	ID uint64       // no other states ever have it
	T  *ggml.Tensor // [values, places] f32: Shape.State values in each place, and padding behind them
}

// stateAlign is the number of f32 values of which the size of a place is a multiple, so that a view of it
// is aligned for every device.
const stateAlign = 64

// placeValues returns how many f32 values a place takes.
func (s Shape) placeValues() int64 {
	return int64((s.State + stateAlign - 1) / stateAlign * stateAlign)
}

// StateBytes returns what the state of one sequence takes, with its padding.
func (s Shape) StateBytes() int64 { return s.placeValues() * 4 }

// newStates returns the states of layers of these shapes, without any place; nil: no layer has states.
func newStates(shapes []Shape) *states {
	s := &states{memory: make([]stateMemory, len(shapes))}
	for l := range shapes {
		if shapes[l].State > 0 {
			s.layers = append(s.layers, l)
		}
	}
	if s.layers == nil {
		return nil
	}
	return s
}

// hold counts one more holder of a place.
func (s *states) hold(place int) {
	if place != nowhere {
		s.holders[place]++
	}
}

// give counts one holder less. A place without a holder is free.
func (s *states) give(place int) {
	if place == nowhere {
		return
	}
	s.holders[place]--
	if s.holders[place] < 0 {
		panic(fmt.Sprintf("kv: the state in place %d was given back twice", place))
	}
}

// take returns a free place, of which there must be one, with one holder.
func (s *states) take() int {
	place := slices.Index(s.holders, 0)
	s.holders[place] = 1
	return place
}

// free returns how many places have no holder.
func (s *states) free() (n int) {
	for _, h := range s.holders {
		if h == 0 {
			n++
		}
	}
	return n
}

// zero makes the states in a place those of no tokens.
func (s *states) zero(place int) {
	for _, l := range s.layers {
		t := s.memory[l].T
		t.Memset(0, int64(place)*t.Nb(1), t.Nb(1))
	}
}

// read copies the state of a layer out of a place.
func (s *states) read(layer, place int, state []byte) {
	t := s.memory[layer].T
	t.Get(state, int64(place)*t.Nb(1))
}

// write copies the state of a layer to a place.
func (s *states) write(layer, place int, state []byte) {
	t := s.memory[layer].T
	t.Set(state, int64(place)*t.Nb(1))
}

// takeStates gives each work the places that its states are written to: after its last token, after the
// one before it, and so on, as many as the sequence may be truncated to. A sequence that has no state
// there begins with zeros, or a snapshot, which is read.
func (s *Step) takeStates(ctx context.Context) error {
	all := s.pool.states
	if all == nil {
		return nil
	}
	for i := range s.works {
		s.works[i].Seq.dropDrafts() // it goes on, so nobody goes back to them
	}
	for i := range s.works {
		w := &s.works[i]
		for range 1 + w.Drafts {
			w.states = append(w.states, all.take())
		}
		w.state = w.Seq.state
		if w.state == nowhere {
			w.state = w.states[0]
			if err := w.Seq.readState(ctx, w.state); err != nil {
				return err
			}
		}
	}
	return nil
}

// giveStates drops what the step has written.
func (s *Step) giveStates() {
	if s.pool.states == nil {
		return
	}
	for i := range s.works {
		for _, place := range s.works[i].states {
			s.pool.states.give(place)
		}
	}
}

// keepStates gives a sequence the states that a work has written.
func (s *Step) keepStates(w *work) {
	if s.pool.states == nil {
		return
	}
	w.Seq.dropStates()
	w.Seq.state = w.states[0]
	for back, place := range w.states[1:] {
		w.Seq.drafts = append(w.Seq.drafts, kept{tokens: len(w.Seq.tokens) - 1 - back, place: place})
	}
}

// kept is a state of a sequence as it was when it had fewer tokens.
type kept struct{ tokens, place int }

// dropStates gives back all states of the sequence.
func (s *Seq) dropStates() {
	all := s.pool.states
	if all == nil {
		return
	}
	all.give(s.state)
	s.state = nowhere
	s.dropDrafts()
}

// dropDrafts gives back the states that were kept for drafted tokens.
func (s *Seq) dropDrafts() {
	for _, k := range s.drafts {
		s.pool.states.give(k.place)
	}
	s.drafts = s.drafts[:0]
}

// shareStates gives a fork the sequence's state.
func (s *Seq) shareStates(fork *Seq) {
	fork.state = s.state
	if s.pool.states != nil {
		s.pool.states.hold(s.state)
	}
}

// rewind makes the state that of n tokens, or of the nearest snapshot with fewer if that is not kept, and
// returns of how many.
func (s *Seq) rewind(n int) int {
	if s.pool.states == nil || n == len(s.tokens) {
		return n
	}
	for i, k := range s.drafts {
		if k.tokens == n {
			s.pool.states.give(s.state)
			s.state = k.place
			s.drafts = slices.Delete(s.drafts, i, i+1)
			s.drafts = slices.DeleteFunc(s.drafts, func(k kept) bool {
				if k.tokens > n {
					s.pool.states.give(k.place)
				}
				return k.tokens > n
			})
			return n
		}
	}
	s.dropStates()
	return s.toSnapshot()
}
