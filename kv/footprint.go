package kv

import (
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// Footprint is how many bytes a sequence takes, by where they are.
type Footprint struct {
	Device int64 // rows and states on devices
	Host   int64 // rows, states and snapshots in host memory
	Disk   int64 // room for them in files
}

// Footprint returns the bytes of the sequence's rows, states and snapshots now, with the room that was
// taken for rows to come. What several sequences hold together counts for one of them: a block that trees
// share for one of these, and what forks share for the oldest of them. Of a tree with forks, each has the
// share of its own cells in each place. So the sum over all sequences is what [Stats] has, but for slots,
// and for states and memory that no sequence holds.
//
// It may be called at any time, also while a step is open, and it looks at no row.
func (s *Seq) Footprint() Footprint {
	p := s.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.tree == nil {
		return Footprint{}
	}
	f := p.treeUsage(s.tree)
	if len(s.tree.seqs) > 1 {
		f = s.tree.shareOf(s, f)
	}
	f.add(s.stateUsage())
	return Footprint{Device: f.device, Host: f.Host, Disk: f.Disk}
}

// shareOf returns a sequence's share of what the tree takes. The oldest one has what is left of the others'.
func (t *tree) shareOf(s *Seq, all usage) (share usage) {
	own, sum := t.ownCells()
	if sum == 0 {
		own[0], sum = 1, 1
	}
	part := func(n int) usage {
		of := func(bytes int64) int64 { return bytes/int64(sum)*int64(n) + bytes%int64(sum)*int64(n)/int64(sum) }
		return usage{of(all.device), tier.Usage{Host: of(all.Host), Disk: of(all.Disk)}}
	}
	at := slices.Index(t.seqs, s)
	if at > 0 {
		return part(own[at])
	}
	share = all
	for _, n := range own[1:] {
		others := part(n)
		share.device, share.Host, share.Disk = share.device-others.device, share.Host-others.Host, share.Disk-others.Disk
	}
	return share
}

// ownCells returns, for each sequence, how many cells no older one holds, and the sum.
func (t *tree) ownCells() (own []int, sum int) {
	own, held := make([]int, len(t.seqs)), make([]bool, len(t.cells))
	own[0] = t.sealed
	for i, s := range t.seqs {
		for _, r := range s.runs {
			for c := r.Start; c < r.End(); c++ {
				if !held[c] {
					held[c] = true
					own[i]++
				}
			}
		}
		sum += own[i]
	}
	return own, sum
}

// stateUsage returns the bytes of the states and snapshots of which the sequence is the oldest holder.
func (s *Seq) stateUsage() (sum usage) {
	p := s.pool
	if p.states == nil {
		return sum
	}
	for place := range s.places {
		if !p.olderHas(s, func(other *Seq) bool { return other.hasPlace(place) }) {
			sum.add(p.placeUsage())
		}
	}
	for _, one := range s.snapshots {
		if one.holders > 1 && p.olderHas(s, func(other *Seq) bool { return slices.Contains(other.snapshots, one) }) {
			continue
		}
		for _, t := range one.tiers {
			if t != nil {
				sum.Usage = sum.Plus(t.Usage())
			}
		}
	}
	return sum
}

// places goes through the places of the sequence's states, of its snapshots that are not copied yet, and of
// the state that its tree was restored with, each of them once.
func (s *Seq) places(yield func(place int) bool) {
	all := []int{s.state, s.restoredPlace()}
	for _, k := range s.drafts {
		all = append(all, k.place)
	}
	for _, one := range s.snapshots {
		all = append(all, one.place)
	}
	slices.Sort(all)
	for i, place := range all {
		if place != nowhere && (i == 0 || all[i-1] != place) && !yield(place) {
			return
		}
	}
}

// hasPlace reports whether a place is one of the sequence's.
func (s *Seq) hasPlace(place int) bool {
	return s.state == place || s.restoredPlace() == place ||
		slices.ContainsFunc(s.drafts, func(k kept) bool { return k.place == place }) ||
		slices.ContainsFunc(s.snapshots, func(one *snapshot) bool { return one.place == place })
}

// restoredPlace returns the place of the state that the sequence's tree was restored with, as long as the
// restore holds it; otherwise nowhere.
func (s *Seq) restoredPlace() int {
	if r := s.tree.restoring.Load(); r != nil && r.state != nil {
		return r.state.place
	}
	return nowhere
}

// olderHas reports whether an older sequence has something.
func (p *Pool) olderHas(s *Seq, has func(other *Seq) bool) bool {
	for t := range p.trees {
		for _, other := range t.seqs {
			if other.number < s.number && has(other) {
				return true
			}
		}
	}
	return false
}

// placeUsage returns the bytes of one place.
func (p *Pool) placeUsage() (sum usage) {
	for _, l := range p.states.layers {
		switch bytes := p.config.shapes[l].StateBytes(); {
		case p.states.memory[l].off:
			sum.Host += bytes
		default:
			sum.device += bytes
		}
	}
	return sum
}
