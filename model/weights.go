package model

import (
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/ggml"
)

// Weights owns the memory of a model's weights.
type Weights struct {
	meta    *ggml.Context
	buffers []*ggml.Buffer
}

// Load gives every weight its memory. An architecture calls it after it has asked for everything
// that it uses: whatever else the file has and may change the model is an error. A weight lies in
// the fastest buffer type that its device can use it in, and else where the file is mapped, if the
// device can compute there, or in the device's own memory.
func (l *Loader) Load() (*Weights, error) {
	w := &Weights{meta: l.found.meta}
	if len(l.found.errs) == 0 { // otherwise an architecture may not have asked for everything
		l.checkUnread()
	}
	if err := l.Err(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	for _, b := range l.devices.all() {
		weights, _ := split(l.found.weights, func(wt weight) bool { return wt.backend == b })
		if err := w.load(l, b, weights); err != nil {
			return nil, errors.Join(fmt.Errorf("model: %w", err), w.Close())
		}
	}
	return w, nil
}

// load gives the weights of one device their memory.
func (w *Weights) load(l *Loader, backend *ggml.Backend, rest []weight) error {
	own := backend.BufferType()
	for _, wt := range rest {
		for _, op := range wt.ops {
			if !backend.SupportsWeight(op, wt.tensor.Type(), wt.tensor.Shape(), own) {
				return fmt.Errorf("tensor %s: %s cannot compute with %v: use another device or a file of another type",
					wt.source.Name, backend.Device().Name(), wt.tensor)
			}
		}
	}
	for _, extra := range backend.ExtraBufferTypes() {
		var fast []weight
		fast, rest = split(rest, func(wt weight) bool {
			for _, op := range wt.ops {
				if !backend.SupportsWeight(op, wt.tensor.Type(), wt.tensor.Shape(), extra) {
					return false
				}
			}
			return len(wt.ops) > 0
		})
		if err := w.copy(l, backend, fast, extra); err != nil {
			return err
		}
	}
	for part := range l.file.Parts() {
		var here []weight
		here, rest = split(rest, func(wt weight) bool { return wt.source.Part == part })
		if err := w.place(l, backend, here, part); err != nil {
			return err
		}
	}
	return nil
}

// place leaves the weights of one part of the file where the part is mapped, or copies what the
// device cannot compute with there.
func (w *Weights) place(l *Loader, backend *ggml.Backend, weights []weight, part int) error {
	own, mapping := backend.BufferType(), l.file.Mapping(part)
	if mapping == nil || len(weights) == 0 {
		return w.copy(l, backend, weights, own)
	}
	b, err := backend.Map(mapping, ggml.Weights)
	if errors.Is(err, ggml.ErrNotMappable) {
		return w.copy(l, backend, weights, own)
	}
	if err != nil {
		return err
	}
	w.buffers = append(w.buffers, b)
	aligned, odd := split(weights, func(wt weight) bool { return wt.source.Offset%b.Type().Alignment() == 0 })
	for _, wt := range aligned {
		b.Place(wt.tensor, wt.source.Offset)
	}
	return w.copy(l, backend, odd, own)
}

// copy places weights in new memory and copies them there, in buffers as large as the type allows.
func (w *Weights) copy(l *Loader, backend *ggml.Backend, weights []weight, kind ggml.BufferType) error {
	for len(weights) > 0 {
		offsets, size := pack(weights, kind)
		b, err := backend.Alloc(kind, size, ggml.Weights)
		if err != nil {
			return err
		}
		w.buffers = append(w.buffers, b)
		for i, off := range offsets {
			b.Place(weights[i].tensor, off)
			weights[i].tensor.Set(l.file.Data(weights[i].source), 0)
		}
		weights = weights[len(offsets):]
	}
	return nil
}

// pack lays out the first weights that one buffer of a type can hold.
func pack(weights []weight, kind ggml.BufferType) (offsets []int64, size int64) {
	align := kind.Alignment()
	for _, wt := range weights {
		at := (size + align - 1) / align * align
		end := at + kind.AllocSize(wt.tensor)
		if len(offsets) > 0 && end > kind.MaxSize() {
			break
		}
		offsets, size = append(offsets, at), end
	}
	return offsets, size
}

func split(weights []weight, take func(weight) bool) (taken, left []weight) {
	for _, wt := range weights {
		if take(wt) {
			taken = append(taken, wt)
		} else {
			left = append(left, wt)
		}
	}
	return taken, left
}

// Close frees the weights.
func (w *Weights) Close() error {
	for _, b := range w.buffers {
		b.Close()
	}
	w.meta.Close()
	return nil
}
