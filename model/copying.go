package model

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
)

// copy places weights in new memory and copies them there, in the order of the file and in buffers as
// large as the type allows.
func (w *Weights) copy(l *Loader, backend *ggml.Backend, weights []weight, kind ggml.BufferType) error {
	if len(weights) == 0 {
		return nil
	}
	weights = inFileOrder(weights)
	reads := startReading(l.file, sources(weights), piecesAhead)
	defer reads.close()
	fill := w.fillWhole
	if kind == backend.BufferType() {
		fill = w.fillPieces()
	}
	for len(weights) > 0 {
		offsets, size := layOut(weights, kind)
		b, err := w.alloc(backend, kind, size)
		if err != nil {
			return err
		}
		for i, off := range offsets {
			b.Place(weights[i].tensor, off)
			at := int64(0)
			for _, source := range weights[i].of() {
				if err := fill(weights[i].tensor, at, source); err != nil {
					return err
				}
				at += source.Size
				reads.used(source)
			}
		}
		weights = weights[len(offsets):]
	}
	return nil
}

// fillPieces returns a function that copies a tensor of the file to the bytes from at of one on a
// device. A piece at a time is in memory beside it.
func (w *Weights) fillPieces() func(to *ggml.Tensor, at int64, source gguf.Tensor) error {
	var room []byte
	return func(to *ggml.Tensor, at int64, source gguf.Tensor) error {
		if n := min(piece, source.Size); n > int64(len(room)) {
			room = make([]byte, n)
		}
		for from := int64(0); from < source.Size; from += piece {
			data := room[:min(piece, source.Size-from)]
			if err := w.file.Read(source, from, data); err != nil {
				return err
			}
			to.Set(data, at+from)
			w.loaded.add(int64(len(data)))
		}
		return nil
	}
}

// fillWhole copies a tensor of the file to one whose memory has another order, into which it is put as
// a whole. The memory of the file is given back afterwards.
func (w *Weights) fillWhole(to *ggml.Tensor, at int64, source gguf.Tensor) error {
	to.Set(w.file.Data(source), at)
	w.loaded.add(source.Size)
	return w.file.Release(source.Part, source.Offset, source.Offset+source.Size)
}
