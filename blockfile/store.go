package blockfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/seed4d217819/ebb/internal/filelock"
)

// Errors that callers tell apart.
var (
	ErrLocked  = errors.New("another process uses the folder")    // of Open
	ErrFull    = errors.New("there is no room for more blocks")   // of a draft: the limit or the disk is reached
	ErrDamaged = errors.New("rows or states cannot be read back") // of a match: whoever gets it computes the tokens anew
	ErrClosed  = errors.New("the store of block files is closed") // of a draft
)

// Options say how much room files may take. The zero value takes half of the disk's free space.
type Options struct {
	// Bytes is what all files together may take on the disk, with what the file system needs for each. 0:
	// half of the space that is free when the store is opened, where its own files count as free.
	Bytes int64
	// Notify receives a line when files are removed because they are damaged. nil: nobody hears of it. It
	// may be called from several goroutines, and must not use the store.
	Notify func(string)
	// Held is called when the folder is this process's, and says which conversations are held before any file
	// is evicted: see [Store.Hold]. What is too much is not, and Notify hears of it. nil: there are none.
	Held func() ([]Held, error)
}

// Store is a folder of block files. Its methods may be called from many goroutines. Find, Begin and
// Stats do not wait for the disk, so that whoever takes steps may call them; the others do.
type Store struct {
	dir    string
	limit  int64
	system system
	notify func(string)
	lock   *os.File
	drafts atomic.Int64 // files begun, for the names under which they are written

	files sync.Mutex // is held while files get names and lose them, so that index and folder agree
	mu    sync.Mutex // guards what follows; it may be taken while files is held
	index
	holds   map[string][]*entry // by the names of conversations
	held    int64               // bytes of the files in holds
	retired map[string]*entry   // files out of the index that are whole, and wait to be removed
	used    int64               // bytes of all files, and of those that are being written
	closed  bool
	stats   Stats
}

// Stats is what a store holds and has done.
type Stats struct {
	Blocks, States int   // files, of rows and of states
	Bytes, Limit   int64 // that files take, and may take

	// Since the store was opened:
	Finds, Hits   int   // calls of Find, and those that found tokens
	Read, Written int64 // bytes of rows and states
	Kept          int   // blocks and states that a draft had no need to write, because they were there
	Evicted       int   // files removed to make room
	Damaged       int   // files removed because they were damaged, those that Open found among them
}

// Open opens a folder, and creates it if need be. It reads the headers of all files, removes what killed
// processes have left, damaged files, those of older versions of the format, and the least useful ones if they
// are more than the options allow. Files that are not the store's are left alone. If another process has the
// folder open, the error wraps ErrLocked; on systems other than Unix nothing keeps two processes from one
// folder. The caller closes the store.
func Open(dir string, o Options) (*Store, error) { return open(dir, o, operatingSystem()) }

func open(dir string, o Options, from system) (_ *Store, err error) {
	if o.Bytes < 0 {
		return nil, fmt.Errorf("blockfile: %d bytes in %s: want a number above 0, or 0 for half of the free space", o.Bytes, dir)
	}
	s := &Store{dir: dir, system: from, notify: o.Notify, index: newIndex(), retired: map[string]*entry{}, holds: map[string][]*entry{}}
	if s.notify == nil {
		s.notify = func(string) {}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("blockfile: %w: name a folder in which files may be kept", err)
	}
	if s.lock, err = takeLock(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.lock.Close())
		}
	}()
	if err := s.readFolder(); err != nil {
		return nil, fmt.Errorf("blockfile: %w", err)
	}
	if s.limit = o.Bytes; s.limit == 0 {
		free, err := freeBytes(dir)
		if err != nil {
			return nil, fmt.Errorf("blockfile: how much is free in %s is not known: say how many bytes files may take: %w", dir, err)
		}
		s.limit = (free + s.used) / 2
	}
	if o.Held != nil {
		held, err := o.Held()
		if err != nil {
			return nil, err
		}
		for _, h := range held {
			if err := s.hold(h); err != nil {
				s.notify(fmt.Sprintf("what is pinned is more than may be, and the files of some of it may go: %v", err))
				break
			}
		}
	}
	if err := s.reserve(0); err != nil && !errors.Is(err, ErrFull) { // nothing new comes, and what cannot go stays
		return nil, err
	}
	return s, nil
}

// CheckFolder returns the error with which Open would refuse a folder at once: another process has it open
// ([ErrLocked]), or there can be no files in it. It is for programs that have something long to do before
// Open. It creates the folder if need be.
func CheckFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("blockfile: %w: name a folder in which files may be kept", err)
	}
	lock, err := takeLock(dir)
	if err != nil {
		return err
	}
	return lock.Close()
}

// takeLock keeps other processes from a folder.
func takeLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("blockfile: %w: name a folder in which files may be kept", err)
	} else if err != nil {
		return nil, fmt.Errorf("blockfile: %w", err)
	}
	ok, err := filelock.Try(f)
	switch {
	case err != nil:
		return nil, errors.Join(fmt.Errorf("blockfile: lock %s: %w", f.Name(), err), f.Close())
	case !ok:
		return nil, errors.Join(fmt.Errorf("blockfile: %w %s; end that process, or name another folder", ErrLocked, dir), f.Close())
	}
	return f, nil
}

// path returns the path of a file in the folder.
func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// Stats returns what the store holds and has done.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.stats
	now.Blocks, now.States, now.Bytes, now.Limit = s.blocks, s.states, s.used, s.limit
	return now
}

// Close gives the folder to other processes. Matches and drafts are closed before; what they still do fails.
func (s *Store) Close() error {
	s.files.Lock()
	defer s.files.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	for _, e := range s.names {
		e.at = nil
	}
	s.closed, s.index, s.retired, s.holds, s.held = true, newIndex(), map[string]*entry{}, map[string][]*entry{}, 0
	return s.lock.Close()
}
