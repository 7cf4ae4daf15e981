package model

import (
	"cmp"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/product"
)

// packAll packs what ebb multiplies by itself on a device, and returns the other weights. A second
// tensor of the same rows is among them where there is no memory for it.
func (w *Weights) packAll(l *Loader, backend *ggml.Backend, all []weight) (rest []weight, err error) {
	taken, rest := split(all, weight.packable)
	seconds, taken := split(taken, func(wt weight) bool { return wt.second })
	if err := w.pack(l, backend, taken); err != nil {
		return nil, err
	}
	switch err := w.pack(l, backend, seconds); {
	case errors.Is(err, ggml.ErrNoMemory): // the first one serves
		return append(rest, seconds...), nil
	case err != nil:
		return nil, err
	}
	return rest, nil
}

const (
	// stripe is about how many bytes of the file are packed at once, in whole panels: the core that packs
	// them still has them in its second cache.
	stripe = 256 << 10

	// A few goroutines more than there are cores pack, so that the disk works while all cores do. So many
	// take all that a disk or memory gives; more would wait for each other in the system, which gives a
	// process its new memory.
	morePackers = 2
	mostPackers = 16
)

// pack gives weights new memory and packs them there, on all cores. They are read and not touched
// where the file is mapped, so that their memory is taken once.
func (w *Weights) pack(l *Loader, backend *ggml.Backend, weights []weight) error {
	if len(weights) == 0 {
		return nil
	}
	weights = inFileOrder(weights)
	kind, how := backend.BufferType(), l.devices.products(backend)
	var items []packing
	for left := weights; len(left) > 0; {
		offsets, size := layOut(left, kind)
		b, err := w.alloc(backend, kind, size)
		if err != nil {
			return err
		}
		for i, off := range offsets {
			b.Place(left[i].tensor, off)
			items = append(items, packings(left[i], b.Bytes()[off:])...)
		}
		left = left[len(offsets):]
	}
	if err := w.packItems(items); err != nil {
		return err
	}
	for _, wt := range weights {
		*wt.products = how
	}
	return nil
}

// packing is a stripe of a tensor.
type packing struct {
	source gguf.Tensor // its offset and size are those of the stripe
	to     []byte
}

// packings divides a weight whose memory is at to into stripes.
func packings(wt weight, to []byte) (items []packing) {
	for _, source := range wt.of() {
		rows := int64(1) // of all experts' matrices, one behind the other
		for _, n := range source.Shape[1:] {
			rows *= n
		}
		row, panels := source.Size/rows, rows/product.Rows
		n := min((source.Size+stripe-1)/stripe, panels)
		for i := range n {
			from, end := i*panels/n*product.Rows*row, (i+1)*panels/n*product.Rows*row
			part := source
			part.Offset, part.Size = source.Offset+from, end-from
			items = append(items, packing{part, to[from:end]})
		}
		to = to[source.Size:]
	}
	return items
}

// packers returns how many goroutines pack some stripes on a machine with some cores.
func packers(cores, stripes int) int { return min(cores+morePackers, mostPackers, stripes) }

// packItems packs items, begun in their order, so that the system reads ahead of them.
func (w *Weights) packItems(items []packing) error {
	var (
		workers sync.WaitGroup
		next    atomic.Int64
		errs    = make([]error, packers(runtime.GOMAXPROCS(0), len(items)))
		largest = int64(0)
	)
	for _, it := range items {
		largest = max(largest, it.source.Size)
	}
	for i := range errs {
		workers.Go(func() {
			room := make([]byte, largest)
			for {
				n := next.Add(1) - 1
				if n >= int64(len(items)) {
					return
				}
				it := items[n]
				s, rows := it.source, room[:it.source.Size]
				if errs[i] = w.file.Read(s, 0, rows); errs[i] != nil {
					next.Store(int64(len(items))) // the others end
					return
				}
				product.Pack(ggml.Type(s.Type), it.to, rows, s.Shape[0])
				w.loaded.add(s.Size)
			}
		})
	}
	workers.Wait()
	return cmp.Or(errs...) // one: the others say the same of other stripes
}
