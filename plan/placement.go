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
	Slots   int     // layers that visit a device at a time; 0: DefaultSlots
	Streams bool    // layers may leave their device and visit it

	// IfNeeded says that layers stream only where Memory does not suffice for all layers of a device,
	// and that Resident is how many never do.
	IfNeeded bool
	// Stay is, by device, whether its layers stay although others stream. nil: none do.
	Stay []bool

	// Resident is how many layers of the model stay on their device, where layers stream. 0: as many
	// as Memory allows, and without a bound none, or all with IfNeeded.
	Resident int
	// Memory is how many bytes K/V may take on each device. A missing number and 0 are no bound.
	Memory []int64
}

// Layer is the K/V of one layer.
type Layer struct {
	RowBytes int64 // of one cell: key and value in all heads
	Device   int   // number of the device that computes the layer, from 0
}

// Placement says which layers of a device stay there, and how much memory they and the slots take.
type Placement struct {
	Cells       int     // capacity of a sequence tree, in whole blocks
	Layers      []int   // of the model: those on the device, in order
	Rows        []int64 // bytes of a cell, by the device's layers
	Resident    []bool  // by the device's layers
	Streamed    int     // layers that are not resident
	Slots       int
	SlotBytes   int64 // of one slot: the largest streamed layer
	TreeBytes   int64 // of the resident layers of one tree
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
	what := fmt.Sprintf("%d resident layers", len(e.Least.Layers)-e.Least.Streamed)
	if e.Least.Slots > 0 {
		what = fmt.Sprintf("%d slots and %s", e.Least.Slots, what)
	}
	text := fmt.Sprintf("%s of device memory is too little for %s of %d cells: the least that works is %s",
		bytesize.Floor(e.Memory), what, e.Least.Cells, bytesize.Ceil(e.Least.DeviceBytes))
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
		least[n] = c.on(n).least
	}
	return least
}

// MostCells returns the largest capacity, in whole blocks and not above Cells in whole blocks, for
// which the memory of each device suffices; 0 if none does.
func (c Cache) MostCells() int {
	most := WholeBlocks(c.Cells)
	for n := range c.devices() {
		most = min(most, c.on(n).mostCells())
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

// share is the part of a cache that is on one device.
type share struct {
	layers []int   // of the model
	rows   []int64 // by the device's layers: bytes of a row
	cells  int     // whole blocks
	trees  int
	slots  int
	memory int64 // 0: no bound

	least, most int // how many of the layers may be resident
}

// on returns the share of a device: its layers, its memory, and those resident layers that are
// among its own when they are spread over the model.
func (c Cache) on(device int) share {
	s := share{cells: WholeBlocks(c.Cells), trees: c.Trees, slots: c.Slots}
	if s.trees == 0 {
		s.trees = 1
	}
	if s.slots == 0 {
		s.slots = DefaultSlots
	}
	if device < len(c.Memory) {
		s.memory = c.Memory[device]
	}
	resident, chosen := Spread(c.Resident, len(c.Layers)), 0
	for l, layer := range c.Layers {
		if layer.Device != device {
			continue
		}
		s.layers, s.rows = append(s.layers, l), append(s.rows, layer.RowBytes)
		if resident[l] {
			chosen++
		}
	}
	switch {
	case !c.Streams || device < len(c.Stay) && c.Stay[device]:
		s.least, s.most = len(s.layers), len(s.layers)
	case c.IfNeeded:
		s.least, s.most = chosen, len(s.layers)
	case c.Resident != 0 || s.memory == 0:
		s.least, s.most = chosen, chosen
	default:
		s.most = len(s.layers)
	}
	return s
}

// place returns the placement with the most resident layers that fits.
func (s share) place() (Placement, bool) {
	for r := s.most; r >= s.least; r-- {
		if p := s.with(r); s.memory == 0 || p.DeviceBytes <= s.memory {
			return p, true
		}
	}
	return Placement{}, false
}

// smallest returns the placement that takes the least memory. Where layers differ that may not be
// the one with the fewest resident: slots are as large as the largest streamed layer.
func (s share) smallest() Placement {
	smallest := s.with(s.least)
	for r := s.least + 1; r <= s.most; r++ {
		if p := s.with(r); p.DeviceBytes < smallest.DeviceBytes {
			smallest = p
		}
	}
	return smallest
}

// with returns the placement with a number of resident layers.
func (s share) with(resident int) Placement {
	layers := len(s.layers)
	p := Placement{Cells: s.cells, Layers: s.layers, Rows: s.rows, Resident: Spread(resident, layers), Streamed: layers - resident}
	p.Slots = min(s.slots, p.Streamed)
	for i, row := range s.rows {
		bytes := product(row, int64(s.cells))
		if p.Resident[i] {
			p.TreeBytes = sum(p.TreeBytes, bytes)
		} else {
			p.SlotBytes = max(p.SlotBytes, bytes)
		}
	}
	p.DeviceBytes = p.Bytes(s.trees)
	return p
}

// mostCells is MostCells for one device.
func (s share) mostCells() int {
	if s.memory == 0 || len(s.layers) == 0 {
		return s.cells
	}
	one := s
	one.cells = Block // all memory is proportional to cells
	blocks := s.memory / max(one.smallest().DeviceBytes, 1)
	return int(min(blocks, int64(s.cells/Block))) * Block
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
