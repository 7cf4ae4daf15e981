package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml/llama"
	"github.com/seed4d217819/ebb/kv"
)

// targetPeer is the share of llama.cpp's speed to be reached.
const targetPeer = 0.95

// decode compares resident caches with llama.cpp.
func decode(ctx context.Context, o Options, r *Report) (err error) {
	room := slices.Max(o.Depths) + o.Pace.tokens()
	var arms []arm
	defer func() { err = errors.Join(err, closeAll(arms)) }()
	for _, p := range []kv.Policy{kv.Dynamic, kv.Static} {
		a, err := openEbb("ebb "+p.String(), o.Model, ebb.Options{Threads: o.Threads, Cache: p, KVType: kvType, Context: room})
		if err != nil {
			return err
		}
		arms = append(arms, a)
	}
	ours := len(arms)
	for _, flash := range []bool{true, false} {
		if o.NoPeer {
			break
		}
		a, err := openPeer(o.Model, llama.ContextOptions{
			Ctx: room, Threads: o.Threads, FlashAttn: flash, TypeK: typeF16, TypeV: typeF16,
		})
		if err != nil {
			r.Notes = append(r.Notes, fmt.Sprintf("Without llama.cpp: %v.", err))
			break
		}
		arms = append(arms, a)
	}
	for _, depth := range o.Depths {
		o.Progress(fmt.Sprintf("decode at depth %d", depth))
		rows, err := measure(ctx, "decode", arms, depth, o.Pace)
		if err != nil {
			return err
		}
		r.Rows = append(r.Rows, rows...)
		r.Scores = append(r.Scores, againstPeer(rows[:ours], rows[ours:])...)
	}
	return nil
}

// againstPeer scores the speed of each row of ours against the fastest peer.
func againstPeer(ours, peers []Row) []Score {
	if len(peers) == 0 {
		return nil
	}
	best := slices.MinFunc(peers, func(a, b Row) int { return cmp.Compare(a.P25, b.P25) })
	var scores []Score
	for _, row := range ours {
		scores = append(scores, Score{
			Workload: row.Workload, Depth: row.Depth, Name: row.Arm + " / " + best.Arm,
			Value: best.P25 / row.P25, Target: targetPeer, Of: "speeds at p25",
		})
	}
	return scores
}
