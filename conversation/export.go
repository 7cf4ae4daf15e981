package conversation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/seed4d217819/ebb/blockfile"
	"github.com/seed4d217819/ebb/kv"
)

// A conversation is exported through a file, since the header of a session has checksums of what follows. With a
// folder for files it lies there, and takes part of what they may.

// ErrExports says that as many conversations are being exported as may be at a time.
var ErrExports = errors.New("conversation: others are being exported")

// ErrNoDisk says that there is no room on the disk for the file of a conversation.
var ErrNoDisk = errors.New("conversation: there is no room on the disk for its file")

// mostExports is how many conversations may be exported at a time: each takes as much of the disk as its rows do.
const mostExports = 4

// exportPrefix begins the names of the folders of files that are being exported.
const exportPrefix = "export-"

// Export is the file of a session that goes on with a conversation. Where the system lets open files have no
// name, it has none, so that nothing is left of it, however the process ends.
type Export struct {
	*os.File
	close func() error
}

// Close removes the file. It may be called twice.
func (e *Export) Close() error { return e.close() }

// Export writes an idle conversation of an owner to a file as [ebb.Engine.OpenSession] reads it, which the caller
// closes. The error is that of [Store.Fork], [ErrExports], or [ErrNoDisk]. Any goroutine may call it.
func (s *Store) Export(ctx context.Context, owner, id string) (_ *Export, err error) {
	if err := s.beginExport(); err != nil {
		return nil, err
	}
	ends := []func() error{s.endExport} // what is undone, the last one first
	end := sync.OnceValue(func() (err error) {
		for _, f := range slices.Backward(ends) {
			err = errors.Join(err, f())
		}
		return err
	})
	defer func() {
		if err != nil {
			err = errors.Join(err, end())
		}
	}()
	ctx, giveSeqBack := context.WithCancel(ctx)
	defer giveSeqBack() // when the sequence is closed: requests may wait for its room
	seq, err := s.Fork(ctx, owner, id)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, seq.Close()) }()
	bytes := s.sessionBytes(seq.Len())
	giveBack, err := s.borrow(bytes)
	if err != nil {
		return nil, err
	}
	ends = append(ends, giveBack)
	dir, err := s.exportFolder()
	if err != nil {
		return nil, noDisk(err)
	}
	ends = append(ends, func() error { return os.RemoveAll(dir) })
	path := filepath.Join(dir, "session")
	if err := s.writeSession(ctx, path, seq); err != nil {
		return nil, noDisk(err)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	ends = append(ends, file.Close)
	_ = os.RemoveAll(dir) // where open files have names, it goes when the file is closed
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if more := info.Size() - bytes; more > 0 { // it has snapshots of states
		giveBack, err := s.borrow(more)
		if err != nil {
			return nil, err
		}
		ends = append([]func() error{giveBack}, ends...)
	}
	return &Export{file, end}, nil
}

// beginExport counts an export, unless there are as many as may be.
func (s *Store) beginExport() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exports == mostExports {
		return ErrExports
	}
	s.exports++
	return nil
}

func (s *Store) endExport() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exports--
	return nil
}

// sessionBytes returns how large the file of a session is about: whole blocks of rows, the tokens, and the states
// with which it goes on.
func (s *Store) sessionBytes(tokens int) int64 {
	const header = 64 << 10
	whole := int64(tokens+kv.Block-1) / kv.Block * kv.Block
	bytes := header + whole*(s.engine.Stats().Cache.TokenBytes+4)
	if s.files != nil {
		for _, state := range s.files.header.States {
			bytes += state
		}
	}
	return bytes
}

// borrow books bytes of what files may take, if there are some. The function that it returns gives them back.
func (s *Store) borrow(bytes int64) (giveBack func() error, err error) {
	if s.files == nil {
		return func() error { return nil }, nil
	}
	back, err := s.files.blocks.Borrow(bytes)
	if err != nil {
		return nil, noDisk(err)
	}
	return func() error { back(); return nil }, nil
}

// noDisk names an error of a disk or a limit that is full.
func noDisk(err error) error {
	if errors.Is(err, blockfile.ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoDisk, err)
	}
	return err
}

// exportFolder makes a folder for a file: where files of conversations are, or otherwise the system's.
func (s *Store) exportFolder() (string, error) {
	if s.files == nil {
		return os.MkdirTemp("", "ebb-"+exportPrefix)
	}
	return os.MkdirTemp(s.options.Dir, exportPrefix)
}

// removeExports removes the files that a killed process has left in a folder.
func removeExports(dir string) error {
	all, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, one := range all {
		if one.IsDir() && strings.HasPrefix(one.Name(), exportPrefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, one.Name())))
		}
	}
	return err
}

// writeSession writes a sequence to the file of a session.
func (s *Store) writeSession(ctx context.Context, path string, seq *kv.Seq) (err error) {
	session, err := s.engine.OpenSession(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	return session.Save(ctx, seq, nil)
}
