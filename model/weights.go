package model

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
)

// Weights owns the memory of a model's weights.
type Weights struct {
	meta    *ggml.Context
	buffers []*ggml.Buffer
	inPlace []gguf.Tensor // used where their file is mapped, by offset
	tables  []gguf.Tensor // of these, the ones of which rows are looked up and nothing else
	reader  *reader       // reads the others; nil: nobody does
	file    *gguf.File
	loaded  loaded
	private int64 // bytes of host memory that the CPU's weights take, but for those in place
}

// Load gives every weight its memory. An architecture calls it after it has asked for everything
// that it uses: whatever else the file has and may change the model is an error. A weight lies in
// the fastest buffer type that its device can use it in, and else where the file is mapped, if the
// device can compute there, or in the device's own memory.
func (l *Loader) Load() (*Weights, error) {
	w := &Weights{meta: l.found.meta, file: l.file, loaded: loaded{report: l.found.progress}}
	if len(l.found.errs) == 0 { // otherwise an architecture may not have asked for everything
		l.checkUnread()
	}
	if err := l.Err(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if err := l.checkRoom(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	for _, wt := range l.found.weights {
		w.loaded.total += wt.source.Size
	}
	for _, b := range l.devices.all() {
		weights, _ := split(l.found.weights, func(wt weight) bool { return wt.backend == b })
		if err := w.load(l, b, weights); err != nil {
			return nil, errors.Join(l.noRoom(b, fmt.Errorf("model: %w", err)), w.Close())
		}
	}
	if err := w.releaseCopied(l.file); err != nil {
		return nil, errors.Join(fmt.Errorf("model: %w", err), w.Close())
	}
	w.readInPlace(l)
	return w, nil
}

// readInPlace begins to read the weights that are used where their file is mapped, as many as memory
// has room for beside those that have memory of their own: the first step takes them in about this
// order. Rows of tables are read as they are looked up.
func (w *Weights) readInPlace(l *Loader) {
	if wanted := w.wanted(l.devices.Room - w.private); len(wanted) > 0 {
		w.reader = startReading(l.file, wanted, 0)
	}
}

// wanted returns the first weights that are used in place, as many as some bytes of memory have room for.
func (w *Weights) wanted(room int64) (tensors []gguf.Tensor) {
	for _, t := range w.inPlace {
		if slices.ContainsFunc(w.tables, func(table gguf.Tensor) bool { return table.Name == t.Name }) {
			continue
		}
		if room -= t.Size; room < 0 {
			break
		}
		tensors = append(tensors, t)
	}
	return tensors
}

// releaseCopied gives the memory of the files back, but for the weights that are used where the
// files are mapped.
func (w *Weights) releaseCopied(f *gguf.File) error {
	var errs []error
	for part, p := range f.Parts() {
		end := int64(0) // of what is kept
		for _, t := range w.inPlace {
			if t.Part == part {
				errs = append(errs, f.Release(part, end, max(end, t.Offset)))
				end = max(end, t.Offset+t.Size)
			}
		}
		errs = append(errs, f.Release(part, end, p.Size))
	}
	return errors.Join(errs...)
}

// load gives the weights of one device their memory.
func (w *Weights) load(l *Loader, backend *ggml.Backend, rest []weight) error {
	own := backend.BufferType()
	rest, err := w.packAll(l, backend, rest)
	if err != nil {
		return err
	}
	for _, wt := range rest {
		for _, op := range wt.ops {
			if !backend.SupportsWeight(op, wt.tensor.Type(), wt.tensor.Shape(), own) {
				return fmt.Errorf("tensor %s: %s cannot compute with %v: use another device or a file of another type",
					wt.source.Name, backend.Device().Name(), wt.tensor)
			}
		}
	}
	for _, extra := range l.devices.faster(backend) {
		var fast []weight
		fast, rest = split(rest, func(wt weight) bool { return wt.fits(extra) })
		seconds, others := split(fast, func(wt weight) bool { return wt.second })
		if err := w.copy(l, backend, others, extra); err != nil {
			return err
		}
		switch err := w.copy(l, backend, seconds, extra); {
		case errors.Is(err, ggml.ErrNoMemory): // it is slower where the first lies, but there
			rest = append(rest, seconds...)
		case err != nil:
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

// leastInPlace is the size of the smallest weight that is used where its file is mapped. The system
// brings as many bytes into memory around each that is touched, so that norms would bring much of
// the weights between them which were copied.
const leastInPlace = 64 << 10

// place leaves the weights of one part of the file where the part is mapped, or copies what the
// device cannot compute with there.
func (w *Weights) place(l *Loader, backend *ggml.Backend, weights []weight, part int) error {
	own, mapping := backend.BufferType(), l.file.Mapping(part)
	if mapping == nil || len(weights) == 0 {
		return w.copy(l, backend, weights, own)
	}
	align := own.Alignment()
	aligned, odd := split(weights, func(wt weight) bool {
		return wt.parts == nil && wt.source.Offset%align == 0 && wt.source.Size >= leastInPlace
	})
	if len(aligned) == 0 {
		return w.copy(l, backend, odd, own)
	}
	used := int64(0)
	for _, wt := range aligned {
		if !wt.rows {
			used += wt.source.Size
		}
	}
	b, err := backend.Map(mapping, used, ggml.Weights)
	if errors.Is(err, ggml.ErrNotMappable) {
		return w.copy(l, backend, weights, own)
	}
	if err != nil {
		return err
	}
	w.buffers = append(w.buffers, b)
	for _, wt := range aligned {
		b.Place(wt.tensor, wt.source.Offset)
		w.loaded.add(wt.source.Size)
		w.inPlace = append(w.inPlace, wt.source)
		if wt.table() {
			w.tables = append(w.tables, wt.source)
		}
	}
	slices.SortFunc(w.inPlace, func(a, b gguf.Tensor) int { return cmp.Compare(a.Offset, b.Offset) })
	return w.copy(l, backend, odd, own)
}

// alloc gives weights new memory.
func (w *Weights) alloc(backend *ggml.Backend, kind ggml.BufferType, size int64) (*ggml.Buffer, error) {
	b, err := backend.Alloc(kind, size, ggml.Weights)
	if err != nil {
		return nil, err
	}
	w.buffers = append(w.buffers, b)
	if backend.Device().Type() == ggml.CPU {
		w.private += size
	}
	return b, nil
}

// inFileOrder returns weights in the order of the file.
func inFileOrder(weights []weight) []weight {
	weights = slices.Clone(weights)
	slices.SortFunc(weights, func(a, b weight) int {
		return cmp.Or(cmp.Compare(a.source.Part, b.source.Part), cmp.Compare(a.source.Offset, b.source.Offset))
	})
	return weights
}

// sources returns the tensors of the file that weights are made of.
func sources(weights []weight) (all []gguf.Tensor) {
	for _, wt := range weights {
		all = append(all, wt.of()...)
	}
	return all
}

// layOut lays out the first weights that one buffer of a type can hold.
func layOut(weights []weight, kind ggml.BufferType) (offsets []int64, size int64) {
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

// ReleaseRows gives the memory of rows back that were looked up where a file is mapped. They are read
// again when they are wanted again.
func (w *Weights) ReleaseRows() error {
	for _, t := range w.tables {
		if err := w.file.Release(t.Part, t.Offset, t.Offset+t.Size); err != nil {
			return fmt.Errorf("model: %w", err)
		}
	}
	return nil
}

// Close frees the weights.
func (w *Weights) Close() error {
	if w.reader != nil {
		w.reader.close()
	}
	for _, b := range w.buffers {
		b.Close()
	}
	w.meta.Close()
	return nil
}
