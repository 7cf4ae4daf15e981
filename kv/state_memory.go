package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/plan"
)

// The memory of states: a buffer a layer, on the device that computes the layer, with as many places in
// each. There are as many places as the sequences of a step need, so that later steps of the same
// sequences take no memory; package plan counts them for one sequence a tree. More are taken when a step
// has more sequences, layer by layer like the rows of a tree that grows.
//
// Where not even the states fit beside what must stay, they lie in host memory, and state_visit.go brings
// those of a step to its device.

// stateMemory is the places of one layer.
type stateMemory struct {
	States
	off    bool          // they lie in host memory
	meta   *ggml.Context // nil: there are none
	buffer *ggml.Buffer
}

// places returns how many there are.
func (m stateMemory) places() int {
	if m.meta == nil {
		return 0
	}
	return int(m.T.Ne(1))
}

func (m stateMemory) close() {
	if m.meta != nil {
		m.meta.Close()
		m.buffer.Close()
	}
}

// newStateMemory allocates places of a layer, on its device or in host memory.
func (p *Pool) newStateMemory(l, places int, off bool) (stateMemory, error) {
	d, s := p.placed[l].device, p.config.shapes[l]
	if off {
		return p.hostStates(d, s, places)
	}
	size := s.StateBytes() * int64(places)
	b, err := p.alloc(d, d.backend.BufferType(), size, ggml.States)
	if err != nil {
		return stateMemory{}, asRefusal(d, size, err)
	}
	return p.placeStates(b, s.placeValues(), places), nil
}

// placeStates makes a buffer the memory of places of some values.
func (p *Pool) placeStates(b *ggml.Buffer, values int64, places int) stateMemory {
	m := stateMemory{States: States{ID: p.nextID.Add(1)}, meta: ggml.NewContext(1), buffer: b}
	m.T = m.meta.New(ggml.F32, values, int64(places))
	b.Place(m.T, 0)
	if p.config.policy.fixed() {
		b.UseHugePages()
		b.Clear()
	}
	return m
}

// resizeStates gives the layers so many places, one layer after the other. After an error some layers
// have them and the others have what they had: no state is lost.
func (p *Pool) resizeStates(places int) error {
	s := p.states
	p.finishSnapshots() // they are read from the places that are there

	defer func() { // as many as all layers have, and held ones are never among those that go
		least := places
		for _, l := range s.layers {
			least = min(least, s.memory[l].places())
		}
		s.holders = append(s.holders, make([]int32, max(0, least-len(s.holders)))...)[:max(least, s.lastHeld()+1)]
	}()
	for _, l := range s.layers {
		old := s.memory[l]
		if old.places() == places {
			continue
		}
		m, err := p.newStateMemory(l, places, p.placed[l].device.placement.StatesOff > 0)
		if err == nil {
			err = p.change(func() error { // restored states are placed meanwhile
				if err := p.copyStates(p.placed[l].device, old, m); err != nil {
					m.close()
					return err
				}
				old.close()
				s.memory[l] = m
				return nil
			})
		}
		if err != nil {
			return fmt.Errorf("kv: layer %d of %d states: %w", l, places, err)
		}
	}
	return nil
}

// copyStates copies the states that both memories have room for.
func (p *Pool) copyStates(d *device, from, to stateMemory) error {
	bytes := int64(min(from.places(), to.places()))
	if bytes == 0 {
		return nil
	}
	bytes *= from.T.Nb(1)
	if memory := from.buffer.Bytes(); memory != nil {
		to.T.Set(memory[:bytes], 0)
		return nil
	}
	buffer, err := p.hostBuffer(d, bytes)
	if err != nil {
		return err
	}
	defer buffer.Close()
	from.T.Get(buffer.Bytes()[:bytes], 0)
	to.T.Set(buffer.Bytes()[:bytes], 0)
	return nil
}

// lastHeld returns the last place that has a holder; nowhere without any.
func (s *states) lastHeld() int {
	for place, holders := range slices.Backward(s.holders) {
		if holders > 0 {
			return place
		}
	}
	return nowhere
}

