package blockfile

import (
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// writer is a file that is written under another name, and gets its own when it is whole.
type writer struct {
	store   *Store
	header  *header
	key     Key
	file    file // nil: closed
	name    string
	part    string // the name until it is whole; "": it has its own, or was removed
	booked  int64
	written []bool
	left    int // sections that have not come yet
}

// newWriter reserves the bytes of a file and creates it. The tokens are copied when it is whole.
func (s *Store) newWriter(h *header) (*writer, error) {
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("blockfile: a file is not begun: %w", err)
	}
	key := h.parent.next(h.tokens)
	w := &writer{
		store: s, header: h, key: key, name: h.name(key), booked: footprint(h.size()),
		written: make([]bool, len(h.sections)), left: len(h.sections),
	}
	if err := s.reserve(w.booked); err != nil {
		return nil, err
	}
	part := w.name + "." + strconv.FormatInt(s.drafts.Add(1), 10) + partSuffix
	var err error
	if w.file, err = s.system.create(s.path(part)); err != nil {
		s.give(w.booked)
		return nil, w.failed(err)
	}
	w.part = part
	if err := w.file.Truncate(h.size()); err != nil {
		return nil, errors.Join(w.failed(err), w.close())
	}
	return w, nil
}

// write writes a section, which is some pieces.
func (w *writer) write(number int, pieces [][]byte) error {
	if number < 0 || number >= len(w.written) {
		return fmt.Errorf("blockfile: layer %d: there are %d", number, len(w.written))
	}
	to := &w.header.sections[number]
	size := int64(0)
	for _, piece := range pieces {
		size += int64(len(piece))
	}
	if size != to.size {
		return fmt.Errorf("blockfile: %d bytes for layer %d of %s: want %d", size, number, w.name, to.size)
	}
	if w.written[number] {
		return fmt.Errorf("blockfile: layer %d of %s was written already", number, w.name)
	}
	sum, at := uint32(0), w.header.offset(number)
	for _, piece := range pieces {
		if _, err := w.file.WriteAt(piece, at); err != nil {
			return w.failed(err)
		}
		sum, at = crc32.Update(sum, castagnoli, piece), at+int64(len(piece))
	}
	to.sum, w.written[number] = sum, true
	w.left--
	return nil
}

// commit waits until the file is on the disk, gives it its name, and adds it to the index, where the
// caller unpins it. The shorter blocks whose place it takes are removed, and a forged file of its name. Also
// with an error there may be an entry: the file is whole, and a loss of power may take it back.
func (w *writer) commit(before *entry) (*entry, error) {
	if err := w.finish(); err != nil {
		return nil, errors.Join(err, w.close())
	}
	e, gone, err := w.rename(before)
	if err != nil || w.part != "" {
		return e, errors.Join(err, w.close(), w.store.discard(gone))
	}
	if err := w.store.system.syncDir(w.store.dir); err != nil {
		return e, w.failed(err)
	}
	return e, w.store.discard(gone)
}

// finish writes the header, and waits until all of the file is on the disk.
func (w *writer) finish() error {
	if _, err := w.file.WriteAt(w.header.encode(), 0); err != nil {
		return w.failed(err)
	}
	if err := w.file.Sync(); err != nil {
		return w.failed(err)
	}
	info, err := w.file.Stat()
	if err != nil {
		return w.failed(err)
	}
	err = w.file.Close()
	w.file = nil
	if err != nil {
		return w.failed(err)
	}
	if more := allocated(info) + page - w.booked; more > 0 { // the file lies scattered on the disk
		if err := w.store.reserve(more); err != nil {
			return err
		}
		w.booked += more
	}
	return nil
}

// rename gives the file its name. If there is one of that name, because another draft was faster or somebody
// still reads it, that one stays, and this one is for the caller to close. It returns the files that are not
// needed any more, and that nobody reads.
func (w *writer) rename(before *entry) (e *entry, gone []*entry, err error) {
	s := w.store
	s.files.Lock()
	defer s.files.Unlock()
	s.mu.Lock()
	forged := s.displace(w.name, w.header)
	if forged != nil {
		gone = append(gone, forged)
	}
	if e = s.takeBack(w.name, before); e != nil {
		s.stats.Kept++
	}
	closed := s.closed
	s.mu.Unlock()
	if e != nil {
		return e, nil, nil
	}
	if closed {
		return nil, gone, fmt.Errorf("blockfile: %w", ErrClosed)
	}
	if forged != nil {
		s.notify(fmt.Sprintf("%s is forged and is replaced: it says that it has other layers, or is of another place in the text", s.path(w.name)))
	}
	if err := s.system.rename(s.path(w.part), s.path(w.name)); err != nil {
		return nil, gone, w.failed(err)
	}
	w.part = ""
	h := w.header
	h.tokens = slices.Clone(h.tokens) // they were part of the whole conversation's
	e = &entry{header: h, key: w.key, name: w.name, bytes: w.booked, used: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(e, before)
	s.pin(e)
	for _, section := range h.sections {
		s.stats.Written += section.size
	}
	return e, append(gone, s.supersede(e)...), nil
}

// supersede takes the shorter blocks whose rows a new file has, too, out of the index, and returns those
// that nobody reads.
func (s *Store) supersede(by *entry) (unread []*entry) {
	if by.kind != rowsKind {
		return nil
	}
	var shorter []*entry
	for _, e := range s.continuing(by.parent) {
		if e != by && e.kind == rowsKind && e.windowFrom >= by.windowFrom && prefix(by.tokens, e.tokens) {
			shorter = append(shorter, e)
		}
	}
	for _, e := range shorter {
		if s.retire(e) {
			unread = append(unread, e)
		}
	}
	return unread
}

func (w *writer) failed(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("%w: the disk is full: %w", ErrFull, err)
	}
	return fmt.Errorf("blockfile: writing %s: %w", w.store.path(w.name), err)
}

// close removes what was written, unless it has its name. The bytes of a file that cannot be removed stay
// booked.
func (w *writer) close() error {
	var errs []error
	if w.file != nil {
		errs = append(errs, w.file.Close())
		w.file = nil
	}
	if w.part == "" {
		return errors.Join(errs...)
	}
	if err := w.store.removeFile(w.part); err != nil {
		errs = append(errs, fmt.Errorf("blockfile: %w", err))
	} else {
		w.store.give(w.booked)
	}
	w.part = ""
	return errors.Join(errs...)
}
