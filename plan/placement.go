package plan

import (
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/internal/bytesize"
)

// DefaultSlots is how many layers visit a device at a time: one computes while the next is fetched.
const DefaultSlots = 2

// Cache is the K/V of a model: what its layers keep, and what they may take.
type Cache struct {
	Layers  []Layer // of the model, in order
	Cells   int     // tokens that a sequence tree may hold; memory is taken in whole blocks
	Trees   int     // sequence trees that memory is shared out for; 0: 1
	Beams   int     // sequences of a tree that are decoded together, each with states of its own; 0: 1
	Drafts  int     // tokens that are drafted at a time for a sequence: states are kept after each of them
	Slots   int     // layers that visit a device at a time; 0: DefaultSlots
	Streams bool    // layers may leave their device and visit it

	// ChunkTokens is how many tokens one graph computes at most, for which rings have room besides
	// the window; 0: the default. Long contexts make it fewer: see [ChunkTokens].
	ChunkTokens int

	// StepTokens is how many tokens one step takes at most, for which rings have room whose K/V other
	// layers share; 0: the default.
	StepTokens int

	// IfNeeded says that layers stream only where Memory does not suffice for all layers of a device,
	// and that Resident is how many never do.
	IfNeeded bool
	// Stay is, by device, whether its layers stay although others stream. nil: none do.
	Stay []bool

	// StatesStay is, by device, whether the states of recurrent layers stay although layers stream. nil:
	// they may leave, where not even they fit beside what must stay.
	StatesStay []bool

	// Resident is how many layers of the model stay on their device, where layers stream, of those
	// that need not stay. 0: as many as Memory allows, and without a bound none, or all with IfNeeded.
	Resident int
	// Memory is how many bytes K/V may take on each device. A missing number and 0 are no bound.
	Memory []int64
}

// Placement says which layers of a device stay there, and how much memory they and the slots take.
type Placement struct {
	Cells       int     // capacity of a sequence tree, in whole blocks
	Layers      []int   // of the model: those on the device, in order
	Rows        []int64 // bytes of a cell, by the device's layers
	Rings       []int   // by the device's layers: cells of a tree that stay there; 0: all, or none if the layer streams
	Fixed       []bool  // by the device's layers: whether it stays whatever the memory: it has a ring, or K/V are shared
	Resident    []bool  // by the device's layers
	Streamed    int     // layers that are not resident
	Slots       int
	SlotBytes   int64 // of one slot: the largest streamed layer
	TreeBytes   int64 // of the resident layers of one tree, and of its states
	StateBytes  int64 // of the state of one sequence on the device: in all recurrent layers, or if StatesOff in the largest
	StatesOff   int64 // of the state of one sequence off the device, which visits it layer by layer; 0: states stay
	LeastState  int64 // StateBytes if states visit the device; 0: they must stay
	States      int   // that a tree has in each recurrent layer: SequenceStates of each sequence, and those after drafts
	DeviceBytes int64 // of the slots, and the resident layers of Trees trees
}

// Bytes returns what the device's K/V take with a number of trees.
func (p Placement) Bytes(trees int) int64 {
	return sum(product(int64(p.Slots), p.SlotBytes), product(int64(trees), p.TreeBytes))
}

// ShortError says that the memory of a device does not suffice for the K/V of its layers.
type ShortError struct {
	Memory    int64     // that K/V may take there
	Least     Placement // the one that takes the least memory
	MostCells int       // the largest context for which the memory suffices; 0: none
}

func (e *ShortError) Error() string {
	windowed := e.Least.Windowed()
	what := fmt.Sprintf("%d resident layers of %d cells", e.Least.resident()-windowed, e.Least.Cells)
	if e.Least.Slots > 0 {
		what = fmt.Sprintf("%d slots and %s", e.Least.Slots, what)
	}
	if windowed > 0 {
		what = fmt.Sprintf("the windows of %d layers, and for %s", windowed, what)
	}
	if states := e.Least.StatesBytes(); states > 0 {
		what = fmt.Sprintf("states, which take %s a sequence, and for %s", bytesize.Format(states), what)
	}
	text := fmt.Sprintf("%s of device memory is too little for %s: the least that works is %s",
		bytesize.Floor(e.Memory), what, bytesize.Ceil(e.Least.DeviceBytes))
	if e.MostCells > 0 {
		text += fmt.Sprintf(", or a context of at most %d", e.MostCells)
	}
	return text
}

// Place returns the placement on each device. Resident layers are spread evenly between the
// streamed ones, so that the link works while they compute, and as many stay as the memory allows.
// Where not even the slots fit, the error is a [*ShortError] that names the least that would do.
func (c Cache) Place() ([]Placement, error) {
	placements := make([]Placement, c.devices())
	for n := range placements {
		s := c.on(n)
		p, ok := s.place()
		if !ok {
			return nil, &ShortError{Memory: s.memory, Least: s.smallest(), MostCells: c.MostCells()}
		}
		placements[n] = p
	}
	return placements, nil
}

