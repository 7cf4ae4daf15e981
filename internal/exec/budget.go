package exec

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// demand is what a device takes for each purpose, in bytes.
type demand map[ggml.Purpose]int64

// purposes are those of a demand, in the order in which they are told.
var purposes = []ggml.Purpose{ggml.Weights, ggml.Inputs, ggml.Masks, ggml.Activations, ggml.Scratches}

func (d demand) total() int64 {
	sum := int64(0)
	for _, n := range d {
		sum += n
	}
	return sum
}

// String lists the bytes.
func (d demand) String() string {
	var parts []string
	for _, p := range purposes {
		if n := d[p]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", p, n))
		}
	}
	return strings.Join(parts, ", ")
}

// budget is the memory of some devices, which weights, steps and K/V share.
type budget struct {
	bytes   int64 // of each device
	devices []claim
	least   func(cells int) []int64 // of K/V, by the number that kv gives a device
}

// claim is what one device takes besides K/V.
type claim struct {
	name   string
	kv     int                             // its number among those that hold K/V; noKV
	demand func(cells int) (demand, error) // with a context of some cells
}

const noKV = -1

// left returns what each device has left for K/V with a context of some cells.
// If that is too little on one, the error names the parts and the least that
// works there.
func (b budget) left(cells int) ([]int64, error) {
	left, least := make([]int64, len(b.devices)), b.least(cells)
	for i, c := range b.devices {
		d, err := c.demand(cells)
		if err != nil {
			return nil, err
		}
		need := int64(0)
		if c.kv != noKV {
			need = least[c.kv]
		}
		if left[i] = b.bytes - d.total(); left[i] < need {
			return nil, &budgetError{device: c.name, bytes: b.bytes, cells: cells, demand: d, kv: need}
		}
	}
	return left, nil
}

// most returns the largest context, in whole blocks and at most some cells, for
// which the memory suffices; 0 if it suffices for none. A longer context is
// taken to need more: where chunks get shorter for it, that is so but for the
// last blocks.
func (b budget) most(cells int) (int, error) {
	fits, more := 0, (cells+kv.Block-1)/kv.Block+1 // blocks that do, and that do not
	for more-fits > 1 {
		n := fits + (more-fits)/2
		_, err := b.left(min(n*kv.Block, cells))
		_, short := errors.AsType[*budgetError](err)
		switch {
		case err == nil:
			fits = n
		case short:
			more = n
		default:
			return 0, err
		}
	}
	return min(fits*kv.Block, cells), nil
}

// budgetError says that a device's memory does not suffice.
type budgetError struct {
	device string
	bytes  int64 // of the budget
	cells  int
	demand demand
	kv     int64 // the fewest bytes of K/V that work
	most   int   // cells that work; 0: none
}

func (e *budgetError) Error() string {
	text := fmt.Sprintf("ebb: %d bytes of device memory are too few on %s for a context of %d tokens, with %s, K/V at least %d: the least that works is %d bytes",
		e.bytes, e.device, e.cells, e.demand, e.kv, e.demand.total()+e.kv)
	if e.most > 0 {
		text += fmt.Sprintf(", or a context of at most %d", e.most)
	}
	return text
}
