package generate

import (
	"cmp"
	"math"
	"slices"
)

// scored is a token that may be chosen.
type scored struct {
	key   float32 // by which it is chosen: the largest first
	index int     // of the token, or of the token among those of all beams
	score float32
}

// before is the order in which tokens are chosen: the lower index first among equals.
func (a scored) before(b scored) bool {
	return a.key > b.key || a.key == b.key && a.index < b.index
}

// top keeps the n best of what it is shown, in ascending order of the indices: a heap whose root is the worst kept.
type top struct {
	n    int // at least 1
	kept []scored
}

func (t *top) reset(n int) { t.n, t.kept = n, t.kept[:0] }

// floor returns the key that all others must be above to be kept. What cannot be chosen never is.
func (t *top) floor() float32 {
	if len(t.kept) == t.n {
		return t.kept[0].key
	}
	return -math.MaxFloat32
}

// keep keeps what is above the floor.
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

// sorted returns what was kept, best first. It holds until reset.
func (t *top) sorted() []scored {
	slices.SortFunc(t.kept, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.key, a.key), cmp.Compare(a.index, b.index))
	})
	return t.kept
}
