package blockfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed4d217819/ebb/internal/directio"
	"github.com/seed4d217819/ebb/session"
	"github.com/seed4d217819/ebb/tier"
)

// model is a small model whose rows and states are functions of the tokens.
type model struct {
	session.Header
	window int // of its second layer; 0: none has a window
	salt   string
}

// dense has layers of different shapes: a block of the first one is no multiple of sectors.
func dense() model {
	return model{Header: session.Header{
		Architecture: "llama", Weights: "0123", TypeK: "f16", TypeV: "q8_0",
		Layers: []tier.Layout{{Heads: 2, KeyBytes: 4, ValueBytes: 6}, {Heads: 1, KeyBytes: 3, ValueBytes: 1}},
	}}
}

// windowed is dense, and its second layer has a window.
func windowed() model {
	m := dense()
	m.window = 100
	return m
}

// hybrid has recurrent layers besides.
func hybrid() model {
	m := dense()
	m.States = []int64{12, 5000}
	return m
}

// recurrent has recurrent layers alone.
func recurrent() model {
	m := hybrid()
	m.Layers = nil
	return m
}

func models() map[string]model {
	return map[string]model{"dense": dense(), "windowed": windowed(), "hybrid": hybrid(), "recurrent": recurrent()}
}

func (m model) root() Root { return NewRoot(m.Header, m.window, []byte(m.salt)) }

// hashes returns for each token a number that depends on it and all before.
func hashes(tokens []int32) []uint64 {
	all := make([]uint64, len(tokens))
	h := uint64(14695981039346656037)
	for i, id := range tokens {
		h = (h ^ uint64(uint32(id)) ^ uint64(i)<<32) * 1099511628211
		h ^= h >> 29
		all[i] = h
	}
	return all
}

// rows returns a block of a layer. The second layer has no rows before windowFrom, if it has a window.
func (m model) rows(layer, block int, tokens []int32, windowFrom int) []byte {
	l := m.Layers[layer]
	b := make([]byte, l.RowBytes()*BlockTokens)
	for i, h := range hashes(tokens[:min(len(tokens), (block+1)*BlockTokens)]) {
		if i < block*BlockTokens || m.window > 0 && layer == 1 && i < windowFrom {
			continue
		}
		for _, p := range []tier.Part{tier.Keys, tier.Values} {
			part, stride := l.Part(b, BlockTokens, p, i%BlockTokens)
			for head := range l.Heads {
				piece := part[int64(head)*stride:][:l.Piece(p)]
				for j := range piece {
					piece[j] = byte(h>>(8*j)) ^ byte(layer) ^ byte(head)<<2 ^ byte(p)<<4
				}
			}
		}
	}
	return b
}

func (m model) state(layer int, tokens []int32) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], hashes(tokens)[len(tokens)-1])
	seed[9] = byte(layer)
	b := make([]byte, m.States[layer])
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

// text returns tokens that depend on a seed.
func text(seed, n int) []int32 {
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = r.Int32()
	}
	return tokens
}

// save writes a conversation with states after some numbers of tokens and after all, block by block.
func save(s *Store, m model, tokens []int32, windowFrom int, states ...int) (err error) {
	d, err := s.Begin(m.root(), tokens, windowFrom)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for _, b := range d.Missing() {
		for l := range m.Layers {
			if err := d.Rows(l, b, m.rows(l, b, tokens, windowFrom)); err != nil {
				return err
			}
		}
	}
	if left := d.Missing(); len(left) > 0 {
		return fmt.Errorf("blocks %v are missing when all have been written", left)
	}
	for _, n := range append(states, len(tokens)) {
		for l := range m.States {
			if err := d.State(n, l, m.state(l, tokens[:n])); err != nil {
				return err
			}
		}
	}
	return nil
}

// find finds a prompt, reads all of what is found, compares that with what the model computes, and returns
// how many tokens it has.
func find(t *testing.T, s *Store, m model, prompt []int32) (int, error) {
	t.Helper()
	match := s.Find(m.root(), prompt)
	n := match.Tokens
	err := m.compare(t, match, prompt)
	return n, errors.Join(err, match.Close())
}

// errOther says that rows are not those that the model computes.
var errOther = errors.New("other rows")

