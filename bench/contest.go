package bench

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// contest is what is compared in a setting: ebb under each policy, and llama.cpp
// with each of its attention settings.
type contest struct {
	ours  []*ebbArm
	peers []*peerArm
}

// openContest opens the arms for sequences of that many tokens.
func openContest(o Options, s setting, room int) (c contest, notes []string, err error) {
	if c.ours, err = openPolicies(o, s, room); err != nil {
		return contest{}, nil, err
	}
	c.peers, notes = openPeers(o, s, room)
	return c, notes, nil
}

// measure lets all arms, and more, take turns. The rows of ours come first, then
// those of the peers.
func (c contest) measure(ctx context.Context, at point, p Pace, more ...arm) ([]Row, error) {
	var arms []arm
	for _, a := range c.ours {
		arms = append(arms, a)
	}
	for _, a := range c.peers {
		arms = append(arms, a)
	}
	return measure(ctx, append(arms, more...), at, p)
}

// split returns the rows of ours, of the peers, and of what was measured more.
func (c contest) split(rows []Row) (ours, peers, more []Row) {
	n := len(c.ours)
	return rows[:n], rows[n : n+len(c.peers)], rows[n+len(c.peers):]
}

// resident reports of one of ours whether all layers stay on their device.
func (c contest) resident(i int) bool { return c.ours[i].engine.Stats().Cache.StreamedLayers == 0 }

// targets are the shares of a peer's speed that a resident cache should reach;
// 0: none.
type targets struct {
	fastest float64 // of the peer's settings
	flash   float64 // with flash attention
}

// against scores each of ours against the peers.
func (c contest) against(ours, peers []Row, t targets) (scores []Score) {
	for i, row := range ours {
		of := t
		if !c.resident(i) {
			of = targets{}
		}
		scores = append(scores, againstPeers(row, peers, of)...)
	}
	return scores
}

// againstPeers scores a row's speed against the fastest peer, and against that
// with flash attention if it is another.
func againstPeers(row Row, peers []Row, t targets) (scores []Score) {
	if len(peers) == 0 {
		return nil
	}
	fastest := slices.MinFunc(peers, func(a, b Row) int { return cmp.Compare(a.P25, b.P25) })
	target := t.fastest
	if target == 0 && fastest.Arm == peerFlash {
		target = t.flash
	}
	scores = append(scores, speedScore(row, fastest, target))
	for _, peer := range peers {
		if peer.Arm == peerFlash && peer.Arm != fastest.Arm {
			scores = append(scores, speedScore(row, peer, t.flash))
		}
	}
	return scores
}

// speedScore is one row's speed divided by another's.
func speedScore(row, by Row, target float64) Score {
	return Score{
		Workload: row.Workload, Threads: row.Threads, KVType: row.KVType, Depth: row.Depth, Tokens: row.Tokens,
		Name: row.Arm + " / " + by.Arm, Value: by.P25 / row.P25, Target: target,
	}
}

func (c contest) Close() error { return errors.Join(closeAll(c.ours), closeAll(c.peers)) }