// closeStates frees the memory, which nobody holds.
func (p *Pool) closeStates() {
	s := p.states
	if s == nil {
		return
	}
	p.finishSnapshots() // those that nobody holds may still be read
	for _, l := range s.layers {
		s.memory[l].close()
		s.memory[l] = stateMemory{}
	}
	for _, d := range p.devices {
		d.closeStage()
	}
	s.holders, s.idle, s.denied = nil, 0, 0
}

// restStates frees the memory if there is no sequence, unless the policy takes it once.
func (p *Pool) restStates() {
	if len(p.trees) == 0 && !p.config.policy.fixed() {
		p.closeStates()
		p.count()
	}
}

// statesOn returns the bytes of the states on a device.
func (p *Pool) statesOn(d *device) (bytes int64) {
	if p.states == nil {
		return 0
	}
	for _, l := range p.states.layers {
		if m := p.states.memory[l]; m.buffer != nil && !m.off && p.placed[l].device == d {
			bytes += m.buffer.Size()
		}
	}
	return bytes + d.stage.bytes()
}

// statesBeyond returns the bytes of the states on a device that a placement with some trees does not
// count: of more sequences, and of those that are about to have room.
func (p *Pool) statesBeyond(d *device, trees int) int64 {
	if p.states == nil {
		return 0
	}
	return d.placement.StateBytes*int64(max(0, len(p.states.holders)-plan.SequenceStates*trees)) + d.states
}

// contents names what the bounds of a device's memory count.
func (p *Pool) contents() string {
	if p.states == nil {
		return "K/V"
	}
	return "K/V and states"
}

// fixStates takes the memory of states under a policy that takes all memory at once.
func (p *Pool) fixStates() error {
	if p.states == nil || !p.config.policy.fixed() {
		return nil
	}
	places := plan.SequenceStates * max(p.config.trees, p.withMemory()+1)
	if places <= len(p.states.holders) {
		return nil
	}
	return p.moreStates(places)
}

// moreStates makes more places, if the devices' memory suffices.
func (p *Pool) moreStates(places int) error {
	if err := p.affordStates(places); err != nil {
		return err
	}
	return allocation(p.resizeStates(places))
}

// stateGrowth returns how many bytes more so many places take on a device.
func (p *Pool) stateGrowth(d *device, places int) (bytes int64) {
	if d.placement.StatesOff > 0 { // a stage gives its memory back before it is made anew
		return max(0, d.placement.StateBytes*int64(places)-d.stage.bytes())
	}
	for _, l := range p.states.layers {
		if p.placed[l].device == d {
			bytes += p.config.shapes[l].StateBytes() * int64(max(0, places-p.states.memory[l].places()))
		}
	}
	return bytes
}

// affordStates reports whether the devices' memory suffices for so many places.
func (p *Pool) affordStates(places int) error {
	for n, d := range p.devices {
		memory, taken := p.config.devices[n].memory, p.taken(d)
		if more := p.stateGrowth(d, places); memory > 0 && more > max(0, memory-taken) {
			return noMemory("kv: %d states in %d recurrent layers need %s of device memory more, and %s are left of %s for K/V and states: take fewer sequences at a time, or allow %s",
				places, len(p.states.layers), bytesize.Ceil(more), bytesize.Floor(max(0, memory-taken)), bytesize.Floor(memory), bytesize.Ceil(taken+more))
		}
	}
	return nil
}

// idleSteps is after how many steps in a row that need less than half of the places the others are given
// back: after a search with beams, and not between two of its steps.
const idleSteps = 16

// places returns how many places the step and the one after it need, and how many the step needs alone.
func (s *Step) places() (both, alone int) {
	all := s.pool.states
	held := func() int { return len(all.holders) - all.free() }
	s.eachDraft(all.give) // takeStates drops them, but a snapshot may still be read from their place
	alone = held()
	for i := range s.works {
		w := &s.works[i]
		alone += 1 + w.Drafts
		both += plan.SequenceStates + w.Drafts
		all.give(w.Seq.state)
	}
	s.pool.snapshots.eachPlace(all.give) // which will have been copied
	both += held()                       // those that others hold
	s.pool.snapshots.eachPlace(all.hold)
	for i := range s.works {
		all.hold(s.works[i].Seq.state)
	}
	s.eachDraft(all.hold)
	return max(both, alone), alone
}

