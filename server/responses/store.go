package responses

import (
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// store keeps records, in the files of a folder or in memory, those that were used last. It may be used
// from many goroutines. One process uses a folder.
type store struct {
	folder   string // "": memory
	maxCount int
	maxBytes int64

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

// kept matches the names of records: the response's id, and a digest of the salt.
var kept = regexp.MustCompile(`^resp_[A-Z2-7]{26}-[0-9a-f]{32}$`)

const (
	extension  = ".json"
	unfinished = "unfinished-" // begins the name of a file that is being written
)

// nameOf returns the name of a record. Whoever has another salt does not find it.
func nameOf(id, salt string) string {
	sum := sha256.Sum256([]byte("ebb responses\x00" + salt))
	return id + "-" + hex.EncodeToString(sum[:16])
}

// openStore opens the store in a folder, which is made if it is not there; "": one in memory.
func openStore(folder string, maxCount int, maxBytes int64) (*store, error) {
	s := &store{folder: folder, maxCount: maxCount, maxBytes: maxBytes, entries: map[string]*list.Element{}}
	if folder == "" {
		return s, nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("responses: %w", err)
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("responses: %w", err)
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
		case isRecord && kept.MatchString(name):
			found = append(found, file{name, info.Size(), info.ModTime()})
		case strings.HasPrefix(f.Name(), unfinished): // of a process that has ended in the middle
			if err := os.Remove(filepath.Join(folder, f.Name())); err != nil {
				return nil, fmt.Errorf("responses: %w", err)
			}
		}
	}
	slices.SortFunc(found, func(a, b file) int { return a.used.Compare(b.used) })
	for _, f := range found {
		s.add(&entry{name: f.name, size: f.size})
	}
	return s, s.shrink()
}

// put keeps a record. One that is larger than all that may be kept is an error.
func (s *store) put(name string, data []byte) error {
	e := &entry{name: name, size: int64(len(data))}
	if e.size > s.maxBytes {
		return fmt.Errorf("responses: a response of %d bytes is not kept: all together may have %d", e.size, s.maxBytes)
	}
	if s.folder == "" {
		e.data = data
	} else if err := writeFile(s.path(name), data); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(e)
	return s.shrink()
}

// get returns a record, if it is kept.
func (s *store) get(name string) ([]byte, bool) {
	s.mu.Lock()
	element, ok := s.entries[name]
	if !ok {
		s.mu.Unlock()
		return nil, false
	}
	s.used.MoveToFront(element)
	data := entryOf(element).data
	s.mu.Unlock()
	if s.folder == "" {
		return data, true
	}
	now := time.Now()
	_ = os.Chtimes(s.path(name), now, now) // only the order in which records go depends on it
	data, err := os.ReadFile(s.path(name))
	return data, err == nil
}

// remove removes a record, if it is kept.
func (s *store) remove(name string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	element, ok := s.entries[name]
	if !ok {
		return false, nil
	}
	return true, s.drop(element)
}

// add makes an entry the one that was used last.
func (s *store) add(e *entry) {
	if before, ok := s.entries[e.name]; ok {
		s.bytes -= entryOf(before).size
		s.used.Remove(before)
	}
	s.entries[e.name] = s.used.PushFront(e)
	s.bytes += e.size
}

// shrink drops the entries that were not used for longest, until the rest is within the bounds.
func (s *store) shrink() error {
	for s.used.Len() > s.maxCount || s.bytes > s.maxBytes {
		if err := s.drop(s.used.Back()); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) drop(element *list.Element) error {
	e := entryOf(element)
	if s.folder != "" {
		if err := os.Remove(s.path(e.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("responses: %w", err)
		}
	}
	s.used.Remove(element)
	delete(s.entries, e.name)
	s.bytes -= e.size
	return nil
}

func (s *store) path(name string) string { return filepath.Join(s.folder, name+extension) }

func entryOf(element *list.Element) *entry {
	return element.Value.(*entry) //nolint:forcetypeassert // it has nothing else
}

// writeFile writes a file that only its owner reads, whole or not at all.
func writeFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), unfinished+"*") // with the mode 0600
	if err != nil {
		return fmt.Errorf("responses: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("responses: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
