package ebb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/session"
)

// Session is a file that keeps the tokens and the K/V of one sequence, so that another process goes on
// as if it had never ended. [Engine.OpenSession] opens one. It is used by one goroutine. The format is
// that of package session.
type Session struct {
	engine *Engine
	path   string
	header session.Header // what the engine's model wants
	lock   *session.Lock
	file   *session.File // nil: nothing is saved yet
}

var _ [kv.Block - session.BlockCells]struct{} = [0]struct{}{} // kv's blocks are those of the file

// OpenSession opens the session at a path, which need not exist yet, and keeps other processes from it
// until it is closed: if one has it, the error wraps [session.ErrLocked]. [session.ErrModel] says that
// the rows there are another model's, or of other types; [session.ErrFormat] and [session.ErrDamaged]
// say that the file cannot be used. The first session of a model reads all of its file, whose digest is
// then remembered in the user's cache folder. The caller closes the session.
func (e *Engine) OpenSession(path string) (_ *Session, err error) {
	s := &Session{engine: e, path: path}
	if s.lock, err = session.Acquire(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.open(); err != nil {
		return nil, err
	}
	if s.header, err = e.sessionHeader(); err != nil {
		return nil, err
	}
	if s.file == nil {
		return s, nil
	}
	if err := s.file.Header().Fits(s.header); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// sessionHeader returns the header of sessions of the engine's model, without tokens.
func (e *Engine) sessionHeader() (session.Header, error) {
	weights, err := weightsDigest(e.file)
	if err != nil {
		return session.Header{}, err
	}
	pool := e.runner.Pool()
	k, v := pool.Types()
	return session.Header{
		Architecture: e.file.Architecture(), Weights: weights, TypeK: k.String(), TypeV: v.String(), Layers: pool.Layouts(),
	}, nil
}

// weightsDigest returns the digest of a model's files, which is remembered in the user's cache folder.
func weightsDigest(f *gguf.File) (string, error) {
	var digests session.Digests
	if dir, err := os.UserCacheDir(); err == nil {
		digests.Dir = filepath.Join(dir, "ebb", "digests")
	}
	var paths []string
	for _, part := range f.Parts() {
		paths = append(paths, part.Path)
	}
	return digests.Files(paths...)
}

// Tokens returns the tokens that are saved. They are the session's.
func (s *Session) Tokens() []int32 {
	if s.file == nil {
		return nil
	}
	return s.file.Header().Tokens
}

// Attached returns what was attached when the session was saved; nil: nothing.
func (s *Session) Attached() json.RawMessage {
	if s.file == nil {
		return nil
	}
	return s.file.Header().Attached
}

// Restore returns a new sequence that holds what is saved: nothing, if the session is new. Every byte
// that is read is compared with its checksum. After an error nothing is left in the cache; [kv.ErrFull]
// says that the tokens have no room. The caller closes the sequence.
func (s *Session) Restore(ctx context.Context) (*kv.Seq, error) {
	if s.file == nil {
		return s.engine.NewSeq(), nil
	}
	return s.engine.runner.Pool().Restore(ctx, s.Tokens(), func(layer, block int, rows []byte) error {
		return s.file.Read(layer, block, 1, rows)
	})
}

// Save writes a sequence of the engine, and JSON that the program wants back with it (nil: none), in
// place of what the session has held. After an error, and if the process is killed meanwhile, the
// session holds what it has held before.
func (s *Session) Save(ctx context.Context, seq *kv.Seq, attached json.RawMessage) (err error) {
	var w *session.Writer
	defer func() {
		if w != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	begin := func(tokens []int32) (err error) {
		h := s.header
		h.Tokens, h.Attached = tokens, attached
		w, err = session.Create(s.path, h)
		return err
	}
	write := func(layer, block int, rows []byte) error { return w.Write(layer, block, rows) }
	if err := s.engine.runner.Pool().Save(ctx, seq, begin, write); err != nil {
		return err
	}
	if s.file != nil { // some systems rename over no open file
		err := s.file.Close()
		if s.file = nil; err != nil {
			return fmt.Errorf("session: %w", err)
		}
	}
	return errors.Join(w.Commit(), s.open())
}

// open opens the file, if there is one.
func (s *Session) open() error {
	file, err := session.Open(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	s.file = file
	return nil
}

// Close ends the use of the session, and lets other processes have it. It saves nothing.
func (s *Session) Close() error {
	var errs []error
	if s.file != nil {
		errs = append(errs, s.file.Close())
		s.file = nil
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}
