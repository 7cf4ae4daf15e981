package kv

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/seed4d217819/ebb/tier"
)

// A state can go forward alone: a token changes all of it, and nothing takes that back. Snapshots are
// kept copies of a sequence's state as it was after some tokens, so that the sequence can be truncated
// without all of its tokens being computed again. A sequence and its forks hold them together.
//
// A snapshot is taken between steps and costs nothing then: it is one more holder of the place of the
// state. Behind the computation the state is copied to tiers, like rows (snapshot_copy.go), and the
// place is free again. The next step of a sequence that was truncated reads it (snapshot_read.go).

// snapshot is the state of a sequence, and of its forks, after some tokens.
type snapshot struct {
	tokens  int
	asked   bool // by SnapshotAt
	holders int  // sequences
	readers int  // saves that read it

	coming *coming    // it is restored; nil: it was taken
	after  *restoring // the restore of the state in its place, which is copied when it is there; nil: it is
	place  int        // of the state; nowhere once it was copied

	tiers  []tier.Tier        // by device: one block each of its recurrent layers; nil where it has none
	ctx    context.Context    //nolint:containedctx // of the copy, which begins when others have ended
	cancel context.CancelFunc // ends the copy

	// guarded by snapshots.mu
	copied bool  // the copy has ended, well or not
	err    error // why it failed

	use usefulness // while one is sought to give up
}

// snapshots are those of a pool. nil: none are kept.
type snapshots struct {
	every int     // tokens after which one is taken; 0: none is, unless it is asked for
	most  int     // that are kept at most
	on    [][]int // by device: its recurrent layers

	// guarded by pool.mu
	kept    []*snapshot // in the order in which they were taken
	leaving []*snapshot // without holders, and still being copied
	copies  int         // of kept and leaving: those whose copies have not been seen to end
	mover   *mover      // makes the copies; nil before the first
	told    bool        // that one was not kept

	mu      sync.Mutex
	waiting []*snapshot   // to be copied, in order
	running bool          // the mover has a job
	ended   chan struct{} // closed when the last job has ended; guarded by pool.mu
}

// newSnapshots returns the snapshots of a pool that has its devices; nil: its layers have no states, or
// none are kept.
func (p *Pool) newSnapshots() *snapshots {
	if p.states == nil || p.config.newTier == nil {
		return nil
	}
	k := &snapshots{every: p.config.snapshotEvery, most: p.mostSnapshots(), on: make([][]int, len(p.devices))}
	if k.most == 0 {
		return nil
	}
	for _, l := range p.states.layers {
		n := p.placed[l].device.number
		k.on[n] = append(k.on[n], l)
	}
	return k
}

// SnapshotAt asks for a snapshot of the sequence when it has n tokens: now, or when a step ends with
// them. Truncating the sequence to n costs nothing as long as it is kept, and forks hold it, too. Where
// no layer is recurrent, or no snapshots are kept, it does nothing.
func (s *Seq) SnapshotAt(n int) error {
	p := s.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case n < 0:
		return fmt.Errorf("kv: snapshot after %d tokens: want at least 0", n)
	case s.closed:
		return fmt.Errorf("kv: snapshot: %w: the sequence", ErrClosed)
	case p.snapshots == nil || n == 0:
		return nil
	case n > len(s.tokens):
		s.want(n)
		return nil
	}
	if one := s.snapshotOf(n); one != nil {
		one.asked = true
		return nil
	}
	place := s.placeOf(n)
	if place == nowhere {
		return fmt.Errorf("kv: snapshot after %d tokens: the sequence has %d, and the state after %d is not there any more", n, len(s.tokens), n)
	}
	p.takeSnapshot(s, n, place, true)
	p.count()
	return nil
}

// ForgetSnapshotAt takes back what SnapshotAt has asked for, if the sequence has not reached n tokens.
func (s *Seq) ForgetSnapshotAt(n int) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	s.wanted = slices.DeleteFunc(s.wanted, func(at int) bool { return at == n })
}

// want notes that a snapshot is to be taken when the sequence has n tokens.
func (s *Seq) want(n int) {
	if i, found := slices.BinarySearch(s.wanted, n); !found {
		s.wanted = slices.Insert(s.wanted, i, n)
	}
}

// NextSnapshot returns after how many more tokens a snapshot of the sequence is to be taken, those of
// [Seq.Pending] among them; 0: none is. A step that is to end there takes no more tokens.
func (s *Seq) NextSnapshot() (tokens int) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	k := s.pool.snapshots
	if k == nil {
		return 0
	}
	if k.every > 0 {
		tokens = k.every - len(s.tokens)%k.every
	}
	if len(s.wanted) > 0 && (tokens == 0 || s.wanted[0]-len(s.tokens) < tokens) {
		tokens = s.wanted[0] - len(s.tokens)
	}
	return tokens
}

