package kv

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/trace"
)

// States that lie in host memory visit their device layer by layer. A device has one stage for that, with
// as many places as there are: the states that a step reads are copied to the same places there before
// the layer is computed, and those that it has written are copied back. So a state has one number,
// wherever it is, and a step that fails has changed nothing that a sequence holds. These copies are made
// while nothing is computed: a state is small beside the rows of a layer.

// hostStates allocates places in host memory, which the host can address.
func (p *Pool) hostStates(d *device, s Shape, places int) (stateMemory, error) {
	b, err := p.allocHost(d, s.StateBytes()*int64(places), "states")
	if err != nil {
		return stateMemory{}, err
	}
	m := p.placeStates(b, s.placeValues(), places)
	m.off = true
	return m, nil
}

// bytes returns what the places take.
func (m stateMemory) bytes() int64 {
	if m.buffer == nil {
		return 0
	}
	return m.buffer.Size()
}

// statesOff returns the bytes of states in host memory.
func (p *Pool) statesOff() (bytes int64) {
	if p.states == nil {
		return 0
	}
	for _, l := range p.states.layers {
		if m := p.states.memory[l]; m.off {
			bytes += m.bytes()
		}
	}
	return bytes
}

// statesLeave moves the states of a device's layers to host memory. After an error all are where they
// were.
func (p *Pool) statesLeave(d *device, left *departure) error {
	p.finishSnapshots() // they are read from the places that are there
	s, moved := p.states, map[int]stateMemory{}
	for _, l := range s.layers {
		old := s.memory[l]
		if p.placed[l].device != d || old.off || old.places() == 0 {
			continue
		}
		m, err := p.newStateMemory(l, old.places(), true)
		if err != nil {
			for _, m := range moved {
				m.close()
			}
			return allocation(err)
		}
		moved[l] = m
	}
	_ = p.change(func() error { // restored states are placed meanwhile
		for l, m := range moved {
			old := s.memory[l]
			old.T.Get(m.buffer.Bytes()[:old.T.Bytes()], 0)
			old.close()
			s.memory[l] = m
		}
		return nil
	})
	left.visit += len(moved)
	return nil
}

// fitStages gives each device whose states lie in host memory a stage with as many places as there are.
func (p *Pool) fitStages() error {
	places := len(p.states.holders)
	for _, d := range p.devices {
		values := int64(0) // of the largest state that visits the device
		for _, l := range p.states.layers {
			if p.placed[l].device == d && p.states.memory[l].off {
				values = max(values, p.config.shapes[l].placeValues())
			}
		}
		if values == 0 {
			d.closeStage()
			continue
		}
		if d.stage.places() == places && d.stage.T.Ne(0) == values {
			continue
		}
		d.closeStage()
		size := values * 4 * int64(places)
		b, err := p.alloc(d, d.backend.BufferType(), size, ggml.States)
		if err != nil {
			return allocation(fmt.Errorf("kv: %d states of a layer, which visit %s: %w", places, d.backend.Device().Name(), err))
		}
		d.stage = p.placeStates(b, values, places)
	}
	return nil
}

func (d *device) closeStage() {
	d.stage.close()
	d.stage = stateMemory{}
}

// fetchStates brings the states that the step reads in a layer to its device, if they lie in host memory.
func (s *Step) fetchStates(ctx context.Context, layer int) error {
	p := s.pool
	if p.states == nil || !p.states.memory[layer].off {
		return nil
	}
	start, bytes := time.Now(), int64(0)
	for i := range s.works {
		if err := ctx.Err(); err != nil {
			return err
		}
		place := s.works[i].state
		if slices.ContainsFunc(s.works[:i], func(w work) bool { return w.state == place }) {
			continue // a fork shares it
		}
		p.hooks.copying()
		from, to := p.states.memory[layer], p.placed[layer].device.stage
		n := from.T.Nb(1)
		to.T.Set(from.buffer.Bytes()[int64(place)*n:][:n], int64(place)*to.T.Nb(1))
		bytes += n
	}
	p.fetches.Add(1)
	p.fetched.Add(bytes)
	s.visited(layer, trace.Fetch, "fetch states", bytes, start)
	return nil
}

// storeStates takes the states that the step has written in a layer back to host memory, if they lie there.
func (s *Step) storeStates(layer int) {
	p := s.pool
	if p.states == nil || !p.states.memory[layer].off {
		return
	}
	start, bytes := time.Now(), int64(0)
	for i := range s.works {
		for _, place := range s.works[i].states {
			p.hooks.copying()
			from, to := p.placed[layer].device.stage, p.states.memory[layer]
			n := to.T.Nb(1)
			from.T.Get(to.buffer.Bytes()[int64(place)*n:][:n], int64(place)*from.T.Nb(1))
			bytes += n
		}
	}
	p.stored.Add(bytes)
	s.visited(layer, trace.Store, "store states", bytes, start)
}

// visited counts a copy of states, for which the computation has waited.
func (s *Step) visited(layer int, track trace.Track, name string, bytes int64, start time.Time) {
	end := time.Now()
	s.stall += end.Sub(start)
	s.pool.span(s.pool.placed[layer].device, track, name, layer, bytes, start, end)
}