// compare reads all of a match as a restore does.
func (m model) compare(t *testing.T, match *Match, prompt []int32) error {
	t.Helper()
	if match.Tokens == 0 {
		return nil
	}
	for l := range m.Layers {
		want := m.Layers[l]
		size := int(want.RowBytes() * BlockTokens)
		for first := 0; first < match.Blocks(); {
			n := min(1+first%3, match.Blocks()-first)
			got, err := match.Read(t.Context(), l, first, n, buffer(n*size))
			if err != nil {
				return err
			}
			for b := range n {
				cells := min(BlockTokens, match.Tokens-(first+b)*BlockTokens)
				rows := m.rows(l, first+b, prompt[:match.Tokens], match.WindowFrom())
				if !sameCells(want, got[b*size:][:size], rows, match.WindowFrom()-(first+b)*BlockTokens, cells) {
					return fmt.Errorf("layer %d, block %d: %w", l, first+b, errOther)
				}
			}
			first += n
		}
	}
	computed, snapshots := match.States()
	if len(m.States) > 0 && (len(snapshots) == 0 || computed != match.Tokens) {
		return fmt.Errorf("states after %d and %v tokens of %d: %w", computed, snapshots, match.Tokens, errOther)
	}
	for i, n := range snapshots {
		for l, size := range m.States {
			got, err := match.State(t.Context(), i, l, buffer(int(size)))
			if err != nil {
				return err
			}
			if !bytes.Equal(got, m.state(l, prompt[:n])) {
				return fmt.Errorf("state %d of layer %d: %w", i, l, errOther)
			}
		}
	}
	return nil
}

// sameCells compares the cells [from, to) of two blocks.
func sameCells(l tier.Layout, a, b []byte, from, to int) bool {
	for _, p := range []tier.Part{tier.Keys, tier.Values} {
		for cell := max(0, from); cell < to; cell++ {
			x, stride := l.Part(a, BlockTokens, p, cell)
			y, _ := l.Part(b, BlockTokens, p, cell)
			for head := range int64(l.Heads) {
				if !bytes.Equal(x[head*stride:][:l.Piece(p)], y[head*stride:][:l.Piece(p)]) {
					return false
				}
			}
		}
	}
	return true
}

func buffer(n int) []byte {
	return directio.Aligned(make([]byte, n+3*directio.Sector), n+2*directio.Sector)
}

// mustFind is find where it must succeed and return a number of tokens.
func mustFind(t *testing.T, s *Store, m model, prompt []int32, want int) {
	t.Helper()
	if n, err := find(t, s, m, prompt); n != want || err != nil {
		t.Errorf("found %d tokens, %v; want %d", n, err, want)
	}
}

func mustSave(t *testing.T, s *Store, m model, tokens []int32, states ...int) {
	t.Helper()
	if err := save(s, m, tokens, 0, states...); err != nil {
		t.Fatal(err)
	}
}

// openStore opens a folder, and closes it at the end of the test.
func openStore(t *testing.T, dir string, o Options) *Store {
	t.Helper()
	s, err := open(dir, o, unsynced())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// unsynced is the operating system, but does not wait for the disk: nobody cuts the power in a test.
func unsynced() system {
	s := operatingSystem()
	create := s.create
	s.create = func(path string) (file, error) {
		f, err := create(path)
		return unsyncedFile{f}, err
	}
	s.syncDir = func(string) error { return nil }
	return s
}

type unsyncedFile struct{ file }

func (unsyncedFile) Sync() error { return nil }

// files returns the names of the store's files in a folder, and how many bytes they take.
func files(t *testing.T, dir string) (names []string, bytes int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && e.Name() == "lock" {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		names = append(names, e.Name())
		bytes += max(info.Size(), allocated(info))
	}
	return names, bytes
}

// check compares the index of an idle store with the files in its folder.
func (s *Store) check(t *testing.T) {
	t.Helper()
	names, bytes := files(t, s.dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used > s.limit || bytes > s.used {
		t.Errorf("files take %d bytes, %d are booked, and %d are allowed", bytes, s.used, s.limit)
	}
	if s.loose != s.used {
		t.Errorf("%d bytes are booked, and nobody pins %d; want all", s.used, s.loose)
	}
	if len(names) != len(s.names) || len(names) != s.blocks+s.states || len(names) != s.order.Len() {
		t.Errorf("%d files; names of %d, %d blocks and %d states, %d in order", len(names), len(s.names), s.blocks, s.states, s.order.Len())
	}
	for _, name := range names {
		if e := s.names[filepath.Base(name)]; e == nil || e.pins != 0 {
			t.Errorf("%s: in the index as %+v", name, e)
		}
	}
}
