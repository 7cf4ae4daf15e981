package plan

import (
	"math"
	"slices"
)

// share is the part of a cache that is on one device.
type share struct {
	layers       []int   // of the model
	rows         []int64 // by the device's layers: bytes of a row
	rings        []int   // by the device's layers: see Placement
	fixed        []bool  // by the device's layers
	free         []int   // the device's layers that are not fixed
	cells        int     // whole blocks
	trees        int
	slots        int
	states       int64 // bytes of one sequence's state
	largestState int64 // of these, bytes of the largest layer if states may leave; 0: they stay
	beams        int   // sequences of a tree
	drafts       int   // tokens that are drafted at a time
	memory       int64 // 0: no bound

	least, most int // how many of the free layers may be resident
}

// on returns the share of a device: its layers, its memory, and those resident layers that are
// among its own when they are spread over the model.
func (c Cache) on(device int) share {
	s := share{cells: WholeBlocks(c.Cells), trees: c.Trees, slots: c.Slots, beams: max(1, c.Beams), drafts: c.Drafts}
	if s.trees == 0 {
		s.trees = 1
	}
	if s.slots == 0 {
		s.slots = DefaultSlots
	}
	if device < len(c.Memory) {
		s.memory = c.Memory[device]
	}
	rings, fixed := c.kinds()
	var free []int // of the model
	for l := range c.Layers {
		if !fixed[l] {
			free = append(free, l)
		}
	}
	resident, chosen := Spread(c.Resident, len(free)), 0
	for i, l := range free {
		if c.Layers[l].Device == device && resident[i] {
			chosen++
		}
	}
	for l, layer := range c.Layers {
		if layer.Device != device {
			continue
		}
		if !fixed[l] {
			s.free = append(s.free, len(s.layers))
		}
		s.states, s.largestState = sum(s.states, layer.StateBytes), max(s.largestState, layer.StateBytes)
		s.layers, s.rows = append(s.layers, l), append(s.rows, layer.RowBytes)
		s.rings, s.fixed = append(s.rings, rings[l]), append(s.fixed, fixed[l])
	}
	if !c.Streams || device < len(c.StatesStay) && c.StatesStay[device] || s.largestState == s.states {
		s.largestState = 0
	}
	switch {
	case !c.Streams || device < len(c.Stay) && c.Stay[device]:
		s.least, s.most = len(s.free), len(s.free)
	case c.IfNeeded:
		s.least, s.most = chosen, len(s.free)
	case c.Resident != 0 || s.memory == 0:
		s.least, s.most = chosen, chosen
	default:
		s.most = len(s.free)
	}
	return s
}

// kinds returns, by layer, the cells of its ring, and whether it stays on its device whatever the
// memory.
func (c Cache) kinds() (rings []int, fixed []bool) {
	rings, fixed = make([]int, len(c.Layers)), used(c.Layers)
	chunk, step := ChunkTokens(c.ChunkTokens, c.Cells), StepTokens(c.StepTokens, c.Cells, c.Trees)
	shared := sharedWindows(c.Layers)
	for l, layer := range c.Layers {
		tokens := chunk
		if shared[layer.Window] {
			tokens = step
		}
		rings[l] = layer.ring(tokens, c.Cells)
		fixed[l] = fixed[l] || layer.Shares || layer.NoRows || rings[l] > 0
	}
	return rings, fixed
}

// place returns the placement with the most resident layers that fits. States leave where none does.
func (s share) place() (Placement, bool) {
	for _, stay := range []bool{true, false} {
		for r := s.most; r >= s.least; r-- {
			p, ok := s.placement(r, stay)
			if ok && (s.memory == 0 || p.DeviceBytes <= s.memory) {
				return p, true
			}
		}
	}
	return Placement{}, false
}

// placement is with, in which states stay or leave; ok is false if they cannot.
func (s share) placement(resident int, stay bool) (p Placement, ok bool) {
	if p = s.with(resident); stay {
		return p, true
	}
	p, ok = p.StatesLeave(s.slots)
	return p.sized(s.slots, s.trees), ok
}

// smallest returns the placement that takes the least memory. Where layers differ that may not be
// the one with the fewest resident: slots are as large as the largest streamed layer.
func (s share) smallest() Placement {
	smallest := s.with(s.least)
	for _, stay := range []bool{true, false} {
		for r := s.least; r <= s.most; r++ {
			if p, ok := s.placement(r, stay); ok && p.DeviceBytes < smallest.DeviceBytes {
				smallest = p
			}
		}
	}
	return smallest
}

// with returns the placement in which so many of the free layers are resident.
func (s share) with(resident int) Placement {
	p := Placement{
		Cells: s.cells, Layers: s.layers, Rows: s.rows, Rings: s.rings, Fixed: s.fixed,
		StateBytes: s.states, Resident: slices.Clone(s.fixed), Streamed: len(s.free) - resident,
	}
	for i, stays := range Spread(resident, len(s.free)) {
		p.Resident[s.free[i]] = stays
	}
	if s.states > 0 {
		p.States, p.LeastState = SequenceStates*s.beams+s.drafts, s.largestState
	}
	return p.sized(s.slots, s.trees)
}

// mostCells is MostCells for one device: the largest context, in whole blocks and at most some cells,
// for which its memory suffices.
func (c Cache) mostCells(device, cells int) int {
	s := c.on(device)
	if s.memory == 0 || len(s.layers) == 0 {
		return cells
	}
	// While the same layers have rings, a longer context needs more.
	for _, shortest := range append(c.ringLengths(cells), 0) {
		fits, more := shortest/Block, cells/Block+1 // blocks that do, or are not looked at, and that do not
		for more-fits > 1 {
			c.Cells = (fits + (more-fits)/2) * Block
			if c.on(device).smallest().DeviceBytes <= s.memory {
				fits = c.Cells / Block
			} else {
				more = c.Cells / Block
			}
		}
		if fits*Block > shortest {
			return fits * Block
		}
		cells = shortest
	}
	return 0
}

// ringLengths returns the lengths of the rings that are shorter than a context of some cells, the
// longest one first.
func (c Cache) ringLengths(cells int) (lengths []int) {
	shared := sharedWindows(c.Layers)
	for _, l := range c.Layers {
		tokens := ChunkTokens(c.ChunkTokens, 0)
		if shared[l.Window] {
			tokens = StepTokens(c.StepTokens, math.MaxInt, 1)
		}
		if ring := l.ring(tokens, cells); ring > 0 {
			lengths = append(lengths, ring)
		}
	}
	slices.Sort(lengths)
	lengths = slices.Compact(lengths)
	slices.Reverse(lengths)
	return lengths
}
