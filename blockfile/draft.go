package blockfile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Draft writes those rows and states of a conversation that a store does not have. What it has written and
// what was there already is not evicted before it is closed. It is used by one goroutine.
type Draft struct {
	store      *Store
	root       Root
	tokens     []int32
	keys       []Key // of the tokens before each block
	windowFrom int
	files      map[part]*writer // under way
	done       map[part]error   // what needs no writing, or why it failed
	pinned     []*entry
	stale      []*entry
}

// part is what one file has: a block, or the states after some tokens.
type part struct {
	kind   kind
	number int
}

// Begin begins to write a conversation that has rows of these tokens, and in layers with windows of those
// from windowFrom on. The caller leaves the tokens as they are, and closes the draft.
func (s *Store) Begin(root Root, tokens []int32, windowFrom int) (*Draft, error) {
	d := &Draft{
		store: s, root: root, tokens: tokens, keys: root.chain(tokens), windowFrom: windowFrom,
		files: map[part]*writer{}, done: map[part]error{},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("blockfile: %w", ErrClosed)
	}
	for i := range d.Blocks() {
		h := d.header(part{rowsKind, i})
		e, n := s.rowsOf(root, d.keys, i, h.tokens)
		if n < len(h.tokens) {
			continue
		}
		if e.windowFrom <= h.windowFrom {
			d.done[part{rowsKind, i}] = nil
			s.stats.Kept++
		}
		s.pin(e)
		d.pinned = append(d.pinned, e)
	}
	d.stale = s.touch(d.pinned)
	return d, nil
}

// Blocks returns how many blocks the conversation has. Without layers that have rows it has none.
func (d *Draft) Blocks() int {
	if len(d.root.rows) == 0 {
		return 0
	}
	return blocks(len(d.tokens))
}

// Missing returns the numbers of the blocks that the store does not have yet, ascending.
func (d *Draft) Missing() (missing []int) {
	for i := range d.Blocks() {
		if _, done := d.done[part{rowsKind, i}]; !done {
			missing = append(missing, i)
		}
	}
	return missing
}

// Rows writes a layer of a block, as kv's Pool.Save gives it: the rows of 256 tokens, of which those behind the
// conversation's last one are not written. When all layers have come, in any order, the block is on the disk
// before Rows returns. A block that is not missing is not written. An error, which may wrap ErrFull, concerns that block alone.
func (d *Draft) Rows(layer, block int, rows []byte) error {
	if block < 0 || block >= d.Blocks() {
		return fmt.Errorf("blockfile: block %d: the conversation has %d", block, d.Blocks())
	}
	if layer < 0 || layer >= len(d.root.rows) {
		return fmt.Errorf("blockfile: layer %d: the conversation has %d that have rows", layer, len(d.root.rows))
	}
	l := d.root.rows[layer]
	if want := rowsBytes(l, BlockTokens); int64(len(rows)) != want {
		return fmt.Errorf("blockfile: %d bytes for layer %d of block %d: want %d", len(rows), layer, block, want)
	}
	return d.write(part{rowsKind, block}, layer, pieces(l, rows, len(blockOf(d.tokens, block)))...)
}

// State writes the state of a recurrent layer after some tokens, as Rows writes rows.
func (d *Draft) State(tokens, layer int, state []byte) error {
	if tokens < 1 || tokens > len(d.tokens) {
		return fmt.Errorf("blockfile: a state after %d tokens: the conversation has %d", tokens, len(d.tokens))
	}
	p := part{statesKind, tokens}
	if _, known := d.done[p]; !known && d.files[p] == nil {
		d.findState(p)
	}
	return d.write(p, layer, state)
}

// findState notes whether the store has the states after some tokens.
func (d *Draft) findState(p part) {
	h := d.header(p)
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	e := d.store.stateOf(d.root, d.keys, h.start/BlockTokens, h.tokens)
	if e == nil {
		return
	}
	d.done[p] = nil
	d.store.stats.Kept++
	d.store.pin(e)
	d.pinned = append(d.pinned, e)
}

// write writes a section of a file, which is some pieces, and commits the file if it was the last one.
func (d *Draft) write(p part, number int, pieces ...[]byte) error {
	if err, done := d.done[p]; done {
		return err
	}
	w := d.files[p]
	if w == nil {
		var err error
		if w, err = d.store.newWriter(d.header(p)); err != nil {
			d.done[p] = err
			return err
		}
		d.files[p] = w
	}
	err := w.write(number, pieces)
	if err == nil && w.left > 0 {
		return nil
	}
	delete(d.files, p)
	if err == nil {
		var e *entry
		if e, err = w.commit(d.before(p)); e != nil {
			d.pinned = append(d.pinned, e)
		}
	} else {
		err = errors.Join(err, w.close())
	}
	d.done[p] = err
	return err
}

// before returns the file that a part continues; nil: the store has none.
func (d *Draft) before(p part) *entry {
	if len(d.root.rows) == 0 {
		return nil
	}
	first := p.number - 1 // the block before
	if p.kind == statesKind {
		first /= BlockTokens // the one that has the last token
	}
	for _, e := range slices.Backward(d.pinned) {
		if e.kind == rowsKind && e.start == first*BlockTokens {
			return e
		}
	}
	return nil
}

// header returns the header of a file.
func (d *Draft) header(p part) *header {
	block := p.number
	h := &header{kind: p.kind}
	if p.kind == statesKind {
		block = (p.number - 1) / BlockTokens
		h.tokens = d.tokens[block*BlockTokens : p.number]
		for _, size := range d.root.states {
			h.sections = append(h.sections, section{size: size})
		}
	} else {
		h.tokens = blockOf(d.tokens, block)
		h.windowFrom = min(max(0, d.windowFrom-block*BlockTokens), len(h.tokens))
		for _, l := range d.root.rows {
			h.sections = append(h.sections, section{size: rowsBytes(l, len(h.tokens))})
		}
	}
	h.parent, h.start = d.keys[block], block*BlockTokens
	return h
}

// Close removes files that are not whole, and lets the others be evicted. It may be called twice.
func (d *Draft) Close() error {
	var errs []error
	for _, w := range slices.Collect(maps.Values(d.files)) {
		errs = append(errs, w.close())
	}
	d.store.note(d.stale)
	errs = append(errs, d.store.release(d.pinned))
	d.files, d.pinned, d.stale = map[part]*writer{}, nil, nil
	return errors.Join(errs...)
}