// eachDraft calls do for the places of the states that were kept for drafted tokens.
func (s *Step) eachDraft(do func(place int)) {
	for i := range s.works {
		for _, k := range s.works[i].Seq.drafts {
			do(k.place)
		}
	}
}

// makeRoomForStates takes memory for the states that the step writes, and for those that the next one
// does. Under the policy auto, layers that keep all rows leave for them if there is no other room.
func (s *Step) makeRoomForStates(ctx context.Context) error {
	p := s.pool
	if p.states == nil {
		return nil
	}
	p.collectSnapshots()
	both, alone := s.places()
	have := len(p.states.holders)
	if both > have {
		start := time.Now()
		if err := p.awaitSnapshots(ctx); err != nil {
			return err
		}
		p.stats.Stall += time.Since(start)
		both, alone = s.places()
	}
	p.shrinkStates(both)
	if both <= have || alone <= have && p.states.denied > 0 && both >= p.states.denied {
		return p.fitStages()
	}
	err := p.moreStates(both)
	if err != nil && p.config.policy.adapts() && errors.Is(err, ErrNoMemory) {
		err = p.settleForStates(ctx, both, s.demands(), err)
	}
	if err == nil {
		return p.fitStages()
	}
	if !errors.Is(err, ErrNoMemory) {
		return err
	}
	p.states.denied = both
	if have = len(p.states.holders); alone > have && p.moreStates(alone) != nil || s.lacksTree() {
		return err
	}
	return p.fitStages()
}

// lacksTree reports whether a tree of the step has lost its memory, because no room was found.
func (s *Step) lacksTree() bool {
	return slices.ContainsFunc(s.trees, func(t stepTree) bool { return t.regions == nil })
}

// settleForStates makes room on the devices for more places, beside what trees need, and takes it: layers
// that keep all rows leave. why is the error that there was no room.
func (p *Pool) settleForStates(ctx context.Context, places int, demands []demand, why error) error {
	left := departure{states: true}
	if refusal, ok := errors.AsType[*refusalError](why); ok {
		refusal.device.bound, refusal.device.bounded = p.taken(refusal.device), true
		left.refused = true
	}
	for _, d := range p.devices {
		planned := plan.SequenceStates * p.withMemory() // of which the placement counts the bytes
		d.states = d.placement.StateBytes * int64(places-max(len(p.states.holders), min(planned, places)))
	}
	p.stopCopies() // slots and regions are about to be replaced
	err := p.settleReporting(ctx, demands, &left)
	for _, d := range p.devices {
		d.states = 0
	}
	opened := !slices.ContainsFunc(demands, func(d demand) bool { return d.tree.regions == nil })
	if errors.Is(err, ErrNoMemory) && opened { // then the states themselves leave
		for n, d := range p.devices {
			if to, ok := d.placement.StatesLeave(p.config.devices[n].slots); ok && p.demote(ctx, d, to, &left) == nil {
				err = nil
			}
		}
	}
	p.report(&left, demands)
	switch {
	case err == nil:
		return p.moreStates(places)
	case errors.Is(err, ErrNoMemory):
		return why // which says what the user can do
	default:
		return errors.Join(why, err)
	}
}

// shrinkStates gives places back of which most have not been needed for a while. What cannot be moved
// stays.
func (p *Pool) shrinkStates(need int) {
	s := p.states
	if p.config.policy.fixed() || len(s.holders) <= 2*need {
		s.idle = 0
		return
	}
	if s.idle++; s.idle < idleSteps {
		return
	}
	s.idle = 0
	if places := max(need, s.lastHeld()+1); places < len(s.holders) {
		_ = p.resizeStates(places)
	}
}
