package recordfile

import (
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed4d217819/ebb/internal/directio"
)

// Options say where a store keeps what.
type Options struct {
	Dir   string            // the folder, which is made if it is not there; "": memory
	Ours  func(string) bool // whether a name is that of a record; files with other names are left alone
	Count int               // how many records there are at most; 0: any number
	Bytes int64             // how many bytes they have together at most; 0: any number
}

// Store keeps records, within its bounds those that were used last. It may be used from many goroutines. One
// process uses a folder.
type Store struct {
	options Options

	mu      sync.Mutex
	entries map[string]*list.Element // of *entry, by name
	used    list.List                // the one that was used last first
	bytes   int64
}

// entry is a record that is kept.
type entry struct {
	name string
	size int64
	data []byte // where there is no folder
}

const (
	extension  = ".json"
	unfinished = "unfinished-" // begins the name of a file that is being written
)

// Open opens a store. It reads no record.
func Open(o Options) (*Store, error) {
	s := &Store{options: o, entries: map[string]*list.Element{}}
	if o.Dir == "" {
		return s, nil
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("recordfile: %w", err)
	}
	files, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("recordfile: %w", err)
	}
	type file struct {
		name string
		size int64
		used time.Time
	}
	var found []file
	for _, f := range files {
		name, isRecord := strings.CutSuffix(f.Name(), extension)
		info, err := f.Info()
		switch {
		case err != nil || !info.Mode().IsRegular():
		case isRecord && o.Ours(name):
			found = append(found, file{name, info.Size(), info.ModTime()})
		case strings.HasPrefix(f.Name(), unfinished): // of a process that has ended in the middle
			if err := os.Remove(filepath.Join(o.Dir, f.Name())); err != nil {
				return nil, fmt.Errorf("recordfile: %w", err)
			}
		}
	}
	slices.SortFunc(found, func(a, b file) int { return a.used.Compare(b.used) })
	for _, f := range found {
		s.add(&entry{name: f.name, size: f.size})
	}
	return s, s.shrink()
}

// Names returns the names of all records, that of the one first that was used last.
func (s *Store) Names() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.used.Front(); e != nil; e = e.Next() {
		names = append(names, entryOf(e).name)
	}
	return names
}

// Put keeps a record in the place of the one of that name, if there is one. When Put returns, it is on the
// disk. One that is larger than all that may be kept is an error.
func (s *Store) Put(name string, data []byte) error {
	e := &entry{name: name, size: int64(len(data))}
	if s.options.Bytes > 0 && e.size > s.options.Bytes {
		return fmt.Errorf("recordfile: a record of %d bytes is not kept: all together may have %d", e.size, s.options.Bytes)
	}
	if s.options.Dir == "" {
		e.data = data
	} else if err := s.write(name, data); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(e)
	return s.shrink()
}

// Get returns a record, if it is kept, and notes that it was used.
func (s *Store) Get(name string) ([]byte, bool) {
	s.mu.Lock()
	element, ok := s.entries[name]
	if !ok {
		s.mu.Unlock()
		return nil, false
	}
	s.used.MoveToFront(element)
	data := entryOf(element).data
	s.mu.Unlock()
	if s.options.Dir == "" {
		return data, true
	}
	now := time.Now()
	_ = os.Chtimes(s.path(name), now, now) // only the order in which records go depends on it
	return s.Peek(name)
}

// Peek returns a record, if it is kept.
func (s *Store) Peek(name string) ([]byte, bool) {
	if s.options.Dir != "" {
		data, err := os.ReadFile(s.path(name))
		return data, err == nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	element, ok := s.entries[name]
	if !ok {
		return nil, false
	}
	return entryOf(element).data, true
}

// Remove removes a record, if it is kept.
func (s *Store) Remove(name string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	element, ok := s.entries[name]
	if !ok {
		return false, nil
	}
	return true, s.drop(element)
}

// add makes an entry the one that was used last.
func (s *Store) add(e *entry) {
	if before, ok := s.entries[e.name]; ok {
		s.bytes -= entryOf(before).size
		s.used.Remove(before)
	}
	s.entries[e.name] = s.used.PushFront(e)
	s.bytes += e.size
}

// shrink drops the entries that were not used for longest, until the rest is within the bounds.
func (s *Store) shrink() error {
	for o := s.options; o.Count > 0 && s.used.Len() > o.Count || o.Bytes > 0 && s.bytes > o.Bytes; {
		if err := s.drop(s.used.Back()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) drop(element *list.Element) error {
	e := entryOf(element)
	if s.options.Dir != "" {
		if err := os.Remove(s.path(e.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("recordfile: %w", err)
		}
	}
	s.used.Remove(element)
	delete(s.entries, e.name)
	s.bytes -= e.size
	return nil
}

func (s *Store) path(name string) string { return filepath.Join(s.options.Dir, name+extension) }

func entryOf(element *list.Element) *entry {
	return element.Value.(*entry) //nolint:forcetypeassert // it has nothing else
}

// write writes a file that only its owner reads, whole or not at all.
func (s *Store) write(name string, data []byte) (err error) {
	f, err := os.CreateTemp(s.options.Dir, unfinished+"*") // with the mode 0600
	if errors.Is(err, fs.ErrNotExist) {                    // somebody has removed the folder
		if err = os.MkdirAll(s.options.Dir, 0o700); err == nil {
			f, err = os.CreateTemp(s.options.Dir, unfinished+"*")
		}
	}
	if err != nil {
		return fmt.Errorf("recordfile: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.path(name))
	}
	if err != nil {
		return fmt.Errorf("recordfile: %w", errors.Join(err, os.Remove(f.Name())))
	}
	if err := directio.SyncDir(s.options.Dir); err != nil {
		return fmt.Errorf("recordfile: %w", err)
	}
	return nil
}
