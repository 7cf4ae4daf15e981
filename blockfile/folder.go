package blockfile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
)

// readers is how many headers are read at a time: disks answer many requests faster than one after the
// other.
const readers = 16

// partSuffix ends the names under which files are written.
const partSuffix = ".part"

// found is a file with a name like those of a store.
type found struct {
	name  string
	bytes int64 // that it takes
	entry *entry
	err   error // why it has none
}

// readFolder makes the index of the files in the folder, and removes what is of no use.
func (s *Store) readFolder() error {
	names, err := s.list()
	if err != nil {
		return err
	}
	all := make([]found, len(names))
	var wait sync.WaitGroup
	for first := range min(readers, len(names)) {
		wait.Go(func() {
			for i := first; i < len(names); i += readers {
				all[i] = s.readHeader(names[i])
			}
		})
	}
	wait.Wait()
	unread, older := 0, 0
	for _, f := range all {
		switch {
		case passing(f.err):
			return f.err
		case f.err == nil, errors.Is(f.err, errNewer):
			s.used += f.bytes
		case errors.Is(f.err, fs.ErrNotExist): // somebody has removed it meanwhile
		case errors.Is(f.err, errDamaged):
			if err := s.system.remove(s.path(f.name)); err != nil {
				return fmt.Errorf("removing a damaged file: %w", err)
			}
			s.stats.Damaged++
		case errors.Is(f.err, errOlder):
			if err := s.system.remove(s.path(f.name)); err != nil {
				return fmt.Errorf("removing a file of an older version: %w", err)
			}
			older++
		default:
			if unread++; unread == 1 {
				s.notify(fmt.Sprintf("%s cannot be read, and stays: %v", s.path(f.name), f.err))
			}
			s.used += f.bytes
		}
	}
	if unread > 1 {
		s.notify(fmt.Sprintf("%s: %d more files cannot be read, and stay", s.dir, unread-1))
	}
	if n := s.stats.Damaged; n > 0 {
		s.notify(fmt.Sprintf("%s: %d damaged files were removed; their tokens will be computed again", s.dir, n))
	}
	if older > 0 {
		s.notify(fmt.Sprintf("%s: %d files of an older version of ebb were removed; their tokens will be computed again", s.dir, older))
	}
	for _, e := range inOrder(all) {
		s.add(e, nil)
	}
	return nil
}

// list returns the names of the store's files, and removes drafts that killed processes have left.
func (s *Store) list() ([]string, error) {
	dir, err := os.Open(s.dir)
	if err != nil {
		return nil, err
	}
	entries, err := dir.ReadDir(-1) // in no order: there may be many
	if err := errors.Join(err, dir.Close()); err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name, part := strings.CutSuffix(e.Name(), partSuffix)
		if part {
			if i := strings.LastIndexByte(name, '.'); i >= 0 {
				name = name[:i] // without the number of the draft
			}
		}
		switch {
		case !e.Type().IsRegular() || !ours(name):
		case part:
			if err := s.system.remove(s.path(e.Name())); err != nil {
				return nil, fmt.Errorf("removing what a killed process has left: %w", err)
			}
		default:
			names = append(names, name)
		}
	}
	return names, nil
}

// readHeader reads the header of a file.
func (s *Store) readHeader(name string) found {
	of := found{name: name}
	f, err := s.system.open(s.path(name))
	if err != nil {
		if info, failed := os.Lstat(s.path(name)); failed == nil {
			of.bytes = footprint(max(info.Size(), allocated(info)))
		}
		of.err = err
		return of
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		of.err = err
		return of
	}
	of.bytes = footprint(max(info.Size(), allocated(info)))
	h, err := decode(f, info.Size())
	if err != nil {
		of.err = err
		return of
	}
	key := h.parent.next(h.tokens)
	if h.name(key) != name {
		of.err = fmt.Errorf("%w: its name is that of other tokens", errDamaged)
		return of
	}
	of.entry = &entry{header: h, key: key, name: name, bytes: of.bytes, used: info.ModTime()}
	return of
}

// inOrder returns the files that were found, the least recently used one first. The use of a file is one
// of those, too, that it continues.
func inOrder(all []found) []*entry {
	var files []*entry
	uses := map[Key]int64{} // the last use of what follows a key
	for _, f := range all {
		if f.entry != nil {
			files = append(files, f.entry)
		}
	}
	slices.SortFunc(files, func(a, b *entry) int { return cmp.Compare(b.start, a.start) })
	last := make(map[*entry]int64, len(files))
	for _, e := range files {
		last[e] = e.used.UnixNano()
		if e.kind == rowsKind {
			last[e] = max(last[e], uses[e.key])
		}
		uses[e.parent] = max(uses[e.parent], last[e])
	}
	slices.SortStableFunc(files, func(a, b *entry) int { // of one use, those deeper in the text come first
		return cmp.Or(cmp.Compare(last[a], last[b]), cmp.Compare(b.start, a.start), cmp.Compare(b.kind, a.kind))
	})
	return files
}
