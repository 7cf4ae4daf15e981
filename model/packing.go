package model

import (
	"errors"
	"runtime"
	"sync"

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

// pack gives weights new memory and packs them there, on all cores. The memory of the file is given
// back piece by piece, so that little of it is taken twice.
func (w *Weights) pack(l *Loader, backend *ggml.Backend, weights []weight) error {
	if len(weights) == 0 {
		return nil
	}
	weights = inFileOrder(weights)
	kind, how := backend.BufferType(), l.devices.products(backend)
	var items []packing
	for left := weights; len(left) > 0; {
		offsets, size := layOut(left, kind)
		b, err := backend.Alloc(kind, size, ggml.Weights)
		if err != nil {
			return err
		}
		w.buffers = append(w.buffers, b)
		for i, off := range offsets {
			b.Place(left[i].tensor, off)
			items = append(items, packings(left[i], b.Bytes()[off:])...)
		}
		left = left[len(offsets):]
	}
	reads := startReading(l.file, sources(weights), piecesAhead)
	defer reads.close()
	if err := w.packItems(items, reads); err != nil {
		return err
	}
	for _, wt := range weights {
		*wt.products = how
	}
	return nil
}

// packing is some rows of a tensor that are packed at a time.
type packing struct {
	source gguf.Tensor // its offset and size are those of the rows
	to     []byte
	pieces int // of the tensor, as a reader counts them
}

// packings divides a weight whose memory is at to into items of about a piece of the file, whole panels
// each.
func packings(wt weight, to []byte) (items []packing) {
	for _, source := range wt.of() {
		rows := int64(1) // of all experts' matrices, one behind the other
		for _, n := range source.Shape[1:] {
			rows *= n
		}
		row, panels := source.Size/rows, rows/product.Rows
		pieces := (source.Size + piece - 1) / piece
		n := min(pieces, panels)
		for i := range n {
			from, end := i*panels/n*product.Rows*row, (i+1)*panels/n*product.Rows*row
			part := source
			part.Offset, part.Size = source.Offset+from, end-from
			items = append(items, packing{part, to[from:end], int((i+1)*pieces/n - i*pieces/n)})
		}
		to = to[source.Size:]
	}
	return items
}

// packItems packs items in their order, on all cores, behind those who read them.
func (w *Weights) packItems(items []packing, reads *reader) error {
	var (
		workers sync.WaitGroup
		next    = make(chan packing)
		errs    = make([]error, min(runtime.GOMAXPROCS(0), len(items)))
	)
	for i := range errs {
		workers.Go(func() {
			for it := range next {
				s := it.source
				product.Pack(ggml.Type(s.Type), it.to, w.file.Data(s), s.Shape[0])
				errs[i] = errors.Join(errs[i], w.file.Release(s.Part, s.Offset, s.Offset+s.Size))
				reads.usedPieces(it.pieces)
				w.loaded.add(s.Size)
			}
		})
	}
	for _, it := range items {
		next <- it
	}
	close(next)
	workers.Wait()
	return errors.Join(errs...)
}
