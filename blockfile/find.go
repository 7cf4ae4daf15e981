package blockfile

import (
	"slices"
	"time"

	"github.com/seed4d217819/ebb/tier"
)

// Match is the longest beginning of some tokens that a store has. It reads rows and states as kv's
// Pool.Restore wants them (kv.Source, kv.StateSource), and keeps its files from being evicted until it is
// closed. It may be used from many goroutines, except Close.
type Match struct {
	// Tokens is how many of the tokens need not be computed: all have rows, those before them in layers
	// with windows have rows as far as they are seen, and where layers are recurrent, there are states after
	// the last one.
	Tokens int

	store      *Store
	rows       []tier.Layout // the root's
	windowFrom int
	blocks     []*entry // with the rows of Tokens tokens
	states     []*entry // ascending
	stale      []*entry // whose use a restart is to know of
}

// Find returns what the store has of the beginning of some tokens. If that is nothing, the match has no
// tokens. Whoever needs the logits of the last token looks for those before it. The caller closes the
// match, or has kv's Pool.Restore close it.
func (s *Store) Find(root Root, tokens []int32) *Match {
	keys := root.chain(tokens)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Finds++
	m := s.longest(root, keys, tokens)
	if m.Tokens == 0 {
		return m
	}
	s.stats.Hits++
	for _, e := range m.files() {
		s.pin(e)
	}
	m.stale = s.touch(m.used())
	return m
}

// longest returns the longest beginning of some tokens that is there. Its files are not pinned yet.
func (s *Store) longest(root Root, keys []Key, tokens []int32) *Match {
	m := &Match{store: s, rows: root.rows}
	if s.closed {
		return m
	}
	all, agree, windowed := s.findRows(root, keys, tokens)
	if len(root.states) == 0 {
		m.cut(all, agree, windowed)
	} else {
		m.states = s.findStates(root, keys, tokens[:agree])
		for m.Tokens == 0 && len(m.states) > 0 {
			last := m.states[len(m.states)-1]
			if n := last.end(); windowed.enough(n) {
				m.take(all, n, windowed)
			} else {
				m.states = m.states[:len(m.states)-1]
			}
		}
	}
	return m
}

// cut gives the match all rows that end where enough of those of layers with windows are there.
func (m *Match) cut(all []*entry, agree int, windowed windowRows) {
	for n := agree; n > 0; n = (n - 1) / BlockTokens * BlockTokens {
		if windowed.enough(n) {
			m.take(all, n, windowed)
			return
		}
	}
}

// take gives the match the rows of some tokens.
func (m *Match) take(all []*entry, tokens int, windowed windowRows) {
	m.Tokens = tokens
	if len(all) > 0 {
		m.blocks = all[:blocks(tokens)]
		m.windowFrom = windowed.from[len(m.blocks)-1]
	}
}

// findRows returns the files that have rows of the beginning of some tokens, one for each block, and how
// many tokens that are. Without layers that have rows these are all.
func (s *Store) findRows(root Root, keys []Key, tokens []int32) (all []*entry, agree int, w windowRows) {
	w.size = root.window
	if len(root.rows) == 0 {
		return nil, len(tokens), w
	}
	for i := range blocks(len(tokens)) {
		e, n := s.rowsOf(root, keys, i, blockOf(tokens, i))
		if e == nil {
			return all, agree, w
		}
		all, agree = append(all, e), agree+n
		w.add(e)
		if n < BlockTokens {
			return all, agree, w
		}
	}
	return all, agree, w
}

// findStates returns the files with states after some number of tokens, ascending.
func (s *Store) findStates(root Root, keys []Key, tokens []int32) (all []*entry) {
	for i := range blocks(len(tokens)) {
		first := len(all)
		for _, e := range s.continuing(keys[i]) {
			if e.kind == statesKind && root.has(e, i) && prefix(blockOf(tokens, i), e.tokens) {
				all = append(all, e)
			}
		}
		slices.SortFunc(all[first:], func(a, b *entry) int { return len(a.tokens) - len(b.tokens) })
	}
	return all
}

// windowRows says where layers with windows have rows.
type windowRows struct {
	size int   // how many tokens they see before the next one; 0: there are no such layers
	from []int // by block: the first token from which on all have rows up to the block's end
}

func (w *windowRows) add(e *entry) {
	from := e.start + e.windowFrom
	if n := len(w.from); e.windowFrom == 0 && n > 0 {
		from = w.from[n-1]
	}
	w.from = append(w.from, from)
}

// enough reports whether a text can go on after n tokens.
func (w *windowRows) enough(n int) bool {
	if w.size == 0 || len(w.from) == 0 {
		return true
	}
	from := w.from[blocks(n)-1]
	return from == 0 || n-from >= w.size
}

// files returns all files of a match.
func (m *Match) files() []*entry { return slices.Concat(m.blocks, m.states) }

// used returns the files that a match makes use of, in the order in which they continue each other.
func (m *Match) used() []*entry {
	if len(m.states) == 0 {
		return m.blocks
	}
	return append(slices.Clip(m.blocks), m.states[len(m.states)-1])
}

// staleAfter is how old the last use of a file that a restart knows of may be. It bounds how often times
// are written.
const staleAfter = time.Minute

// touch makes files the most recently used ones, and returns those of whose use a restart does not know.
func (s *Store) touch(files []*entry) (stale []*entry) {
	now := time.Now()
	s.use(files)
	for _, e := range files {
		if now.Sub(e.used) >= staleAfter {
			e.used = now
			stale = append(stale, e)
		}
	}
	return stale
}

// note writes down that files are used now. That it may fail harms no more than the order of eviction
// after a restart.
func (s *Store) note(stale []*entry) {
	now := time.Now()
	for _, e := range stale {
		_ = s.system.chtimes(s.path(e.name), now)
	}
}
