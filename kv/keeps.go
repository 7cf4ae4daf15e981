package kv

import (
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// Keeps returns how many of a sequence's first n tokens need not be computed again if it is truncated to
// n: all, unless layers are recurrent and no state after n tokens is kept, or rows are gone that the next
// token sees in layers with windows. No step of the sequence may be open.
func (s *Seq) Keeps(n int) int {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if s.tree == nil {
		return 0
	}
	n = max(0, min(n, len(s.tokens)))
	if s.tree.rings != nil {
		n = s.tree.seen(s.firstOf(n))
	}
	if s.pool.states == nil || s.placeOf(n) != nowhere {
		return n
	}
	for _, one := range slices.Backward(s.snapshots) {
		if one.tokens <= n {
			return one.tokens
		}
	}
	return 0
}

// Room returns how many more tokens a sequence and its forks have cells for together.
func (s *Seq) Room() int {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if s.tree == nil {
		return 0
	}
	return s.tree.free()
}

// firstOf returns the cells of the sequence's first n tokens.
func (s *Seq) firstOf(n int) []int {
	runs := append([]tier.Run{{N: s.tree.sealed}}, s.runs...)
	kept, _ := cutRuns(runs, n)
	return listCells(kept)
}