// snapshotOf returns the snapshot of the sequence after n tokens, or nil.
func (s *Seq) snapshotOf(n int) *snapshot {
	if i := slices.IndexFunc(s.snapshots, func(one *snapshot) bool { return one.tokens == n }); i >= 0 {
		return s.snapshots[i]
	}
	return nil
}

// placeOf returns the place that has the sequence's state after n tokens, or nowhere.
func (s *Seq) placeOf(n int) int {
	if n == len(s.tokens) {
		return s.state
	}
	for _, k := range s.drafts {
		if k.tokens == n {
			return k.place
		}
	}
	return nowhere
}

// takeSnapshots takes those that are due after a work, before which its sequence had some tokens: those
// asked for, where the step has kept the state after their tokens, and one where a multiple of the
// tokens between two was reached. Guesses are left out of that one if they go beyond: they may not stay.
func (s *Step) takeSnapshots(w *work, before int) {
	k := s.pool.snapshots
	if k == nil {
		return
	}
	seq, n := w.Seq, len(w.Seq.tokens)
	for len(seq.wanted) > 0 && seq.wanted[0] <= n {
		at := seq.wanted[0]
		seq.wanted = slices.Delete(seq.wanted, 0, 1)
		if back := n - at; back < len(w.states) && seq.snapshotOf(at) == nil {
			s.pool.takeSnapshot(seq, at, w.states[back], true)
		}
	}
	if k.every == 0 || n/k.every == before/k.every {
		return
	}
	at := max(n/k.every*k.every, n-w.Drafts)
	if seq.snapshotOf(at) == nil {
		s.pool.takeSnapshot(seq, at, w.states[n-at], false)
	}
}

// takeSnapshot keeps the state in a place as that of a sequence after n tokens. If there are too many
// snapshots then, the least useful one is given up.
func (p *Pool) takeSnapshot(s *Seq, n, place int, asked bool) {
	k := p.snapshots
	one := &snapshot{tokens: n, asked: asked, holders: 1, place: place, tiers: p.snapshotTiers()}
	one.ctx, one.cancel = context.WithCancel(context.Background())
	if r := s.tree.restoring.Load(); r != nil && r.state != nil && r.state.place == place {
		one.after = r
	}
	p.states.hold(place)
	at, _ := slices.BinarySearchFunc(s.snapshots, n, func(one *snapshot, n int) int { return one.tokens - n })
	s.snapshots = slices.Insert(s.snapshots, at, one)
	k.kept = append(k.kept, one)
	k.copies++
	k.copy(p, one)
	for len(k.kept) > k.most {
		p.giveUp(p.leastUseful())
	}
}

// shareSnapshots gives a fork the sequence's snapshots.
func (s *Seq) shareSnapshots(fork *Seq) {
	fork.snapshots = slices.Clone(s.snapshots)
	for _, one := range fork.snapshots {
		one.holders++
	}
}

// dropSnapshots gives back the sequence's snapshots of more than n tokens, and asks for none of those.
func (s *Seq) dropSnapshots(n int) {
	s.wanted = slices.DeleteFunc(s.wanted, func(at int) bool { return at > n })
	s.snapshots = slices.DeleteFunc(s.snapshots, func(one *snapshot) bool {
		if one.tokens <= n {
			return false
		}
		if one.holders--; one.holders == 0 {
			s.pool.dropSnapshot(one)
		}
		return true
	})
}

// dropSnapshot frees a snapshot that no sequence holds: at once, or when its copy has ended.
func (p *Pool) dropSnapshot(one *snapshot) {
	k := p.snapshots
	if k == nil {
		return // the pool is closed
	}
	k.kept = slices.DeleteFunc(k.kept, func(other *snapshot) bool { return other == one })
	one.cancel()
	if one.place != nowhere && !k.withdraw(one) {
		k.leaving = append(k.leaving, one)
		return
	}
	if one.place != nowhere {
		k.copies--
	}
	p.freeSnapshot(one)
}

// freeSnapshot gives back what a snapshot takes. Saves read on in its place.
func (p *Pool) freeSnapshot(one *snapshot) {
	one.cancel()
	one.coming.end()
	for _, t := range one.tiers {
		if t != nil {
			_ = t.Close() // what it has is of no use to anybody
		}
	}
	one.tiers = nil
	p.leavePlace(one)
}

// leavePlace gives back the place of a snapshot that was freed, if no save reads it.
func (p *Pool) leavePlace(one *snapshot) {
	if one.readers == 0 && one.tiers == nil {
		p.states.give(one.place)
		one.place = nowhere
	}
}

// toSnapshot makes the state of a sequence, which it has given back, that of its last snapshot, and
// returns of how many tokens it is. Without snapshots it is the state of no tokens.
func (s *Seq) toSnapshot() (tokens int) {
	if len(s.snapshots) == 0 {
		return 0
	}
	last := s.snapshots[len(s.snapshots)-1]
	if last.place != nowhere { // not copied yet, so it need not be read
		s.state = last.place
		s.pool.states.hold(s.state)
	}
	return last.tokens
}
