package blockfile

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// A trail leads to all tokens and says how many are there, whatever files have come and gone.
func TestATrailLeadsToItsTokens(t *testing.T) {
	for name, m := range models() {
		if len(m.Layers) == 0 {
			continue // no file has rows, and says all tokens of a block
		}
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir, Options{})
			a := text(1, 700)
			long, left := slices.Concat(a, text(2, 100)), slices.Concat(a[:300], text(3, 100))
			other := m
			other.salt = "other" // the trail says it
			for _, tokens := range [][]int32{a[:256], a, left} {
				mustSave(t, s, other, tokens)
			}
			check := func(tokens []int32, found, has int) {
				t.Helper()
				trail := other.root().Trail(tokens)
				if got := s.Tokens(trail); !slices.Equal(got, tokens[:found]) {
					t.Errorf("of %d tokens %d are found; want %d", len(tokens), len(got), found)
				}
				if got := s.Has(m.root(), trail); got != has || trail.Len() != len(tokens) {
					t.Errorf("of %d tokens %d are there; want %d", len(tokens), got, has)
				}
			}
			check(a, 700, 700)
			mustSave(t, s, other, long)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, dir, Options{})
			check(a, 700, 700) // the longer one's file has its end, too
			check(long, 800, 800)
			check(left, 400, 400)
			check(nil, 0, 0)
			if err := s.Remove(other.root().Trail(long), long, 512); err != nil {
				t.Fatal(err)
			}
			has := 512
			if len(m.States) > 0 {
				has = 256 // where the first one has ended
			}
			check(long, 512, has)
			check(left, 400, 400)
			x, y := other.root().Trail(long), other.root().Trail(left)
			if x.Common(y) != 1 || x.Common(x) != 3 || x.Common(m.root().Trail(long)) != 0 {
				t.Error("trails have other blocks in common")
			}
		})
	}
}

// What is held is not evicted, also when the folder is opened with less room, and is half of the room at most.
func TestHeldFilesAreNotEvicted(t *testing.T) {
	m, dir := dense(), t.TempDir()
	size := footprint(2*page + 3*page) // 5120 and 1024 bytes of rows, behind a header
	s := openStore(t, dir, Options{Bytes: 8 * size})
	a, b := text(1, 768), text(2, 768)
	mustSave(t, s, m, a)
	mustSave(t, s, m, b)
	hold := func(name string, tokens []int32) error { return s.Hold(Held{name, m.root().Trail(tokens)}) }
	if err := hold("a", a); err != nil {
		t.Fatal(err)
	}
	if err := hold("b", b); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), dir) {
		t.Errorf("six of eight blocks are held: %v; want %v and the folder", err, ErrHeld)
	}
	for i := range 10 {
		mustSave(t, s, m, text(10+i, 500))
	}
	mustFind(t, s, m, a, 768)
	mustFind(t, s, m, b, 256)                                                   // what there was room for
	if err := errors.Join(hold("b", a), s.Free("a"), s.Free("a")); err != nil { // two have it for a moment
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	said := ""
	s = openStore(t, dir, Options{Bytes: 4 * size, Notify: func(line string) { said += line }, Held: func() ([]Held, error) {
		return []Held{{"a", m.root().Trail(a)}}, nil
	}})
	if !strings.Contains(said, "pinned") {
		t.Errorf("three of four blocks are held, and the operator hears %q", said)
	}
	for i := range 4 {
		mustSave(t, s, m, text(30+i, 500))
	}
	mustFind(t, s, m, a, 512) // half
	if err := s.Free("a"); err != nil {
		t.Error(err)
	}
	mustSave(t, s, m, text(40, 1000))
	mustFind(t, s, m, a, 0)
	s.check(t)

	// Files that go while they are held go when nobody holds them.
	c := text(50, 300)
	mustSave(t, s, m, c)
	if err := errors.Join(hold("c", c), s.Remove(m.root().Trail(c), c, 0)); err != nil {
		t.Error(err)
	}
	mustFind(t, s, m, c, 0)
	if err := s.Free("c"); err != nil {
		t.Error(err)
	}
	s.check(t)
	want := errors.New("cannot be read")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{Held: func() ([]Held, error) { return nil, want }}); !errors.Is(err, want) {
		t.Errorf("%v; want %v", err, want)
	}
}
