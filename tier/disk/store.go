package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/internal/directio"
	"github.com/seed4d217819/ebb/tier"
)

// Options say where rows are kept and how much room they may take. The zero value uses the current
// folder without a limit.
type Options struct {
	Dir      string // an existing folder; "": the current one
	Bytes    int64  // that all files together may take; 0: what the file system has
	Buffered bool   // always use the page cache
}

// Store is a folder in which sequence trees keep their rows. It may be used from many goroutines.
type Store struct {
	options Options
	direct  bool  // the page cache is bypassed
	punches bool  // room in the middle of a file can be given back
	align   int64 // what offsets, lengths and addresses of direct transfers are multiples of

	wrap func(file) file // for tests alone: makes a tier's file fail

	read, written atomic.Int64 // bytes, since the store was opened

	mu   sync.Mutex
	used int64 // bytes of all files
}

// Traffic is how many bytes have been read from files and written to them.
type Traffic struct{ Read, Written int64 }

// Traffic returns what all tiers have read and written so far.
func (s *Store) Traffic() Traffic { return Traffic{s.read.Load(), s.written.Load()} }

// pattern matches the files of all stores, those of other processes among them.
const pattern = "ebb-*.rows"

// Open checks that files can be written in a folder, finds out how, and removes the files that
// killed processes have left there.
func Open(o Options) (*Store, error) {
	if o.Bytes < 0 {
		return nil, fmt.Errorf("disk: %d bytes in %s: want a number above 0, or 0 for no limit", o.Bytes, o.Dir)
	}
	if o.Dir == "" {
		o.Dir = "."
	}
	info, err := os.Stat(o.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("disk: there is no folder %s: create it, or name another one", o.Dir)
	case err != nil:
		return nil, fmt.Errorf("disk: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("disk: %s is not a folder: name a folder in which rows may be kept", o.Dir)
	}
	sweep(o.Dir)
	s := &Store{options: o, align: sectors[0]}
	f, err := create(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("disk: rows cannot be kept in %s: %w", o.Dir, err)
	}
	defer func() { _ = f.Close() }() // it holds nothing that anybody needs
	if !o.Buffered {
		s.direct, s.align = probe(f)
	}
	s.punches = (&rowFile{File: f}).Punch(0, sectors[len(sectors)-1]) == nil
	return s, nil
}

// sectors are the units in which devices transfer, the smallest first.
var sectors = [...]int64{512, 4096}

// probe finds out whether a file can bypass the page cache, and in which units.
func probe(f *os.File) (direct bool, align int64) {
	if !directio.Bypass(f) {
		return false, sectors[0]
	}
	buffer, free, err := alignedBytes(sectors[len(sectors)-1])
	if err != nil {
		return false, sectors[0]
	}
	defer free()
	for _, n := range sectors {
		if _, err := f.WriteAt(buffer[:n], 0); err != nil {
			continue
		}
		if _, err := f.ReadAt(buffer[:n], 0); err == nil {
			return true, n
		}
	}
	return false, sectors[0]
}

// Direct reports whether the files bypass the page cache.
func (s *Store) Direct() bool { return s.direct }

// memoryAlign returns what the addresses of memory that is read into are multiples of.
func (s *Store) memoryAlign() int64 {
	if s.direct {
		return s.align
	}
	return 1
}

// Bytes returns the bytes of all files.
func (s *Store) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// New returns an empty tier. It is a [tier.Maker]; buffers in host memory come from alloc.
func (s *Store) New(layouts []tier.Layout, alloc tier.Allocator) tier.Tier {
	return newTier(s, layouts, alloc)
}

// take books bytes of files, or says that there is no room for them.
func (s *Store) take(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if most := s.options.Bytes; most > 0 && s.used+n > most {
		return fmt.Errorf("%w: %s more is needed in %s, where %s of %s is used; allow more there, or a shorter context", tier.ErrFull, bytesize.Ceil(n), s.options.Dir, bytesize.Format(s.used), bytesize.Format(most))
	}
	s.used += n
	return nil
}

// give returns bytes that were taken.
func (s *Store) give(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
}

// open creates a file for a tier.
func (s *Store) open() (file, error) {
	f, err := create(s.options.Dir)
	if err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	if s.direct {
		directio.Bypass(f)
	}
	if s.wrap != nil {
		return s.wrap(&rowFile{File: f, direct: s.direct}), nil
	}
	return &rowFile{File: f, direct: s.direct}, nil
}

// sweep removes the files that killed processes have left in a folder. No file of a living process
// is lost: on Unix its name is gone already, and elsewhere an open file cannot be removed.
func sweep(dir string) {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return // the folder's name is no pattern: nothing is found
	}
	for _, name := range names {
		_ = os.Remove(name)
	}
}
