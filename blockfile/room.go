package blockfile

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/seed4d217819/ebb/internal/bytesize"
)

// footprint returns how many bytes of the limit a file takes: its own, in whole pages, and one page for its
// name and for what the file system notes of it.
func footprint(size int64) int64 { return roundUp(size) + page }

// reserve books bytes before they are written. If need be, it removes the least useful files.
func (s *Store) reserve(n int64) error {
	s.files.Lock()
	defer s.files.Unlock()
	for {
		victim, err := s.take(n)
		if victim == nil {
			return err
		}
		if err := s.removeFile(victim.name); err != nil {
			s.mu.Lock()
			s.add(victim, nil)
			s.mu.Unlock()
			return fmt.Errorf("blockfile: making room: %w", err)
		}
		s.mu.Lock()
		s.used -= victim.bytes
		s.stats.Evicted++
		s.mu.Unlock()
	}
}

// take books bytes, or takes a file out of the index that is to be removed for them.
func (s *Store) take(n int64) (victim *entry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("blockfile: %w", ErrClosed)
	}
	if s.used+n <= s.limit {
		s.used += n
		return nil, nil
	}
	if s.used-s.loose+n <= s.limit {
		victim = s.leastUseful()
	}
	if victim == nil {
		return nil, fmt.Errorf("blockfile: %w: %s more is needed in %s, and %s of %s is in use; allow more there",
			ErrFull, bytesize.Ceil(n), s.dir, bytesize.Format(s.used-s.loose), bytesize.Format(s.limit))
	}
	s.drop(victim)
	return victim, nil
}

// give returns bytes that were reserved and not written, or are removed.
func (s *Store) give(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
}

// Borrow books bytes of the limit for a file of the caller's own, and evicts files if need be. The error wraps
// ErrFull. giveBack is called when the file is gone.
func (s *Store) Borrow(bytes int64) (giveBack func(), err error) {
	n := footprint(bytes)
	if err := s.reserve(n); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { s.give(n) }), nil
}

// removeFile removes a file, if it is there.
func (s *Store) removeFile(name string) error {
	if err := s.system.remove(s.path(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// discard removes files that are out of the index. The bytes of one that cannot be removed stay booked. When
// the store is closed, the folder may be another process's, and files stay.
func (s *Store) discard(files []*entry) (err error) {
	if len(files) == 0 {
		return nil
	}
	s.files.Lock()
	defer s.files.Unlock()
	for _, e := range files {
		s.mu.Lock()
		stays := s.closed || e.at != nil || e.pins > 0 || e.bytes == 0 // it is of use again, or gone
		again := s.names[e.name] != nil                                // in place of a damaged one
		s.mu.Unlock()
		if stays {
			continue
		}
		if !again {
			if failed := s.removeFile(e.name); failed != nil {
				err = errors.Join(err, fmt.Errorf("blockfile: %w", failed))
				continue
			}
		}
		s.mu.Lock()
		s.used -= e.bytes
		e.bytes = 0
		if s.retired[e.name] == e {
			delete(s.retired, e.name)
		}
		s.mu.Unlock()
	}
	return err
}

// retire takes a file out of the index that nobody needs any more, and reports whether nobody reads it. Until
// it is removed, it can be taken back.
func (s *Store) retire(e *entry) (unread bool) {
	s.drop(e)
	s.retired[e.name] = e
	return e.pins == 0
}

// takeBack pins a file of some name that is there, and returns it, if need be to the index; nil: there is
// none.
func (s *Store) takeBack(name string, before *entry) *entry {
	e := s.names[name]
	if e == nil {
		if e = s.retired[name]; e == nil {
			return nil
		}
		delete(s.retired, name)
		s.add(e, before)
	}
	s.pin(e)
	return e
}

// displace takes a file of some name out of the index that cannot be what the header of a new one says: the name
// tells which root and tokens a file is of, so that one of them was forged. nil: there is none. mu is held.
func (s *Store) displace(name string, by *header) *entry {
	e := s.names[name]
	if e == nil {
		e = s.retired[name]
	}
	same := func(x, y section) bool { return x.size == y.size }
	if e == nil || e.start == by.start && slices.EqualFunc(e.sections, by.sections, same) {
		return nil
	}
	if e.at != nil {
		s.drop(e)
	}
	delete(s.retired, name)
	s.stats.Damaged++
	return e
}

// damaged takes a file out of the index. It is removed when nobody reads it.
func (s *Store) damaged(e *entry) {
	s.mu.Lock()
	found := e.at != nil
	if found {
		s.drop(e)
		s.stats.Damaged++
	}
	if s.retired[e.name] == e {
		delete(s.retired, e.name)
	}
	s.mu.Unlock()
	if found {
		s.notify(fmt.Sprintf("%s is damaged and is removed; its tokens are computed again", s.path(e.name)))
	}
}

// release ends pins, and removes files that were to go when nobody reads them any more.
func (s *Store) release(files []*entry) error {
	s.mu.Lock()
	var gone []*entry
	for _, e := range files {
		if s.unpin(e) {
			gone = append(gone, e)
		}
	}
	s.mu.Unlock()
	return s.discard(gone)
}
