package ebb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/session"
)

// Session is a file that keeps the tokens and the K/V of one sequence, so that another process goes on
// as if it had never ended. It is used by one goroutine. The format is that of package session.
type Session struct {
	engine  *Engine // nil: not yet bound
	path    string
	header  session.Header // what the model wants
	lock    *session.Lock
	file    *session.File // nil: nothing is saved yet
	reading []<-chan struct{}
}

var _ [kv.Block - session.BlockCells]struct{} = [0]struct{}{} // kv's blocks are those of the file

// OpenSession opens the session at a path, which need not exist yet, for the model in a file that is
// to be opened with these options. It reads no weights but, the first time that the model has a
// session, for their digest, which is then remembered in the user's cache folder; so whoever opens
// the session before the engine hears at once what is wrong with it.
//
// The session keeps other processes out until it is closed: if one has it, the error wraps
// [session.ErrLocked]. [session.ErrModel] says that the rows there are another model's, or of other
// types; [session.ErrFormat] and [session.ErrDamaged] say that the file cannot be used. Rows that are
// damaged are found when they are read, and leave the tokens: see [Session.Restore].
// [Session.Bind] ties the session to the engine. The caller closes the session.
func OpenSession(path, model string, o Options) (*Session, error) {
	typ, err := kv.ParseType(o.withDefaults().KVType)
	if err != nil {
		return nil, fmt.Errorf("ebb: options: KVType: %w", err)
	}
	file, err := gguf.Open(model)
	if err != nil {
		return nil, err
	}
	s, err := openSession(path, file, [2]ggml.Type{typ, typ})
	if closed := file.Close(); err == nil && closed != nil {
		return nil, errors.Join(closed, s.Close())
	}
	return s, err
}