// Windowed returns how many layers keep a window of the context on the device, and not all of it.
func (p Placement) Windowed() int {
	n := 0
	for _, ring := range p.Rings {
		if ring > 0 {
			n++
		}
	}
	return n
}

// resident returns how many layers keep rows on the device.
func (p Placement) resident() (n int) {
	for i, is := range p.Resident {
		if is && p.Rows[i] > 0 {
			n++
		}
	}
	return n
}

// StatesLeave returns the placement in which the states of recurrent layers lie off the device, and visit
// it layer by layer; ok is false if they do, or must stay. slots is as for Demote.
func (p Placement) StatesLeave(slots int) (_ Placement, ok bool) {
	if p.LeastState == 0 || p.StatesOff > 0 {
		return p, false
	}
	p.StateBytes, p.StatesOff = p.LeastState, p.StateBytes
	return p.sized(slots, 1), true
}

// StatesBytes returns what the states of one tree take on the device. They do not grow with the context.
func (p Placement) StatesBytes() int64 { return product(p.StateBytes, int64(p.States)) }

// RingBytes returns the bytes of those layers of one tree. They do not grow with the context.
func (p Placement) RingBytes() int64 {
	bytes := int64(0)
	for i, ring := range p.Rings {
		bytes = sum(bytes, product(p.Rows[i], int64(ring)))
	}
	return bytes
}

// rowsOff returns the bytes of a cell that lie off the device, too, in all layers: in those that stream,
// and in those that have rings, behind their windows.
func (p Placement) rowsOff() (streamed, past int64) {
	for i, row := range p.Rows {
		switch {
		case p.Rings[i] > 0:
			past = sum(past, row)
		case !p.Resident[i]:
			streamed = sum(streamed, row)
		}
	}
	return streamed, past
}

// pastCells returns of how many cells of a tree the rows are kept off the device in layers with rings, if
// so many behind the windows are wanted; 0: all, below 0: none.
func (p Placement) pastCells(windowRows int) int {
	if windowRows == 0 {
		return p.Cells
	}
	return min(WholeBlocks(saturated(slices.Max(p.Rings), max(0, windowRows))), p.Cells)
}

// Least returns, by device, the fewest bytes with which its K/V work. No bound of Memory counts.
func (c Cache) Least() []int64 {
	bytes := make([]int64, c.devices())
	c.Memory = slices.Repeat([]int64{1}, len(bytes)) // a bound, so that all numbers of resident layers are tried
	for n := range bytes {
		bytes[n] = c.on(n).smallest().DeviceBytes
	}
	return bytes
}

// Streamed returns, by layer, whether its rows leave the device that computes it. No layer streams
// on a device whose memory does not suffice.
func (c Cache) Streamed() []bool {
	streamed := make([]bool, len(c.Layers))
	for n := range c.devices() {
		p, ok := c.on(n).place()
		if !ok {
			continue
		}
		for i, l := range p.Layers {
			streamed[l] = !p.Resident[i]
		}
	}
	return streamed
}

// LeastResident returns, by device, how many layers stay there whatever the memory.
func (c Cache) LeastResident() []int {
	least := make([]int, c.devices())
	for n := range least {
		s := c.on(n)
		least[n] = len(s.layers) - len(s.free) + s.least
	}
	return least
}

// MostCells returns the largest capacity, in whole blocks and not above Cells in whole blocks, for
// which the memory of each device suffices; 0 if none does.
func (c Cache) MostCells() int {
	most := WholeBlocks(c.Cells)
	for n := range c.devices() {
		most = c.mostCells(n, most)
	}
	return most
}

// devices returns how many devices the layers are on.
func (c Cache) devices() int {
	n := max(1, len(c.Memory))
	for _, l := range c.Layers {
		n = max(n, l.Device+1)
	}
	return n
}

// sized returns the placement with its slots and its bytes: slots is how many layers visit the device
// at a time, if as many stream.
func (p Placement) sized(slots, trees int) Placement {
	p.Slots = min(slots, p.Streamed)
	p.SlotBytes, p.TreeBytes = product(p.streamedRow(), int64(p.Cells)), p.treeBytes(p.Cells)
	p.DeviceBytes = p.Bytes(trees)
	return p
}

// treeBytes returns the bytes of the resident layers of a tree that has room for some cells.
func (p Placement) treeBytes(cells int) int64 {
	bytes := p.StatesBytes()
	for i, row := range p.Rows {
		switch {
		case p.Rings[i] > 0:
			bytes = sum(bytes, product(row, int64(p.Rings[i])))
		case p.Resident[i]:
			bytes = sum(bytes, product(row, int64(cells)))
		}
	}
	return bytes
}

// Spread chooses n of some layers, as evenly as they go and with the larger distances inside: the end
// of a step, when logits are computed, gives the link time just as a resident layer does.
func Spread(n, layers int) []bool {
	n = min(max(n, 0), layers)
	chosen := make([]bool, layers)
	for i := range n {
		chosen[(2*i+1)*layers/(2*n)] = true // in the middle of the i-th of n equal parts
	}
	return chosen
}
