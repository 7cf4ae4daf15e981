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

// Load gives every weight its memory: in the fastest buffer type that the
// device can use it in, and else where the file is mapped, if the device can
// compute there, or in the device's own memory.
func (l *Loader) Load() (*Weights, error) {
	w := &Weights{meta: l.found.meta}
	if err := l.Err(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if err := w.load(l); err != nil {
		return nil, errors.Join(fmt.Errorf("model: %w", err), w.Close())
	}
	return w, nil
}

func (w *Weights) load(l *Loader) error {
	own := l.backend.BufferType()
	for _, wt := range l.found.weights {
		for _, op := range wt.ops {
			if !l.backend.SupportsWeight(op, wt.tensor.Type(), wt.tensor.Shape(), own) {
				return fmt.Errorf("tensor %s: %s cannot compute with %v: use another device or a file of another type",
					wt.source.Name, l.backend.Device().Name(), wt.tensor)
			}
		}
	}
	rest := l.found.weights
	for _, extra := range l.backend.ExtraBufferTypes() {
		var fast []weight
		fast, rest = split(rest, func(wt weight) bool {
			for _, op := range wt.ops {
				if !l.backend.SupportsWeight(op, wt.tensor.Type(), wt.tensor.Shape(), extra) {
					return false
				}
			}
			return len(wt.ops) > 0
		})
		if err := w.copy(l, fast, extra); err != nil {
			return err
		}
	}
	mapping := l.file.Mapping()
	if mapping == nil {
		return w.copy(l, rest, own)
	}
	b, err := l.backend.Map(mapping, ggml.Weights)
	if errors.Is(err, ggml.ErrNotMappable) {
		return w.copy(l, rest, own)
	}
	if err != nil {
		return err
	}
	w.buffers = append(w.buffers, b)
	aligned, odd := split(rest, func(wt weight) bool { return wt.source.Offset%b.Type().Alignment() == 0 })
	for _, wt := range aligned {
		b.Place(wt.tensor, wt.source.Offset)
	}
	return w.copy(l, odd, own)
}

// copy places weights in new memory and copies them there, in buffers as large
// as the type allows.
func (w *Weights) copy(l *Loader, weights []weight, kind ggml.BufferType) error {
	for len(weights) > 0 {
		offsets, size := pack(weights, kind)
		b, err := l.backend.Alloc(kind, size, ggml.Weights)
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
