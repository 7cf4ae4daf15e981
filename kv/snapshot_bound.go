package kv

import "math"

// mostSnapshots returns how many snapshots are kept at most.
func (p *Pool) mostSnapshots() int {
	switch one, bytes := p.stats.StateBytes, p.config.snapshotBytes; {
	case one == 0 || bytes < 0:
		return 0
	case bytes > 0:
		return int(bytes / one)
	}
	return math.MaxInt
}

// usefulness orders snapshots: the least useful one is given up first.
type usefulness struct {
	held   bool // a sequence begins with it
	asked  bool // for by SnapshotAt
	latest bool // of a sequence
	cost   int  // tokens to be computed again without it
}

// rank is higher for snapshots that are kept before all of a lower one.
func (u usefulness) rank() (n int) {
	for _, yes := range [...]bool{u.asked, u.latest} {
		if yes {
			n++
		}
	}
	return n
}

// leastUseful returns the snapshot that is given up first; nil: none can be. The latest snapshot of each
// sequence and those that were asked for are kept longest. Of the others it is the one without which the
// fewest tokens are computed again, and of several the one with the fewest tokens.
func (p *Pool) leastUseful() (least *snapshot) {
	for _, one := range p.snapshots.kept {
		one.use = usefulness{asked: one.asked}
	}
	for t := range p.trees {
		for _, s := range t.seqs {
			s.noteUse()
		}
	}
	for _, one := range p.snapshots.kept {
		if !one.use.held && one.readers == 0 && (least == nil || one.lessUseful(least)) {
			least = one
		}
	}
	return least
}

// noteUse notes what the sequence's snapshots are good for.
func (s *Seq) noteUse() {
	before := 0
	for i, one := range s.snapshots {
		one.use.cost = max(one.use.cost, one.tokens-before)
		before = one.tokens
		if i == len(s.snapshots)-1 {
			one.use.latest = true
			one.use.held = one.use.held || s.state == nowhere && len(s.tokens) == one.tokens
		}
	}
}

// lessUseful reports whether a snapshot is to be given up before another.
func (s *snapshot) lessUseful(than *snapshot) bool {
	a, b := s.use, than.use
	if a.rank() != b.rank() {
		return a.rank() < b.rank()
	}
	if a.cost != b.cost {
		return a.cost < b.cost
	}
	return s.tokens < than.tokens
}

// giveUp takes a snapshot from all sequences and frees it. No sequence begins with it.
func (p *Pool) giveUp(one *snapshot) {
	for t := range p.trees {
		for _, s := range t.seqs {
			s.forgetSnapshot(one)
		}
	}
	one.holders = 0
	p.dropSnapshot(one)
}
