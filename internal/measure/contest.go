package measure

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// Peer is another program that decode and prefill compare ebb with, in one of its configurations.
type Peer struct {
	Arm
	Flash bool // it computes attention in one operation, as ebb does
}

// contest is what is compared in a setting: ebb under each policy, and the peers.
type contest struct {
	ours  []*Ebb // under each policy, with each instruction set
	sets  int    // instruction sets times ways to compute attention
	peers []Peer
}

// openContest opens the arms for sequences of room tokens.
func openContest(o Options, s Setting, room int) (c contest, notes []string, err error) {
	if c.ours, err = openPolicies(o, s, room); err != nil {
		return contest{}, nil, err
	}
	c.sets = max(1, len(o.ISAs)) * max(1, len(o.Attentions))
	if o.Peers != nil {
		c.peers, notes = o.Peers(s, room)
	}
	return c, notes, nil
}

// measure lets all arms, and more, take turns. The rows of ebb come first, then those of the peers,
// then the others.
func (c contest) measure(ctx context.Context, at Point, p Pace, more ...Arm) ([]Row, error) {
	var arms []Arm
	for _, a := range c.ours {
		arms = append(arms, a)
	}
	for _, p := range c.peers {
		arms = append(arms, p.Arm) // it may be more than an Arm
	}
	return Measure(ctx, append(arms, more...), at, p)
}

// split returns the rows of ebb, of the peers, and of the other arms.
func (c contest) split(rows []Row) (ours []Row, peers []peerRow, more []Row) {
	n := len(c.ours)
	for i, p := range c.peers {
		peers = append(peers, peerRow{rows[n+i], p.Flash})
	}
	return rows[:n], peers, rows[n+len(c.peers):]
}

// resident reports whether one of ebb's arms keeps all layers on their device.
func (c contest) resident(i int) bool { return c.ours[i].Engine.Stats().Cache.StreamedLayers == 0 }

// Targets are the shares of a peer's speed that a resident cache should reach; 0: none.
type Targets struct {
	Fastest float64 // of the fastest peer
	Flash   float64 // of the peer with flash attention
}

// peerRow is a row of a peer.
type peerRow struct {
	Row
	flash bool
}

// against scores each of ebb's rows against the peers, and those of the first instruction set against
// the others under the same policy.
func (c contest) against(ours []Row, peers []peerRow, t Targets) (scores []Score) {
	for i, row := range ours {
		if first := i / c.sets * c.sets; i > first {
			scores = append(scores, SpeedScore(ours[first], row, 0))
		}
		of := t
		if !c.resident(i) {
			of = Targets{}
		}
		scores = append(scores, againstPeers(row, peers, of)...)
	}
	return scores
}

// againstPeers scores a row's speed against the fastest peer, and against the peer with flash
// attention if that is another.
func againstPeers(row Row, peers []peerRow, t Targets) (scores []Score) {
	if len(peers) == 0 {
		return nil
	}
	fastest := slices.MinFunc(peers, func(a, b peerRow) int { return cmp.Compare(a.P25, b.P25) })
	target := t.Fastest
	if target == 0 && fastest.flash {
		target = t.Flash
	}
	scores = append(scores, SpeedScore(row, fastest.Row, target))
	for _, peer := range peers {
		if peer.flash && peer.Arm != fastest.Arm {
			scores = append(scores, SpeedScore(row, peer.Row, t.Flash))
		}
	}
	return scores
}

// SpeedScore is one row's speed divided by another's.
func SpeedScore(row, by Row, target float64) Score {
	return Score{
		Workload: row.Workload, Threads: row.Threads, KVType: row.KVType, Depth: row.Depth, Tokens: row.Tokens,
		Name: row.Arm + " / " + by.Arm, Value: by.P25 / row.P25, Target: target,
	}
}

func (c contest) Close() error { return errors.Join(CloseAll(c.ours), CloseAll(c.peers)) }