// OpenSession is the function of that name for the engine's model, and binds the session to the
// engine.
func (e *Engine) OpenSession(path string) (*Session, error) {
	k, v := e.runner.Pool().Types()
	s, err := openSession(path, e.file, [2]ggml.Type{k, v})
	if err != nil {
		return nil, err
	}
	if err := s.Bind(e); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openSession opens the session of a model whose K/V have these types.
func openSession(path string, model *gguf.File, types [2]ggml.Type) (_ *Session, err error) {
	s := &Session{path: path}
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
	if s.header, err = modelHeader(model, types); err != nil {
		return nil, err
	}
	return s, s.fits()
}

// sessionHeader returns the header of sessions of the engine's model, without tokens.
func (e *Engine) sessionHeader() (session.Header, error) {
	k, v := e.runner.Pool().Types()
	h, err := modelHeader(e.file, [2]ggml.Type{k, v})
	h.Layers, h.States, h.RoPE = e.runner.Pool().Layouts(), e.runner.Pool().StateSizes(), e.Config().RoPE
	return h, err
}

// modelHeader returns the header of a model's sessions, without tokens and layers.
func modelHeader(model *gguf.File, types [2]ggml.Type) (session.Header, error) {
	weights, err := weightsDigest(model)
	return session.Header{
		Architecture: model.Architecture(), Weights: weights, TypeK: types[0].String(), TypeV: types[1].String(),
	}, err
}

// fits reports why what is saved cannot be used with the model.
func (s *Session) fits() error {
	if s.file == nil {
		return nil
	}
	want := s.header
	if want.Layers == nil { // as long as no engine is bound
		want.Layers, want.States, want.RoPE = s.file.Header().Layers, s.file.Header().States, s.file.Header().RoPE
	}
	if err := s.file.Header().Fits(want); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	return nil
}

// Bind ties a session to the engine whose sequences it keeps. The engine has the model and the types
// of K/V that the session was opened for.
func (s *Session) Bind(e *Engine) error {
	pool := e.runner.Pool()
	k, v := pool.Types()
	if got := e.file.Architecture(); got != s.header.Architecture || k.String() != s.header.TypeK || v.String() != s.header.TypeV {
		return fmt.Errorf("ebb: %s was opened for a model of the architecture %s with K/V of the types %s and %s, and the engine has %s, %v and %v",
			s.path, s.header.Architecture, s.header.TypeK, s.header.TypeV, got, k, v)
	}
	s.engine, s.header.Layers, s.header.States, s.header.RoPE = e, pool.Layouts(), pool.StateSizes(), e.Config().RoPE
	return s.fits()
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

// Path returns the file's name.
func (s *Session) Path() string { return s.path }

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

// Restore returns a new sequence that holds the first n of the saved tokens, without having read their
// rows and states: each layer is read when the first steps want it, and no more than n tokens need. Where
// layers are recurrent, tokens behind the last saved state are computed again: see [kv.Seq.Pending].
// Every byte is
// compared with its checksum. If some are not those that were saved, the step that needs them fails
// with [session.ErrDamaged] before it computes with them, and so do all later ones: close the sequence
// and compute the tokens anew. [kv.Seq.Wait] waits until all rows are there.
//
// After an error of its own nothing is left in the cache; [kv.ErrFull] says that the tokens have no
// room. The caller closes the sequence.
func (s *Session) Restore(ctx context.Context, n int) (*kv.Seq, error) {
	switch saved := len(s.Tokens()); {
	case s.engine == nil:
		return nil, errors.New("ebb: a session that no engine is bound to: call Bind first")
	case n < 0 || n > saved:
		return nil, fmt.Errorf("ebb: %d tokens of %s: it has %d", n, s.path, saved)
	case n == 0:
		return s.engine.NewSeq(), nil
	}
	rows, err := s.file.Rows()
	if err != nil {
		return nil, err
	}
	closed := make(chan struct{})
	s.reading = append(s.reading, closed)
	return s.engine.runner.Pool().Restore(ctx, s.Tokens()[:n], source{rows, s.file.Header().WindowFrom, closed})
}

var _ kv.StateSource = source{}

// source is rows and states that are being read.
type source struct {
	*session.Rows
	windowFrom int
	closed     chan<- struct{}
}

// WindowFrom returns the first token whose rows layers with windows have.
func (s source) WindowFrom() int { return s.windowFrom }

func (s source) Close() error {
	defer close(s.closed)
	return s.Rows.Close()
}

// read waits until nothing is read of the file any more: some systems rename over no open file.
func (s *Session) read(ctx context.Context) error {
	for len(s.reading) > 0 {
		select {
		case <-s.reading[0]:
			s.reading = s.reading[1:]
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Save writes a sequence of the engine, and JSON that the program wants back with it (nil: none), in
// place of what the session has held. It waits until nothing is read of that any more. After an error,
// and if the process is killed meanwhile, the session holds what it has held before.
func (s *Session) Save(ctx context.Context, seq *kv.Seq, attached json.RawMessage) (err error) {
	if s.engine == nil {
		return errors.New("ebb: a session that no engine is bound to: call Bind first")
	}
	var w *session.Writer
	defer func() {
		if w != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	to := &sessionSink{create: func(all kv.Saved) (_ *session.Writer, err error) {
		h := s.header
		h.Tokens, h.WindowFrom, h.Attached = all.Tokens, all.WindowFrom, attached
		if h.States != nil {
			h.Computed, h.Snapshots = all.Computed, all.Snapshots
		}
		w, err = session.Create(s.path, h)
		return w, err
	}}
	if err := s.engine.runner.Pool().Save(ctx, seq, to); err != nil {
		return err
	}
	if err := s.read(ctx); err != nil {
		return err
	}
	if s.file != nil {
		err := s.file.Close()
		if s.file = nil; err != nil {
			return fmt.Errorf("session: %w", err)
		}
	}
	return errors.Join(w.Commit(), s.open())
}

// sessionSink writes what is saved of a sequence to a session.
type sessionSink struct {
	*session.Writer
	create func(kv.Saved) (*session.Writer, error)
}

func (s *sessionSink) Begin(all kv.Saved) (err error) {
	s.Writer, err = s.create(all)
	return err
}

func (s *sessionSink) Rows(layer, block int, rows []byte) error { return s.Write(layer, block, rows) }

func (s *sessionSink) State(number, layer int, state []byte) error {
	return s.WriteState(number, layer, state)
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

// Close ends the use of the session, and lets other processes have it. It saves nothing. What is
// restored of it is still read.
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
