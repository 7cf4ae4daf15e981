package kv

import (
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// arrangement is a batch in the order in which a step computes it: the works of a tree stand
// together. It is arithmetic alone: it takes cells from trees, and has no memory, no device and no
// copies.
//
// The pool lends one to the open step, so that a step like the one before allocates none of its
// lists. What its methods return is valid until the step is closed.
type arrangement struct {
	works     []work
	trees     []stepTree // in the order in which the batch names them, but for those that begin alike
	tokens    []int32
	positions []int32
	cells     []int64
	logits    []int32 // numbers of the tokens of which logits are wanted
	chunks    []Chunk
	parts     []Part // of all chunks
	rows      [][]float32
	masker    masker
	ringed    ringed
	recurrent recurrences
}

// work is a [Work] with its place in the step.
type work struct {
	Work
	order int // its place in the caller's batch
	tree  int // ordinal in the step
	first int // first token in the step
	past  int // tokens that the sequence had before the step

	sealed int        // how many of the cells that it had before are sealed
	old    []tier.Run // and the others
	runs   []tier.Run // its new cells

	state  int   // the place of the state before its tokens
	states []int // the places of those after the last token, after the one before it, and so on
}

// end returns the first token of the step after the work.
func (w *work) end() int { return w.first + len(w.Tokens) }

// span returns the end of the cells that the first n new tokens see.
func (w *work) span(n int) (end int) {
	end = w.sealed
	for _, r := range w.old {
		end = max(end, r.End())
	}
	for _, r := range w.runs {
		if n <= 0 {
			break
		}
		end = max(end, r.Start+min(r.N, n))
		n -= r.N
	}
	return end
}

// stepTree is what a step does with a tree.
type stepTree struct {
	*tree
	need   int    // new cells
	more   int    // those that are to follow in later steps
	epoch  uint64 // the step's number among the tree's
	before int    // cells [0, before) held rows when the step began
	after  int    // the tree's high mark with the new cells
}

// emptied returns an empty arrangement that has the memory of the lists.
func (a arrangement) emptied() arrangement {
	for i, w := range a.works {
		a.works[i] = work{runs: w.runs[:0], states: w.states[:0]}
	}
	clear(a.trees)
	clear(a.rows)
	return arrangement{
		works: a.works[:0], trees: a.trees[:0], tokens: a.tokens[:0], positions: a.positions[:0], cells: a.cells[:0],
		logits: a.logits[:0], chunks: a.chunks[:0], parts: a.parts[:0], rows: a.rows[:0], ringed: a.ringed, recurrent: recurrences{a.recurrent.all[:0], a.recurrent.first[:0]},
	}
}

// group puts the batch in order by tree and numbers its tokens.
func (a *arrangement) group(batch []Work) {
	for i, w := range batch {
		t := slices.IndexFunc(a.trees, func(t stepTree) bool { return t.tree == w.Seq.tree })
		if t < 0 {
			t = len(a.trees)
			a.trees = append(a.trees, stepTree{tree: w.Seq.tree})
		}
		a.trees[t].need += len(w.Tokens)
		a.trees[t].more += min(w.More, a.trees[t].capacity)
		runs, states := a.spare()
		a.works = append(a.works, work{Work: w, order: i, tree: t, past: len(w.Seq.tokens), runs: runs, states: states})
	}
	if a.putAlikeTogether() {
		for i := range a.works {
			w := &a.works[i]
			w.tree = slices.IndexFunc(a.trees, func(t stepTree) bool { return t.tree == w.Seq.tree })
		}
	}
	slices.SortStableFunc(a.works, func(a, b work) int { return a.tree - b.tree })
	first := 0
	for i := range a.works {
		a.works[i].first = first
		first = a.works[i].end()
	}
}

// spare returns the memory for the lists of the work that is appended next.
func (a *arrangement) spare() (runs []tier.Run, states []int) {
	n := len(a.works)
	if n == cap(a.works) {
		return nil, nil
	}
	w := &a.works[:n+1][n]
	return w.runs[:0], w.states[:0]
}

// workAt returns the number of the work that has a token of the step.
func (a *arrangement) workAt(token int) int {
	i, _ := slices.BinarySearchFunc(a.works, token, func(w work, token int) int { return w.end() - token - 1 })
	return i
}

// total returns how many tokens the step takes.
func (a *arrangement) total() (tokens int) {
	for _, t := range a.trees {
		tokens += t.need
	}
	return tokens
}

// deepest returns how many cells the largest of the trees holds.
func (a *arrangement) deepest() (cells int) {
	for _, t := range a.trees {
		cells = max(cells, t.high)
	}
	return cells
}

// room returns ErrFull if a tree has too few cells left.
func (a *arrangement) room() error {
	for _, t := range a.trees {
		if free := t.free(); t.need > free {
			text := ""
			if again := a.again(t.tree); again > 0 {
				text = fmt.Sprintf("; %d of those that it needs are computed again, beside the ones that forks still hold: close forks, or allow a longer context", again)
			}
			return &TreeFullError{t.tree, fmt.Sprintf("%v: the step needs %d more, and %d of %d tokens are free%s", ErrFull, t.need, free, t.capacity, text)}
		}
	}
	return nil
}

// again returns how many tokens of a tree the step computes again.
func (a *arrangement) again(t *tree) (tokens int) {
	for i := range a.works {
		if w := &a.works[i]; w.Seq.tree == t {
			tokens += w.again()
		}
	}
	return tokens
}

// reserve takes cells for the new tokens, which must have room, and numbers positions and rows of
// logits.
func (a *arrangement) reserve() {
	for i := range a.trees {
		t := &a.trees[i]
		t.tree.epoch++
		t.epoch, t.before = t.tree.epoch, t.high
	}
	for i := range a.works {
		w := &a.works[i]
		w.sealed, w.old = a.trees[w.tree].sealed, w.Seq.runs
		w.runs = a.trees[w.tree].take(len(w.Tokens), w.runs)
		a.tokens = append(a.tokens, w.Tokens...)
		for j := range w.Tokens {
			a.positions = append(a.positions, int32(w.past+j))
			if j >= len(w.Tokens)-w.Logits {
				a.logits = append(a.logits, int32(w.first+j))
			}
		}
		for _, r := range w.runs {
			for c := r.Start; c < r.End(); c++ {
				a.cells = append(a.cells, int64(c))
			}
		}
	}
	for i := range a.trees {
		a.trees[i].after = a.trees[i].high
	}
}

// giveBack returns the new cells to their trees.
func (a *arrangement) giveBack() {
	for i := range a.works {
		a.trees[a.works[i].tree].give(a.works[i].runs)
	}
}

// FirstOf returns the number of the first token of a sequence of the batch.
func (a *arrangement) FirstOf(s *Seq) int {
	return a.works[slices.IndexFunc(a.works, func(w work) bool { return w.Seq == s })].first
}

// Tokens returns the step's tokens. Like the slices that the other methods return they are the
// step's own until Close, in step order: the works of a tree stand together.
func (a *arrangement) Tokens() []int32 { return a.tokens }

// Positions returns each token's position in its sequence.
func (a *arrangement) Positions() []int32 { return a.positions }

// Cells returns the cell of each token's rows in its tree.
func (a *arrangement) Cells() []int64 { return a.cells }

// LogitRows returns the numbers of the tokens of which logits are wanted.
func (a *arrangement) LogitRows() []int32 { return a.logits }

// Chunks returns the step's tokens in chunks, each computed by one graph.
func (a *arrangement) Chunks() []Chunk { return a.chunks }

// Gather returns rows in the order of LogitRows: rows are those of the batch's works, in the order
// that Begin was given, as many as each wants logits.
func (a *arrangement) Gather(rows [][][]float32) [][]float32 {
	a.rows = a.rows[:0]
	for i := range a.works {
		w := &a.works[i]
		a.rows = append(a.rows, rows[w.order][:w.Logits]...)
	}
	return a.rows
}
