package kv

import (
	"context"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/bytesize"
)

// Recurrent layers keep no rows. They carry a state of each sequence, which is as large after one token
// as after a million: a step reads the state before its tokens and writes the one after them elsewhere.
// Commit gives the sequence the new one, and Close without Commit drops it, so that a step that fails
// has changed nothing. A fork shares the state until one of both steps.
//
// The states of all sequences lie in one tensor a layer, so that one operation computes several of
// them. Its rows are places: place p of each layer is of the same sequence.

// states are the states of a pool's sequences.
type states struct {
	layers  []int          // those that have states
	tensors []*ggml.Tensor // by layer of the model: [values, places] f32; nil without states, or without places
	buffers []*ggml.Buffer // by device
	meta    *ggml.Context  // nil without places
	id      uint64         // of the tensors: no other tensors ever have it
	holders []int32        // by place: how many sequences, and the open step, hold it
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
	s := &states{tensors: make([]*ggml.Tensor, len(shapes))}
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
		t := s.tensors[l]
		t.Memset(0, int64(place)*t.Nb(1), t.Nb(1))
	}
}

// bytes returns how much memory the places take.
func (s *states) bytes() (n int64) {
	for _, b := range s.buffers {
		if b != nil {
			n += b.Size()
		}
	}
	return n
}

// close frees the memory, which nobody holds.
func (s *states) close() {
	for _, b := range s.buffers {
		if b != nil {
			b.Close()
		}
	}
	if s.meta != nil {
		s.meta.Close()
	}
	s.buffers, s.meta, s.holders = nil, nil, nil
	clear(s.tensors)
}

// roomForStates makes sure that some places are free: there are more, and what the others hold moves.
// After an error everything is as before.
func (p *Pool) roomForStates(need int) error {
	s := p.states
	if s == nil || s.free() >= need {
		return nil
	}
	places := len(s.holders) + need - s.free()
	if err := p.affordStates(places); err != nil {
		return err
	}
	grown := newStates(p.config.shapes)
	if err := p.allocateStates(grown, places); err != nil {
		grown.close()
		return allocation(fmt.Errorf("kv: the states of %d sequences in %d recurrent layers: %w", places, len(s.layers), err))
	}
	copy(grown.holders, s.holders)
	if len(s.holders) > 0 {
		if err := p.copyStates(s, grown); err != nil {
			grown.close()
			return allocation(fmt.Errorf("kv: moving the states of %d sequences: %w", len(s.holders), err))
		}
	}
	s.close()
	p.states = grown
	return nil
}

// affordStates reports whether the devices' memory suffices for so many places.
func (p *Pool) affordStates(places int) error {
	for n, d := range p.devices {
		memory := p.config.devices[n].memory
		more := p.stateBytes(d) * int64(places-len(p.states.holders))
		if free := memory - p.taken(d); memory > 0 && more > max(0, free) {
			return noMemory("kv: the states of %d sequences need %s of device memory more, and %s are left: take fewer sequences at a time, or allow K/V more",
				places, bytesize.Ceil(more), bytesize.Floor(max(0, free)))
		}
	}
	return nil
}

// stateBytes returns what one place takes in all layers of a device.
func (p *Pool) stateBytes(d *device) (n int64) {
	for _, l := range p.states.layers {
		if p.placed[l].device == d {
			n += p.config.shapes[l].StateBytes()
		}
	}
	return n
}

// allocateStates gives states their memory. After an error some of it is there.
func (p *Pool) allocateStates(s *states, places int) error {
	s.id, s.meta, s.holders = p.nextID.Add(1), ggml.NewContext(len(s.layers)), make([]int32, places)
	s.buffers = make([]*ggml.Buffer, len(p.devices))
	offsets := make([]int64, len(p.devices))
	for n, d := range p.devices {
		size := p.stateBytes(d) * int64(places)
		if size == 0 {
			continue
		}
		b, err := p.alloc(d, d.backend.BufferType(), size, ggml.States)
		if err != nil {
			return asRefusal(d, size, err)
		}
		s.buffers[n] = b
	}
	for _, l := range s.layers {
		n := p.placed[l].device.number
		s.tensors[l] = s.meta.New(ggml.F32, p.config.shapes[l].placeValues(), int64(places))
		s.buffers[n].Place(s.tensors[l], offsets[n])
		offsets[n] += s.tensors[l].Bytes()
	}
	return nil
}

// copyStates copies the states in all places of one memory to the same places of another.
func (p *Pool) copyStates(from, to *states) error {
	for _, l := range from.layers {
		a, b := from.tensors[l], to.tensors[l]
		buffer, err := p.hostBuffer(p.placed[l].device, a.Bytes())
		if err != nil {
			return err
		}
		a.Get(buffer.Bytes(), 0)
		b.Set(buffer.Bytes(), 0)
		buffer.Close()
	}
	return nil
}

// makeRoomForStates takes memory for the states that the step writes.
func (s *Step) makeRoomForStates(context.Context) error {
	if s.pool.states == nil {
		return nil
	}
	need := 0
	for i := range s.works {
		s.works[i].Seq.dropDrafts() // it goes on, so nobody goes back to them
		need += 1 + s.works[i].Drafts
	}
	return s.pool.roomForStates(need)
}

// takeStates gives each work the places that its states are written to: after its last token, after the
// one before it, and so on, as many as the sequence may be truncated to. A sequence without tokens
// begins with zeros.
func (s *Step) takeStates() {
	all := s.pool.states
	if all == nil {
		return
	}
	for i := range s.works {
		w := &s.works[i]
		w.states = w.states[:0]
		for range 1 + w.Drafts {
			w.states = append(w.states, all.take())
		}
		w.state = w.Seq.state
		if w.state == nowhere {
			w.state = w.states[0]
			all.zero(w.state)
		}
	}
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

// rewind makes the state that of n tokens, or of fewer if that is not kept, and returns of how many.
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
	return 0
}
