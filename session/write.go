package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Writer writes a session. It is used by one goroutine.
type Writer struct {
	draft   *draft
	layout  layout
	rows    []int64  // bytes of a block, by layer
	states  []int64  // bytes of a state, by recurrent layer
	sums    []uint32 // by layer and block, then by snapshot and recurrent layer
	written []bool
}

// Create begins to write a session, which gets its name from Commit. Its tokens and layers are those
// of the header; each block of each layer, and each state, is written once, in any order. The caller closes the writer.
func Create(path string, h Header) (*Writer, error) { return create(path, h, operatingSystem()) }

func create(path string, h Header, s system) (*Writer, error) {
	head, err := h.encode()
	if err != nil {
		return nil, err
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	w := &Writer{layout: h.layout(int64(len(head))), states: h.States}
	for _, l := range h.Layers {
		w.rows = append(w.rows, l.RowBytes()*BlockCells)
	}
	w.sums = make([]uint32, len(h.Layers)*w.layout.blocks+len(w.layout.states))
	w.written = make([]bool, len(w.sums))
	if w.draft, err = newDraft(path, s); err != nil {
		return nil, err
	}
	if err := w.draft.writeAt(head, 0); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Blocks returns how many blocks each layer has.
func (w *Writer) Blocks() int { return w.layout.blocks }

// Write keeps a block of a layer: 256 cells, in the order of the tokens, all keys before all values,
// one head after the other. Cells behind the last token are zero.
func (w *Writer) Write(layer, block int, rows []byte) error {
	if want := w.rows[layer]; int64(len(rows)) != want {
		return fmt.Errorf("session: %d bytes for a block of layer %d: want %d", len(rows), layer, want)
	}
	if err := w.draft.writeAt(rows, w.layout.rows[layer]+int64(block)*w.rows[layer]); err != nil {
		return err
	}
	i := layer*w.layout.blocks + block
	w.sums[i], w.written[i] = crc32.Checksum(rows, castagnoli), true
	return nil
}

// WriteState keeps the state of a recurrent layer after as many tokens as the header's snapshot of that
// number says, or after Computed ones: their number is the next one, if there is no snapshot of them.
func (w *Writer) WriteState(number, layer int, state []byte) error {
	if want := w.states[layer]; int64(len(state)) != want {
		return fmt.Errorf("session: %d bytes for the state of recurrent layer %d: want %d", len(state), layer, want)
	}
	n := number*len(w.states) + layer
	if err := w.draft.writeAt(state, w.layout.states[n]); err != nil {
		return err
	}
	i := len(w.rows)*w.layout.blocks + n
	w.sums[i], w.written[i] = crc32.Checksum(state, castagnoli), true
	return nil
}

// Commit ends the file, waits until it is on the disk, and gives it its name. A file that had the
// name is gone then, and not before.
func (w *Writer) Commit() error {
	for i, ok := range w.written {
		if n := i - len(w.rows)*w.layout.blocks; !ok && n >= 0 {
			return fmt.Errorf("session: state %[2]d of recurrent layer %[1]d was not written", n%len(w.states), n/len(w.states))
		}
		if !ok {
			return fmt.Errorf("session: block %d of layer %d was not written", i%w.layout.blocks, i/w.layout.blocks)
		}
	}
	var table []byte
	for _, s := range w.sums {
		table = binary.LittleEndian.AppendUint32(table, s)
	}
	table = binary.LittleEndian.AppendUint32(table, crc32.Checksum(table, castagnoli))
	if err := w.draft.writeAt(table, w.layout.table); err != nil {
		return err
	}
	return w.draft.commit()
}

// Close removes what was written, unless it was committed.
func (w *Writer) Close() error { return w.draft.close() }
