package kv

import (
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// Trees that begin with the same tokens, such as conversations after one system prompt, stand together in a
// step. Where layers visit slots, the rows that two of them have in common then stay in a slot for the second
// one, and only the others are fetched.

// putAlikeTogether moves each tree behind the last one before it that begins with the same block, and reports
// whether any has moved. That depends on tokens alone, so that a step computes the same in the same order
// under every policy. Trees are passed only by those with as many new tokens: so the graphs of a step, which
// are kept by these numbers, are the same ones.
func (a *arrangement) putAlikeTogether() (moved bool) {
	for i := 2; i < len(a.trees); i++ {
		t := a.trees[i]
		for j := i - 1; j >= 0 && a.trees[j].need == t.need; j-- {
			if !beginAlike(a.trees[j].tree, t.tree) {
				continue
			}
			if j < i-1 {
				copy(a.trees[j+2:i+1], a.trees[j+1:i])
				a.trees[j+1] = t
				moved = true
			}
			break
		}
	}
	return moved
}

// beginAlike reports whether all sequences of two trees begin with the same block of tokens.
func beginAlike(a, b *tree) bool {
	return min(a.sealed, b.sealed) >= Block && slices.Equal(a.seqs[0].tokens[:Block], b.seqs[0].tokens[:Block])
}

// compare finds what trees have in common that follow each other in a slot. The tiers know it by the bytes of
// the rows: neither tokens nor where a tree was copied from say that rows are the same bits. What they call
// common is sealed in both trees, so no step writes there.
func (t *transfers) compare() {
	n := t.device.number
	for tree := t.slots; tree < len(t.trees); tree++ {
		before, this := t.trees[tree-t.slots].rows, t.trees[tree].rows
		if before == nil || this == nil {
			continue
		}
		if cells := commonCellsOf(before[n], this[n]); cells > 0 {
			if t.common == nil {
				t.common = make([]int, len(t.trees))
			}
			t.common[tree] = cells
		}
	}
}

// commonCellsOf returns how many cells, from the first on, have the same rows in two tiers.
func commonCellsOf(a, b tier.Tier) int {
	if s, ok := a.(tier.Sharer); ok && b != nil {
		return s.Common(b)
	}
	return 0
}

// kept returns what a visit finds in its slot of rows that are its own: those that its tree has in common with
// the one that was there before it in the same layer.
func (t *transfers) kept(v visit) holding {
	if t.common == nil || t.common[v.tree] == 0 {
		return holding{}
	}
	before := t.trees[v.tree-t.slots]
	return holding{tree: before.tree, layer: v.layer, epoch: before.epoch, n: t.common[v.tree]}
}
