package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/internal/bytesize"
)

// Footprint is the bytes that a device takes besides K/V.
type Footprint struct {
	Weights     int64
	Inputs      int64 // token ids, positions, cells
	Masks       int64 // or spans: what tokens see
	Activations int64 // results that go from graph to graph
	Scratch     int64 // intermediate results of the largest graph
	Draft       int64 // K/V of the block that drafts tokens
}

// Plus returns the bytes of both.
func (f Footprint) Plus(o Footprint) Footprint {
	return Footprint{
		Weights: f.Weights + o.Weights, Inputs: f.Inputs + o.Inputs, Masks: f.Masks + o.Masks,
		Activations: f.Activations + o.Activations, Scratch: f.Scratch + o.Scratch, Draft: f.Draft + o.Draft,
	}
}

// Total returns the bytes of all parts.
func (f Footprint) Total() int64 {
	total := int64(0)
	for _, p := range f.parts() {
		total = sum(total, p.bytes)
	}
	return total
}

// String lists the parts that take bytes.
func (f Footprint) String() string {
	var parts []string
	for _, p := range f.parts() {
		if p.bytes > 0 {
			parts = append(parts, p.name+" "+bytesize.Format(p.bytes))
		}
	}
	return strings.Join(parts, ", ")
}

type footprintPart struct {
	name  string
	bytes int64
}

func (f Footprint) parts() [6]footprintPart {
	return [...]footprintPart{
		{"weights", f.Weights},
		{"inputs", f.Inputs},
		{"masks", f.Masks},
		{"activations", f.Activations},
		{"scratch", f.Scratch},
		{"K/V of the block that drafts", f.Draft},
	}
}

// Budget is what each of some devices may take in all, for weights, steps and K/V together. The
// zero value bounds nothing.
type Budget struct {
	Bytes   int64
	Devices []Device // those that it bounds
}

// Device is a device with a budget.
type Device struct {
	Name string
	KV   int // its number among the devices of the [Cache]; NoKV if it has no layer
	// Footprint returns what it takes with a context of some cells.
	Footprint func(cells int) (Footprint, error)
}

// NoKV is the number of a device without K/V.
const NoKV = -1

// BudgetError says that the budget of a device does not suffice.
type BudgetError struct {
	Device    string
	Bytes     int64 // of the budget
	Cells     int   // of the context
	Footprint Footprint
	KV        int64 // the fewest bytes of K/V, and of states, that work
	States    int64 // of KV, bytes of the states of recurrent layers; 0: there are none
	MostCells int   // the largest context that works; 0: none, or none was looked for
}

// Least returns the fewest bytes that work for the context.
func (e *BudgetError) Least() int64 { return sum(e.Footprint.Total(), e.KV) }

func (e *BudgetError) Error() string {
	kv := fmt.Sprintf("K/V at least %s", bytesize.Ceil(e.KV))
	if e.States > 0 {
		kv = fmt.Sprintf("K/V and states at least %s (states %s)", bytesize.Ceil(e.KV), bytesize.Format(e.States))
	}
	text := fmt.Sprintf("%s of device memory is too little on %s for a context of %d tokens, with %s, %s: the least that works is %s",
		bytesize.Floor(e.Bytes), e.Device, e.Cells, e.Footprint, kv, bytesize.Ceil(e.Least()))
	if e.MostCells > 0 {
		text += fmt.Sprintf(", or a context of at most %d", e.MostCells)
	}
	return text
}

// Fit returns the cache with the memory that the budget leaves it on each device. A context that
// was left open, with Cells 0, becomes the largest that fits, at most some cells; if none fits, it
// is one block, and Place says what would be enough. A budget that does not suffice is a
// [*BudgetError].
func (c Cache) Fit(context int, b Budget) (Cache, error) {
	open := c.Cells == 0
	if open {
		c.Cells = context
	}
	least := func(cells int) []int64 {
		of := c
		of.Cells = cells
		return of.Least()
	}
	if open && len(b.Devices) > 0 {
		most, err := b.mostCells(c.Cells, least)
		if err != nil {
			return Cache{}, err
		}
		c.Cells = atLeastABlock(most, context)
	}
	left, err := b.left(c.Cells, least)
	if short, ok := errors.AsType[*BudgetError](err); ok && !open {
		if short.MostCells, err = b.mostCells(c.Cells, least); err == nil {
			err = short
		}
	}
	if err != nil {
		return Cache{}, c.withStates(err, b)
	}
	c.Memory = append(slices.Clone(c.Memory), make([]int64, c.devices()-len(c.Memory))...)
	for i, d := range b.Devices {
		if n := d.KV; n != NoKV && (c.Memory[n] == 0 || left[i] < c.Memory[n]) {
			c.Memory[n] = left[i]
		}
	}
	if open {
		c.Cells = atLeastABlock(min(c.Cells, c.MostCells()), context)
	}
	return c, nil
}

// withStates returns the error with the bytes of the states on its device, if it says that the budget
// does not suffice there.
func (c Cache) withStates(err error, b Budget) error {
	short, ok := errors.AsType[*BudgetError](err)
	if !ok {
		return err
	}
	for _, d := range b.Devices {
		if d.Name == short.Device && d.KV != NoKV {
			s := c.on(d.KV)
			short.States = product(s.smallest().StatesBytes(), int64(s.trees))
		}
	}
	return err
}

// atLeastABlock returns a number of cells, or if that is 0 those of a block or of a context that is
// shorter.
func atLeastABlock(cells, context int) int {
	if cells == 0 {
		return min(Block, context)
	}
	return cells
}

// left returns what each device has left for K/V with a context of some cells, of which least gives
// the fewest bytes that work, by the devices of the cache. If that is too little on one, the error
// names the parts and the least that works there.
func (b Budget) left(cells int, least func(cells int) []int64) ([]int64, error) {
	if len(b.Devices) == 0 {
		return []int64{}, nil
	}
	left, fewest := make([]int64, len(b.Devices)), least(cells)
	for i, d := range b.Devices {
		f, err := d.Footprint(cells)
		if err != nil {
			return nil, err
		}
		need := int64(0)
		if d.KV != NoKV {
			need = fewest[d.KV]
		}
		if left[i] = b.Bytes - f.Total(); left[i] < need {
			return nil, &BudgetError{Device: d.Name, Bytes: b.Bytes, Cells: cells, Footprint: f, KV: need}
		}
	}
	return left, nil
}

// mostCells returns the largest context, in whole blocks and at most some cells, for which the
// budget suffices; 0 if it suffices for none. A longer context is taken to need more: where chunks
// get shorter for it, that holds but for the last blocks.
func (b Budget) mostCells(cells int, least func(cells int) []int64) (int, error) {
	fits, more := 0, WholeBlocks(cells)/Block+1 // blocks that do, and that do not
	for more-fits > 1 {
		n := fits + (more-fits)/2
		_, err := b.left(min(n*Block, cells), least)
		_, short := errors.AsType[*BudgetError](err)
		switch {
		case err == nil:
			fits = n
		case short:
			more = n
		default:
			return 0, err
		}
	}
	return min(fits*Block, cells), nil
}
