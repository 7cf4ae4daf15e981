package disk

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/tier"
)

// shelf is the file of one tree. It stays when the tree is closed, as long as other trees refer to
// blocks in it.
type shelf struct {
	file
	end  int64 // of the file
	used int   // spots in it that trees hold, and one more while its own tree is open; guarded by the store
}

// spot is room for a block in a file.
type spot struct {
	shelf        *shelf
	layer        *layer // of the tree that made it
	offset, size int64
	inFile       bool    // it has the block's bytes; otherwise the block is in memory, or all zeros
	sum          uint32  // CRC-32C of the bytes
	holders      []*Tier // the trees that refer to it; it counts for the first one. Guarded by the store
}

// room makes the tree's file longer, so that each layer has room for some more blocks: in whole
// runs, which lie together. On an error it is as it was.
func (t *Tier) room(blocks []int) (err error) {
	if t.shelf == nil {
		if err := t.openShelf(); err != nil {
			return err
		}
	}
	runs, bytes := make([]int, len(t.layers)), int64(0)
	for i, l := range t.layers {
		if n := blocks[i] - len(l.room); n > 0 {
			runs[i] = (n + l.run - 1) / l.run
			bytes += int64(runs[i]) * int64(l.run) * l.size
		}
	}
	if bytes == 0 {
		return nil
	}
	if err := t.store.take(bytes); err != nil {
		return err
	}
	from := t.shelf.end
	if err := t.shelf.Extend(from, from+bytes); err != nil {
		t.store.give(bytes)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = fmt.Errorf("%w: %s more is needed in %s, and its disk is full: %w", tier.ErrFull, bytesize.Ceil(bytes), t.store.options.Dir, err)
		}
		return errors.Join(err, t.shelf.Shrink(from))
	}
	t.disk.Add(bytes)
	for i, l := range t.layers {
		for range runs[i] * l.run {
			l.room = append(l.room, t.shelf.end)
			t.shelf.end += l.size
		}
	}
	return nil
}

// openShelf creates the tree's file.
func (t *Tier) openShelf() error {
	f, err := t.store.open()
	if err != nil {
		return err
	}
	t.shelf = &shelf{file: f, used: 1}
	return nil
}

// spot takes room for a block of a layer, which there must be.
func (t *Tier) spot(l *layer) *spot {
	s := &spot{shelf: t.shelf, layer: l, offset: l.room[0], size: l.size, holders: []*Tier{t}}
	l.room = l.room[1:]
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	t.shelf.used++
	return s
}

// shared reports whether several trees refer to a spot.
func (s *Store) shared(at *spot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(at.holders) > 1
}

// hold records that a tree refers to a spot of another one, too.
func (s *Store) hold(t *Tier, at *spot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at.holders = append(at.holders, t)
}

// release records that a tree does not refer to some spots any more. The room of those to which no
// tree refers returns to the file system. Where files cannot have holes, it serves later blocks of the
// tree.
func (t *Tier) release(spots []*spot) {
	free, unused := t.letGo(spots, false)
	if !t.store.punches {
		for _, at := range free { // all are in the tree's own file: nothing is shared
			at.layer.room = append(at.layer.room, at.offset)
		}
		return
	}
	_ = t.store.giveBack(t, free, unused) // an error of files that nobody needs
}

// releaseAll gives up all spots, and the file if no other tree refers to blocks in it.
func (t *Tier) releaseAll(spots []*spot) error {
	free, unused := t.letGo(spots, true)
	for _, l := range t.layers {
		for _, offset := range l.room {
			free = append(free, &spot{shelf: t.shelf, offset: offset, size: l.size})
		}
		l.room = nil
	}
	return t.store.giveBack(t, free, unused)
}

// letGo removes a tree from the holders of spots, and from the users of its file if it is closed. It
// returns the spots that are free then, and the files that nobody uses.
func (t *Tier) letGo(spots []*spot, closed bool) (free []*spot, unused []*shelf) {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	leave := func(s *shelf) {
		if s.used--; s.used == 0 {
			unused = append(unused, s)
		}
	}
	for _, at := range spots {
		if len(at.holders) > 1 && at.holders[0] == t { // it counts for the next one
			t.disk.Add(-at.size)
			at.holders[1].disk.Add(at.size)
		}
		if at.holders = slices.DeleteFunc(at.holders, func(holder *Tier) bool { return holder == t }); len(at.holders) == 0 {
			free = append(free, at)
			leave(at.shelf)
		}
	}
	if closed && t.shelf != nil {
		leave(t.shelf)
	}
	return free, unused
}

// giveBack returns the room of spots that count for a tree: it closes files that nobody uses, and
// punches holes into others. What a file system fails to return then, it returns when the file is
// closed.
func (s *Store) giveBack(t *Tier, free []*spot, unused []*shelf) error {
	var errs []error
	for _, f := range unused {
		errs = append(errs, f.Close())
	}
	slices.SortFunc(free, func(a, b *spot) int { return cmp.Compare(a.offset, b.offset) })
	holes := map[*shelf]hole{}
	for _, at := range free {
		t.disk.Add(-at.size)
		s.give(at.size)
		if slices.Contains(unused, at.shelf) {
			continue
		}
		h := holes[at.shelf]
		if h.offset+h.size != at.offset {
			h.punch(at.shelf)
			h = hole{at.offset, 0}
		}
		h.size += at.size
		holes[at.shelf] = h
	}
	for f, h := range holes {
		h.punch(f)
	}
	return errors.Join(errs...)
}

// hole is room in a file that nobody needs.
type hole struct{ offset, size int64 }

func (h hole) punch(f *shelf) {
	if h.size > 0 {
		_ = f.Punch(h.offset, h.size)
	}
}
