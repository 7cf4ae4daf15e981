package blockfile

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// watched is the operating system with a check of the folder's size whenever files have come or gone.
func watched(t *testing.T, dir string, limit int64) system {
	s := unsynced()
	rename := s.rename
	s.rename = func(from, to string) error {
		err := rename(from, to)
		if _, bytes := files(t, dir); bytes > limit {
			t.Errorf("files take %d bytes; want at most %d", bytes, limit)
		}
		return err
	}
	return s
}

// Under random conversations with little room, the limit holds at every moment, whatever is found is right,
// and what was just saved is found.
func TestTheLimitHoldsUnderRandomWrites(t *testing.T) {
	for seed := range 6 {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		limit := int64(2+r.IntN(60)) * footprint(5*page)
		dir := t.TempDir()
		s, err := open(dir, Options{Bytes: limit}, watched(t, dir, limit))
		if err != nil {
			t.Fatal(err)
		}
		all := []model{dense(), windowed(), hybrid(), recurrent()}
		talks := [][]int32{text(1, 100)}
		var open []*Match
		for range 150 {
			m, tokens := all[r.IntN(len(all))], talks[r.IntN(len(talks))]
			switch r.IntN(9) {
			case 8:
				if err := s.Hold(Held{"one", m.root().Trail(tokens)}); err != nil && !errors.Is(err, ErrHeld) {
					t.Fatal(err)
				}
			case 0, 1: // a conversation leaves another one
				talks = append(talks, slices.Concat(tokens[:r.IntN(len(tokens))+1], text(r.Int(), r.IntN(500))))
			case 2:
				if err := s.Remove(m.root().Trail(tokens), tokens, 0); err != nil {
					t.Fatal(err)
				}
			case 3:
				if err := s.Find(m.root(), tokens).Close(); err != nil {
					t.Fatal(err)
				}
			case 4:
				if len(open) < 3 {
					open = append(open, s.Find(m.root(), tokens))
				} else if err := open[0].Close(); err != nil {
					t.Fatal(err)
				} else {
					open = open[1:]
				}
			default:
				from := max(0, len(tokens)-r.IntN(400)) * r.IntN(2) * min(1, m.window)
				err := save(s, m, tokens, from, 1+r.IntN(len(tokens)))
				n, read := find(t, s, m, tokens)
				if has := s.Has(m.root(), m.root().Trail(tokens)); len(m.Layers) > 0 && (has > n || n == len(tokens) && has < n) {
					t.Errorf("seed %d: a trail has %d of %d tokens; %d were found", seed, has, len(tokens), n)
				}
				if read != nil || err == nil && n != len(tokens) && len(tokens)-from >= m.window || err != nil && !errors.Is(err, ErrFull) {
					t.Fatalf("seed %d: save of %d tokens: %v; found %d, %v", seed, len(tokens), err, n, read)
				}
			}
		}
		if err := s.Free("one"); err != nil {
			t.Fatal(err)
		}
		for _, m := range open {
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		}
		s.check(t)
		before := s.Stats()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, dir, Options{Bytes: limit})
		s.check(t)
		if now := s.Stats(); now.Blocks != before.Blocks || now.States != before.States || now.Bytes != before.Bytes {
			t.Errorf("seed %d: opened again: %+v; before: %+v", seed, now, before)
		}
		for _, m := range all {
			for _, tokens := range talks {
				if _, err := find(t, s, m, tokens); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// Several goroutines save, find and remove the same conversations.
func TestManyGoroutinesUseAStore(t *testing.T) {
	dir := t.TempDir()
	limit := 40 * footprint(5*page)
	s := openStore(t, dir, Options{Bytes: limit})
	var wait sync.WaitGroup
	var hits atomic.Int64
	for g := range 6 {
		wait.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 2))
			for range 40 {
				m := []model{dense(), hybrid()}[r.IntN(2)]
				tokens := slices.Concat(text(1, 300), text(r.IntN(6), 50+r.IntN(400)))
				if err := save(s, m, tokens, 0, 300); err != nil && !errors.Is(err, ErrFull) {
					t.Error(err)
				}
				n, err := find(t, s, m, tokens)
				if err != nil {
					t.Error(err)
				}
				hits.Add(int64(n))
				if r.IntN(3) == 0 {
					if err := s.Remove(m.root().Trail(tokens), tokens, 0); err != nil {
						t.Error(err)
					}
				}
				if err := s.Find(m.root(), tokens).Close(); err != nil {
					t.Error(err)
				}
				if got := s.Stats(); got.Bytes > limit {
					t.Errorf("%d bytes; want at most %d", got.Bytes, limit)
				}
			}
		})
	}
	wait.Wait()
	s.check(t)
	if hits.Load() == 0 || s.Stats().Damaged > 0 {
		t.Errorf("found %d tokens; %+v", hits.Load(), s.Stats())
	}
}
