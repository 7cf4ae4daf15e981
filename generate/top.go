package generate

import (
	"cmp"
	"math"
	"slices"
)

// scored is a token that may be chosen.
type scored struct {
	key   float32 // the tokens with the greatest keys are chosen
	index int     // the token's id plus its beam's number times the size of the vocabulary
	score float32
}

// before reports whether a is chosen before b. Of equal keys the lower index comes first.
func (a scored) before(b scored) bool {
	return a.key > b.key || a.key == b.key && a.index < b.index
}

// top keeps the n best tokens of those it is shown in ascending order of their indices. It is a
// heap whose root is the worst of them.
type top struct {
	n    int // at least 1
	kept []scored
}

func (t *top) reset(n int) { t.n, t.kept = n, t.kept[:0] }

// floor returns the key that a token must exceed to be kept. The key of a forbidden token never
// does.
func (t *top) floor() float32 {
	if len(t.kept) == t.n {
		return t.kept[0].key
	}
	return -math.MaxFloat32
}

// keep adds a token whose key is above the floor.
func (t *top) keep(s scored) {
	if len(t.kept) == t.n {
		t.kept[0] = s
		t.sink()
		return
	}
	t.kept = append(t.kept, s)
	for i := len(t.kept) - 1; i > 0; {
		parent := (i - 1) / 2
		if t.kept[i].before(t.kept[parent]) {
			return
		}
		t.kept[i], t.kept[parent] = t.kept[parent], t.kept[i]
		i = parent
	}
}

// sink moves the root to its place.
func (t *top) sink() {
	for i := 0; ; {
		worst := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(t.kept); child++ {
			if t.kept[worst].before(t.kept[child]) {
				worst = child
			}
		}
		if worst == i {
			return
		}
		t.kept[i], t.kept[worst] = t.kept[worst], t.kept[i]
		i = worst
	}
}

// sorted returns the tokens kept, the best one first. They are valid until reset.
func (t *top) sorted() []scored {
	slices.SortFunc(t.kept, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.key, a.key), cmp.Compare(a.index, b.index))
	})
	return t.kept
}
