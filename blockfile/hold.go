package blockfile

import (
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/internal/bytesize"
)

// Files of conversations that matter more than others are held: they are not evicted, whatever comes. All that
// are held have half of the room at most, so that there is some for others.

// ErrHeld says that no more files can be held.
var ErrHeld = errors.New("no more may be kept from being evicted")

// Held is a conversation that is held, under a name.
type Held struct {
	Name  string
	Trail Trail
}

// Hold keeps the files of a conversation from being evicted until [Store.Free] is called, or Hold with the same
// name, which holds other files in their place. Where that is too much, as many files are held as may be, from
// the first block on, and the error wraps ErrHeld.
func (s *Store) Hold(h Held) error {
	s.mu.Lock()
	gone := s.unhold(h.Name)
	err := s.hold(h)
	s.mu.Unlock()
	return errors.Join(err, s.discard(gone))
}

// Free ends what Hold has begun under a name.
func (s *Store) Free(name string) error {
	s.mu.Lock()
	gone := s.unhold(name)
	s.mu.Unlock()
	return s.discard(gone)
}

// hold holds files. mu is held.
func (s *Store) hold(h Held) error {
	if s.closed {
		return fmt.Errorf("blockfile: %w", ErrClosed)
	}
	for i := range blocks(h.Trail.Len()) {
		e := s.blockAt(h.Trail, i)
		if e == nil {
			break
		}
		for _, e := range append(s.statesAt(h.Trail, i), e) {
			if e.holds == 0 && s.held+e.bytes > s.limit/2 {
				return fmt.Errorf("blockfile: %w: %s of %s in %s may be held, and %s is; hold fewer conversations, or allow more there",
					ErrHeld, bytesize.Format(s.limit/2), bytesize.Format(s.limit), s.dir, bytesize.Format(s.held))
			}
			if e.holds++; e.holds == 1 {
				s.held += e.bytes
				s.pin(e)
			}
			s.holds[h.Name] = append(s.holds[h.Name], e)
		}
	}
	return nil
}

// unhold ends a hold, and returns the files that are to be removed. mu is held.
func (s *Store) unhold(name string) (gone []*entry) {
	for _, e := range s.holds[name] {
		if e.holds--; e.holds > 0 {
			continue
		}
		s.held -= e.bytes
		if s.unpin(e) {
			gone = append(gone, e)
		}
	}
	delete(s.holds, name)
	return gone
}
