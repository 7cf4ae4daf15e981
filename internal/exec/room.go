package exec

import (
	"github.com/seed4d217819/ebb/internal/memory"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/plan"
)

// room is how much a step needs of a device's inputs, or how much they have.
type room struct {
	tokens int // of the step
	chunk  int // tokens of its largest chunk
	mask   int // elements of its largest mask, in layers without a window
	logits int // rows that one graph computes

	windowMask int // elements of its largest mask in layers with a window
	lists      int // words of its longest lists of cells, for forks
}

// leastLists is how many words of lists there are room for if there are any.
const leastLists = 1024

// leastTokens is how many tokens there is always room for: those of decoding, which is to change
// nothing, with a few beams or sequences.
const leastTokens = 32

// least returns the room that inputs always have: for decoding.
func (s sizes) least() room {
	return room{tokens: min(leastTokens, s.step), chunk: min(leastTokens, s.chunk), mask: s.cells, logits: 1, windowMask: s.ring()}
}

// most returns the room that the largest steps need. Lists of cells are reckoned as if each cell were in
// one of them: what forks share and is not where it would be alone is in several, and rarely much.
func (s sizes) most() room {
	return room{tokens: s.step, chunk: s.chunk, mask: s.chunk * s.cells, logits: min(logitBatch, s.step), windowMask: s.chunk * s.ring(), lists: s.cells}
}

// ring returns how many cells tokens see at most in layers with a window, where sequences have few in
// common.
func (s sizes) ring() (cells int) {
	for window := range s.windows {
		cells = max(cells, s.ringOf(window))
	}
	return cells
}

// ringOf returns how many that are for one window. Where other layers share its rows, rings have room
// for a step.
func (s sizes) ringOf(window int) int {
	tokens := s.chunk
	if s.windows[window] {
		tokens = s.step
	}
	return plan.RingCells(window, tokens, s.cells)
}

// windowsOf returns the windows that layers have, and whether layers share the K/V of others there.
func windowsOf(layers []model.Layer) map[int]bool {
	all := map[int]bool{}
	for _, l := range layers {
		if l.Window > 0 {
			all[l.Window] = all[l.Window] || l.SharesKV
		}
	}
	return all
}

// needOf returns the room that a step needs.
func needOf(step *kv.Step, visibilities []*visibility) room {
	r := room{tokens: len(step.Tokens()), logits: min(logitBatch, len(step.LogitRows()))}
	for i, c := range step.Chunks() {
		r.chunk = max(r.chunk, c.N)
		for _, v := range visibilities {
			if v.mask == nil {
				continue
			}
			parts := step.Parts(i, v.window)
			last := parts[len(parts)-1]
			mask := last.Mask + last.N*last.Cells
			if v.window > 0 {
				r.windowMask = max(r.windowMask, mask)
			} else {
				r.mask = max(r.mask, mask)
			}
		}
	}
	for _, v := range visibilities {
		for words := v.lists(step); r.lists < words; {
			r.lists = max(leastLists, 2*r.lists)
		}
	}
	return r
}

// covers reports whether r is enough for what is needed.
func (r room) covers(need room) bool {
	return need.tokens <= r.tokens && need.chunk <= r.chunk && need.mask <= r.mask && need.logits <= r.logits && need.windowMask <= r.windowMask && need.lists <= r.lists
}

// grown returns a room that is enough for what is needed. What has to grow is doubled at least, so
// that steps that grow a little each time seldom change it, but never beyond the most.
func (r room) grown(need, most room) room {
	grow := func(have, need, most int) int {
		if need <= have {
			return have
		}
		return max(need, min(2*have, most))
	}
	return room{
		tokens: grow(r.tokens, need.tokens, most.tokens), chunk: grow(r.chunk, need.chunk, most.chunk),
		mask: grow(r.mask, need.mask, most.mask), logits: grow(r.logits, need.logits, most.logits),
		windowMask: grow(r.windowMask, need.windowMask, most.windowMask), lists: max(r.lists, need.lists),
	}
}

// Memory is given back after a number of small steps in a row, as decoding makes them, if it is
// enough to be worth building graphs again.
const (
	smallSteps    = 2
	leastReturned = 1 << 20 // bytes
)

// fit gives the inputs room for a step. Once the steps are small again, what a long prompt needed in
// host memory is given back; the memory of a GPU is nobody else's.
func (d *device) fit(step *kv.Step) error {
	in := d.inputs
	need := needOf(step, in.visibilities.each)
	least := in.least()
	least.lists = need.lists
	switch {
	case !in.room.covers(need):
		d.small = 0
		return d.resize(in.room.grown(need, in.most()))
	case in.room == least || !least.covers(need):
		d.small = 0
		return nil
	}
	if d.small++; d.small != smallSteps {
		return nil
	}
	in.visibilities.shrink()
	if !d.inHost || in.bytes()+d.graphs.scratch.Size() < leastReturned {
		return nil
	}
	d.graphs.scratch.Reset()
	err := d.resize(least)
	memory.Trim() // of the graphs of the prompt
	return err
}

// resize changes the room of the inputs. If there is no memory for it, they have the room of small
// steps afterwards, or none if even that is refused: then the next step asks again.
func (d *device) resize(r room) error {
	d.graphs.drop()
	if err := d.inputs.resize(r); err != nil {
		_ = d.inputs.resize(d.inputs.least()) // the first error says what is wrong
		return kv.NoMemory(err)
	}
	return nil
}
