package generate

import "slices"

// What a search has computed of its sequences, and in which order the rest goes in passes: its prompt, or
// the tokens that the sequences have lost. Those are computed again as a tree: a branch is made, as a fork,
// when the one with which it has the longest beginning in common has computed that, so that both share it
// as they did.

// origin is where a branch begins that is made again.
type origin struct {
	with int // the branch that it continues
	at   int // behind how many tokens
}

// ownBranch stands for the caller's sequence where its forks have the branches.
const ownBranch = -1

// ids returns the tokens of a branch.
func (t *Task[S]) ids(branch int) []int32 { return t.search.IDs(max(branch, 0)) }

// computed returns how many tokens of a sequence are computed.
func (t *Task[S]) computed(seq S) int {
	n := seq.Len()
	if t.pending != nil {
		n -= t.pending(seq)
	}
	return n
}

// branch returns the branch of a sequence.
func (t *Task[S]) branch(seq int) int {
	if t.behind && t.begun {
		return t.made[seq]
	}
	return seq
}

// target returns how many tokens the sequence of a branch has when its passes are computed.
func (t *Task[S]) target(branch int) int {
	if !t.begun || branch == ownBranch {
		return t.prompt
	}
	return t.search.Branches()[branch].Len
}

// stop returns how many tokens a sequence has when its passes are computed, or another one is to be made
// of it.
func (t *Task[S]) stop(seq int) int {
	b := t.branch(seq)
	n := t.target(b)
	if t.behind && t.begun {
		for i, o := range t.origins {
			if o.with == b && !slices.Contains(t.made, i) {
				n = min(n, o.at)
			}
		}
	}
	return n
}

// measure counts what is to be computed in passes.
func (t *Task[S]) measure() {
	t.at, t.held, t.rest, t.left = 0, 0, 0, 0
	if t.begun && !t.behind && t.pending == nil {
		return
	}
	for i, seq := range t.seqs {
		held := t.computed(seq)
		if all := seq.Len(); all > held { // they were computed before
			t.high = max(t.high, all)
		}
		if n := t.stop(i) - held; n > 0 && t.rest == 0 {
			t.at, t.held, t.rest = i, held, n
		}
		t.left += max(0, t.target(t.branch(i))-held)
	}
	if !t.behind {
		return
	}
	if len(t.seqs) == 0 { // all of it is parked
		root := 0
		if t.begun {
			root = t.made[0]
		}
		t.left = max(0, t.target(root)-t.high)
	}
	for i, o := range t.origins {
		if !slices.Contains(t.made, i) {
			t.left += t.target(i) - o.at
		}
	}
}

// nextPass returns what the next pass appends to its sequence, behind how many tokens that are computed again.
func (t *Task[S]) nextPass() (tokens []int32, again, logits int) {
	all := t.seqs[t.at].Len()
	again = min(all-t.held, t.pass)
	tokens = t.ids(t.branch(t.at))[all:][:t.pass-again]
	switch {
	case t.begun:
	case t.echo != nil:
		logits = max(0, t.echo.wants(t.held, t.pass))
	case t.pass == t.rest:
		logits = 1
	}
	return tokens, again, logits
}

// goOn takes note of a pass, or gives the search the logits of its branches.
func (t *Task[S]) goOn(rows [][][]float32) {
	if t.left == 0 {
		t.take(rows)
		return
	}
	if t.at > 0 {
		t.again += t.pass
	} else {
		t.again += max(0, min(t.high, t.held+t.pass)-t.held)
	}
	t.done, t.left, t.rest = t.done+t.pass, t.left-t.pass, t.rest-t.pass
	if t.rest == 0 {
		t.done = 0
	}
	if t.begun {
		if t.behind {
			t.endOn(t.rebuild())
		}
		return
	}
	if t.echo != nil {
		if err := t.echo.add(rows[0]); err != nil {
			t.end(err)
			return
		}
	}
	if t.rest == 0 {
		t.behind = false
		t.take([][][]float32{rows[0][len(rows[0])-1:]})
	}
}

// endOn ends the search if there is an error.
func (t *Task[S]) endOn(err error) {
	if err != nil {
		t.end(err)
	}
}

// plant notes where each branch begins that is to be made again, of the first one or of the caller's
// sequence, and returns how many tokens that one needs to have at first: all branches have them.
func (t *Task[S]) plant() (common int) {
	t.origins, t.made = make([]origin, len(t.search.Branches())), append(t.made[:0], 0)
	if t.leaves {
		t.origins[0], t.made[0] = origin{ownBranch, t.prompt}, ownBranch
	}
	common = t.target(t.made[0])
	for i := 1; i < len(t.origins); i++ {
		ids := t.ids(i)[:t.target(i)]
		for j := range i {
			n, others := 0, t.ids(j)[:t.target(j)]
			for n < min(len(ids), len(others)) && ids[n] == others[n] {
				n++
			}
			if j == 0 {
				common = min(common, n)
			}
			if j == 0 || n > t.origins[i].at {
				t.origins[i] = origin{j, n}
			}
		}
	}
	return common
}

// rebuild makes the sequences of the branches that begin where others are now. Once all are whole, texts
// grow again.
func (t *Task[S]) rebuild() error {
	for i := 0; i < len(t.seqs); i++ {
		held := t.computed(t.seqs[i])
		for b, o := range t.origins {
			if o.with != t.made[i] || o.at != held || slices.Contains(t.made, b) {
				continue
			}
			fork, err := t.seqs[i].Fork()
			if err != nil {
				return err
			}
			t.seqs, t.made = append(t.seqs, fork), append(t.made, b)
		}
	}
	for b := range t.origins {
		i := slices.Index(t.made, b)
		if i < 0 || t.computed(t.seqs[i]) < t.target(b) {
			return nil
		}
	}
	branches := t.next[:0]
	for b := range t.origins {
		branches = append(branches, t.seqs[slices.Index(t.made, b)])
	}
	t.seqs, t.next, t.behind = branches, t.seqs, false
	return nil
}
