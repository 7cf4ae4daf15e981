package ebb

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/session"
	"github.com/seed4d217819/ebb/tier"
)

// ImportOptions say what is done with K/V of other programs.
type ImportOptions struct {
	// Convert lets K/V be converted to the engine's type. Values that it does not have are rounded to
	// the nearest.
	Convert bool
}

// Import returns new sequences with the K/V of a safetensors file, as [Engine.Export] writes it: one for
// each of its batch. [session.ErrTensors] says that the file is none of that kind, [session.ErrModel]
// that its K/V are another model's, and [kv.ErrFull] that its tokens have no room. After an error nothing
// is left in the cache. The caller closes the sequences.
func (e *Engine) Import(ctx context.Context, path string, o ImportOptions) (batch []*kv.Seq, err error) {
	in, err := session.OpenImport(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	want, err := e.sessionHeader()
	if err != nil {
		return nil, err
	}
	if err := in.For(want, e.importOptions(o)); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			return
		}
		for _, seq := range batch {
			err = errors.Join(err, seq.Close())
		}
		batch = nil
	}()
	for row := range in.Batch() {
		seq, err := e.runner.Pool().Restore(ctx, in.Tokens(row), &importSource{in: in, row: row, layouts: want.Layers})
		if err != nil {
			return batch, err
		}
		batch = append(batch, seq)
		if err := seq.Wait(ctx); err != nil { // the file is closed then
			return batch, err
		}
	}
	return batch, nil
}

// importSource is one sequence of an import. The pool reads from several goroutines, and an import is
// read by one.
type importSource struct {
	in      *session.Import
	row     int
	layouts []tier.Layout

	mu sync.Mutex
}

// Read reads blocks one after the other.
func (s *importSource) Read(ctx context.Context, layer, first, blocks int, buffer []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := s.layouts[layer].RowBytes() * kv.Block
	for b := range int64(blocks) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.in.Read(s.row, layer, first+int(b), buffer[b*size:][:size]); err != nil {
			return nil, err
		}
	}
	return buffer[:int64(blocks)*size], nil
}

// Close has nothing to do: the import is closed by its owner.
func (s *importSource) Close() error { return nil }

func (e *Engine) importOptions(o ImportOptions) session.ImportOptions {
	a, _ := model.Find(e.file.Architecture(), architectures()) // the engine has opened it
	return session.ImportOptions{Interleaved: a.InterleavedRoPE, Convert: o.Convert, Vocab: e.Config().Vocab}
}

// Errors of [ImportSession] that an option resolves.
var (
	ErrChooseRow   = errors.New("several sequences, and a session keeps one")        // ImportSessionOptions.Row
	ErrChooseModel = errors.New("nothing that says which model the K/V belong to")   // ImportSessionOptions.Model
	ErrChooseType  = errors.New("keys and values of two types, and a cache has one") // ImportSessionOptions.KVType
)

// ImportSessionOptions say what a session is made of.
type ImportSessionOptions struct {
	// Model is the GGUF file of the model that the K/V belong to. "": the one that the file names, if
	// ebb has exported it.
	Model string
	// KVType is the type of K/V in the session: f32, f16, bf16, q8_0 or q4_0, to which they are
	// converted. "": that of the file.
	KVType string
	// Row is the sequence of the file's batch, from 0; nil: there must be only one.
	Row *int
}

// Imported is what an import has read and written.
type Imported struct {
	Tokens int
	Types  [2]string // of the file's keys and values
	Kept   [2]string // of the session's
}

// ImportSession makes a session of one sequence in a safetensors file, as [Engine.Import] reads it. It
// needs no engine, and of the model its header and digest. A session of the name is replaced when all
// is written, and not before.
func ImportSession(path, to string, o ImportSessionOptions) (done Imported, err error) {
	in, err := session.OpenImport(path)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	row, err := chooseRow(path, in.Batch(), o.Row)
	if err != nil {
		return done, err
	}
	want, vocab, err := o.header(path, in.Header())
	if err != nil {
		return done, err
	}
	a, err := model.Find(want.Architecture, architectures())
	if err != nil {
		return done, fmt.Errorf("%s: %w", path, err)
	}
	if err := in.For(want, session.ImportOptions{Interleaved: a.InterleavedRoPE, Convert: o.KVType != "", Vocab: vocab}); err != nil {
		return done, err
	}
	lock, err := session.Acquire(to)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	from := in.Header()
	done = Imported{len(in.Tokens(row)), [2]string{from.TypeK, from.TypeV}, [2]string{want.TypeK, want.TypeV}}
	return done, in.Save(row, to)
}

func chooseRow(path string, batch int, row *int) (int, error) {
	switch {
	case row == nil && batch > 1:
		return 0, fmt.Errorf("%s has %w: rows 0 to %d", path, ErrChooseRow, batch-1)
	case row == nil:
		return 0, nil
	case *row < 0 || *row >= batch:
		return 0, fmt.Errorf("%s has no row %d: want 0 to %d", path, *row, batch-1)
	}
	return *row, nil
}

// header returns that of the session, and the size of the model's vocabulary if the model is there.
func (o ImportSessionOptions) header(path string, in session.Header) (want session.Header, vocab int, err error) {
	k, v := in.TypeK, in.TypeV
	if o.KVType != "" {
		k, v = o.KVType, o.KVType
	}
	switch {
	case k != v:
		return want, 0, fmt.Errorf("%s has %w: %s and %s", path, ErrChooseType, k, v)
	case o.Model != "":
		if in, vocab, err = readSessionHeader(o.Model, in.RoPE); err != nil {
			return want, 0, err
		}
	case in.Architecture == "" || in.Weights == "":
		return want, 0, fmt.Errorf("%s has %w", path, ErrChooseModel)
	}
	want, err = in.In(k, v)
	return want, vocab, err
}

// readSessionHeader returns the header of sessions of a model with K/V in f32, and the size of its
// vocabulary. rope is what the file says of its positions.
func readSessionHeader(path, rope string) (h session.Header, vocab int, err error) {
	f, err := gguf.Open(path)
	if err != nil {
		return h, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	c, err := ReadConfig(f)
	if err != nil {
		return h, 0, fmt.Errorf("%s: %w", path, err)
	}
	if rope == "" && hasTwoRotations(f) {
		return h, 0, fmt.Errorf("%s encodes positions in two ways, and the metadata of the K/V do not say which theirs is: rope must be \"longrope, short factors\" or \"longrope, long factors\"", path)
	}
	h = session.Header{Architecture: f.Architecture(), RoPE: rope, TypeK: "f32", TypeV: "f32"}
	for _, l := range c.Layers {
		if n := int64(l.State.Values()); n > 0 {
			h.States = append(h.States, 4*n)
		}
		if l.SharesKV || l.KVHeads == 0 {
			continue
		}
		h.Layers = append(h.Layers, tier.Layout{Heads: l.KVHeads, KeyBytes: 4 * int64(l.KeyDim), ValueBytes: 4 * int64(l.ValueDim)})
	}
	h.Weights, err = weightsDigest(f)
	return h, c.Vocab, err
}

// hasTwoRotations reports whether a model has other factors of RoPE's frequencies for long contexts.
func hasTwoRotations(f *gguf.File) bool {
	_, long := f.Tensor("rope_factors_long.weight")
	return long
}
