package kv

import (
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier"
)

// ErrFull is wrapped by every error that says that something does not fit: new tokens for which a
// sequence tree has no cell left, and all that ErrNoMemory covers. After ErrFull from [Pool.Begin]
// nothing has changed: [Seq.Truncate] or closing a sequence makes room.
var ErrFull = errors.New("kv: the cache is full")

// ErrNoMemory is wrapped by errors that say that K/V do not fit the memory: more than
// [Options.Memory] allows, an allocation that failed, or a tier without room. It wraps ErrFull.
var ErrNoMemory = fmt.Errorf("%w: no memory", ErrFull)

// TreeFullError says that a tree of sequences has too few cells left for a step. It is ErrFull, and not
// ErrNoMemory: only sequences of that tree can make room.
type TreeFullError struct {
	tree *tree
	text string
}

func (e *TreeFullError) Error() string { return e.text }
func (e *TreeFullError) Unwrap() error { return ErrFull }

// Of reports whether an open sequence is of the tree.
func (e *TreeFullError) Of(s *Seq) bool {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return s.tree == e.tree
}

// ErrWindowRows is wrapped by errors that say that tiers have no room, where all rows behind the windows
// of layers are kept: with [Options.WindowRows] tiers need less.
var ErrWindowRows = errors.New("kv: all rows behind windows are kept")

// windowRowsError is an error that is ErrWindowRows too, and keeps its own text.
type windowRowsError struct{ err error }

func (e windowRowsError) Error() string   { return e.err.Error() }
func (e windowRowsError) Unwrap() []error { return []error{ErrWindowRows, e.err} }

// noMemoryError is an error that is ErrNoMemory too, and keeps its own text.
type noMemoryError struct{ err error }

func (e noMemoryError) Error() string   { return e.err.Error() }
func (e noMemoryError) Unwrap() []error { return []error{ErrNoMemory, e.err} }

// noMemory returns an error that wraps ErrNoMemory.
func noMemory(format string, args ...any) error {
	return noMemoryError{fmt.Errorf(format, args...)}
}

// NoMemory returns an error with the text of err that wraps ErrNoMemory too. It is for other users
// of a device's memory that leave the cache too little.
func NoMemory(err error) error { return noMemoryError{err} }

// allocation marks the error of an allocation, or of a tier that makes room, as ErrNoMemory if that
// is its cause.
func allocation(err error) error {
	if errors.Is(err, ggml.ErrNoMemory) || errors.Is(err, tier.ErrFull) {
		return noMemoryError{err}
	}
	return err
}
