package kv

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/plan"
)

// actions are what a program may do with a cache, in any order.
type actions struct {
	*ledger
	order []*Seq // of the open sequences, so that draws can be repeated
}

// Check runs after every action.
func (a *actions) Check(*rapid.T) { a.check() }

func (a *actions) pick(t *rapid.T) *Seq {
	if len(a.order) == 0 {
		t.Skip("no sequence")
	}
	return rapid.SampledFrom(a.order).Draw(t, "seq")
}

func (a *actions) drop(s *Seq) {
	a.order = slices.DeleteFunc(a.order, func(o *Seq) bool { return o == s })
}

func (a *actions) Open(t *rapid.T) {
	if len(a.order) < 5 {
		a.order = append(a.order, a.seq())
	}
}

func (a *actions) Fork(t *rapid.T) {
	if s := a.pick(t); len(a.order) < 5 {
		a.order = append(a.order, a.fork(s))
	}
}

func (a *actions) Truncate(t *rapid.T) {
	s := a.pick(t)
	to := rapid.IntRange(0, s.Len()).Draw(t, "to")
	if rapid.Bool().Draw(t, "near the end") { // among drafts
		to = max(0, s.Len()-rapid.IntRange(0, 5).Draw(t, "back"))
	}
	a.truncate(s, to)
}

// Snapshot asks for a snapshot, now or of a step to come.
func (a *actions) Snapshot(t *rapid.T) {
	s := a.pick(t)
	n := rapid.IntRange(0, s.Len()+20).Draw(t, "at")
	there := a.pool.snapshots == nil || n == 0 || n > len(s.tokens) || s.placeOf(n) != nowhere || s.snapshotOf(n) != nil
	if err := s.SnapshotAt(n); (err == nil) != there {
		t.Fatalf("snapshot after %d of %d tokens: %v; the state is there: %v", n, s.Len(), err, there)
	}
}

func (a *actions) Close(t *rapid.T) {
	s := a.pick(t)
	a.drop(s)
	a.closeSeq(s)
}

func (a *actions) Append(t *rapid.T) {
	works := []growth{{a.pick(t), rapid.IntRange(1, 250).Draw(t, "n")}}
	a.prepare(t, works)
	a.take(t, works...)
}

func (a *actions) Batch(t *rapid.T) {
	a.take(t, a.drawBatch(t)...)
}

func (a *actions) drawBatch(t *rapid.T) (works []growth) {
	a.pick(t)
	for _, s := range rapid.Permutation(a.order).Draw(t, "seqs")[:rapid.IntRange(1, len(a.order)).Draw(t, "of")] {
		works = append(works, growth{s, rapid.IntRange(1, 7).Draw(t, "n")})
	}
	a.prepare(t, works)
	return works
}

// prepare draws how many of the new tokens are guesses. Where a step cannot take all tokens that are to
// be computed again with the new ones, they are computed before.
func (a *actions) prepare(t *rapid.T, works []growth) {
	drafts := rapid.SampledFrom([]int{0, 0, 1, 3, 8}).Draw(t, "drafts")
	a.drafts = func(int) int { return drafts }
	total := 0
	for _, w := range works {
		total += w.n + len(w.seq.Pending())
	}
	for _, w := range works {
		if total <= a.pool.StepTokens() {
			return
		}
		err := a.computeAgain(w.seq, nil)
		if errors.Is(err, ErrFull) || isGone(err) {
			t.Skip("no room to compute tokens again")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// take makes a step that may only fail for want of room, and then changes nothing.
func (a *actions) take(t *rapid.T, works ...growth) {
	full := a.full(works)
	err := a.step(context.Background(), len(a.pool.config.shapes)+1, works...)
	for range works {
		gone, ok := errors.AsType[*GoneError](err)
		if !ok {
			break
		}
		a.check()
		if err := a.tryAgain(gone); errors.Is(err, ErrFull) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		full = a.full(works) // forks have fewer cells in common now
		err = a.step(context.Background(), len(a.pool.config.shapes)+1, works...)
	}
	if isGone(err) || a.pool.config.pastCells > 0 && errors.Is(err, ErrNoMemory) {
		return // the sequences need more than is kept at a time
	}
	if a.pool.config.policy.adapts() && errors.Is(err, ErrNoMemory) {
		return // more trees than the memory is for
	}
	if errors.Is(err, ErrFull) != full || err != nil && !full {
		t.Fatalf("step: %v; full: %v", err, full)
	}
}

// full reports whether a tree lacks cells for its works.
func (a *actions) full(works []growth) bool {
	need := map[*tree]int{}
	for _, w := range works {
		need[w.seq.tree] += w.n + len(w.seq.Pending())
	}
	for tree, n := range need {
		held := map[int]bool{}
		for s := range a.tokens {
			for _, r := range cellsOf(s) {
				for c := r.Start; c < r.End() && s.tree == tree; c++ {
					held[c] = true
				}
			}
		}
		if len(held)+n > a.pool.config.capacity {
			return true
		}
	}
	return false
}

// Restore saves a sequence, and restores some of it from a slow disk while other actions go on.
func (a *actions) Restore(t *rapid.T) {
	s := a.pick(t)
	if len(a.order) == 5 {
		t.Skip("sequences enough")
	}
	kept := save(t, a.pool, s)
	kept.tokens = kept.tokens[:rapid.IntRange(0, len(kept.tokens)).Draw(t, "tokens")]
	r, err := a.pool.Restore(context.Background(), kept.tokens, fromSlowDisk(kept, uint64(len(kept.tokens)), 300*time.Microsecond))
	if errors.Is(err, ErrNoMemory) && a.pool.config.policy.adapts() {
		return // for another tree
	}
	if err != nil {
		t.Fatal(err)
	}
	a.order = append(a.order, r)
	a.tokens[r] = slices.Clone(kept.tokens)
}

// Footprints compares what all sequences take with what the pool does.
func (a *actions) Footprints(*rapid.T) {
	for s := range a.tokens {
		_ = s.Wait(context.Background())
	}
	a.checkFootprints()
}

// Copy copies the first tokens of a sequence to a tree of their own.
func (a *actions) Copy(t *rapid.T) {
	s := a.pick(t)
	if len(a.order) == 5 {
		t.Skip("sequences enough")
	}
	n := rapid.IntRange(0, s.Len()).Draw(t, "tokens")
	c, err := a.pool.Copy(context.Background(), s, n)
	if errors.Is(err, ErrNoMemory) && a.pool.config.policy.adapts() {
		return // for another tree
	}
	if err != nil {
		t.Fatal(err)
	}
	a.order = append(a.order, c)
	a.tokens[c] = slices.Clone(a.tokens[s][:n])
}

// SaveBeside saves a sequence while others take steps, and layers leave their device.
func (a *actions) SaveBeside(t *rapid.T) {
	s := a.pick(t)
	before := save(t, a.pool, s)
	a.drop(s)
	defer func() { a.order = append(a.order, s) }()
	if len(a.order) == 0 || s.tree.pastSize > 0 && len(s.tree.seqs) > 1 {
		t.Skip("no step begins meanwhile")
	}
	a.pool.turnBytes = 1
	defer func() { a.pool.turnBytes = turnBytes }()
	savePart(t, a.pool, s, SaveOptions{ByBlock: rapid.Bool().Draw(t, "by block")}, func() {
		switch rapid.IntRange(0, 9).Draw(t, "beside") {
		case 0:
			a.take(t, growth{rapid.SampledFrom(a.order).Draw(t, "other"), rapid.IntRange(1, 7).Draw(t, "n")})
		case 1:
			if a.pool.config.policy.adapts() {
				squeeze(t, a.pool, rapid.IntRange(0, 100).Draw(t, "percent"))
			}
		}
	}).equal(t, before)
}

// Abandon leaves a step after some layers, without Commit.
func (a *actions) Abandon(t *rapid.T) {
	works := a.drawBatch(t)
	layers := rapid.IntRange(0, len(a.pool.config.shapes)).Draw(t, "layers")
	if err := a.step(context.Background(), layers, works...); !errors.Is(err, errAbandoned) && !errors.Is(err, ErrFull) && !isGone(err) {
		t.Fatalf("step: %v", err)
	}
}

// Cancel ends the context of a step in the middle of it.
func (a *actions) Cancel(t *rapid.T) {
	ctx, cancel := context.WithCancel(context.Background())
	at := rapid.IntRange(0, len(a.pool.config.shapes)-1).Draw(t, "layer")
	a.during = func(_ *Step, l *Layer) {
		if l.Index == at {
			cancel()
		}
	}
	err := a.step(ctx, len(a.pool.config.shapes)+1, a.drawBatch(t)...)
	a.during = nil
	cancel()
	if !errors.Is(err, context.Canceled) && !errors.Is(err, ErrFull) && !isGone(err) {
		t.Fatalf("step: %v", err)
	}
}

// CloseInStep closes sequences while a step goes on that others take part in, and one that does
// itself.
func (a *actions) CloseInStep(t *rapid.T) {
	works := a.drawBatch(t)
	victims := rapid.Permutation(a.order).Draw(t, "victims")[:rapid.IntRange(1, len(a.order)).Draw(t, "closed")]
	a.during = func(_ *Step, l *Layer) {
		if l.Index > 0 {
			return
		}
		for _, s := range victims {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := a.step(context.Background(), len(a.pool.config.shapes)+1, works...)
	a.during = nil
	if errors.Is(err, ErrFull) || isGone(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range victims {
		a.drop(s)
		delete(a.tokens, s)
	}
}

// isGone reports whether an error is a GoneError.
func isGone(err error) bool {
	_, ok := errors.AsType[*GoneError](err)
	return ok
}

// Squeeze has a device refuse some of the memory that its K/V take, between two steps.
func (a *actions) Squeeze(t *rapid.T) {
	if !a.pool.config.policy.adapts() {
		t.Skip("no layer leaves")
	}
	squeeze(t, a.pool, rapid.IntRange(0, 100).Draw(t, "percent"))
}

func TestRandomOperationsKeepEveryRow(t *testing.T) {
	backend := ownCPU(t, 0)
	rapid.Check(t, func(t *rapid.T) {
		o := uniform(rapid.SampledFrom([]Policy{Auto, Dynamic, Static, Offloaded, OffloadedStatic}).Draw(t, "policy"),
			rapid.IntRange(1, 5).Draw(t, "layers"), rapid.IntRange(100, 600).Draw(t, "cells"))
		if rapid.Bool().Draw(t, "several shapes") {
			for l := range o.Layers {
				o.Layers[l] = Shape{Heads: 1 + l%2, KeyDim: 1 + l%3, ValueDim: 2}
			}
		}
		if rapid.Bool().Draw(t, "windows") {
			o.Cells += 500
			o.WindowRows = rapid.SampledFrom([]int{0, 0, NoWindowRows, 10, 300}).Draw(t, "window rows")
			for l := range o.Layers {
				o.Layers[l].Window = rapid.SampledFrom([]int{0, 1, 7, 100, 190}).Draw(t, "window")
			}
		}
		if rapid.Bool().Draw(t, "recurrent") {
			for l := range o.Layers {
				if n := rapid.SampledFrom([]int{0, 1, 64, 100}).Draw(t, "state"); n > 0 {
					o.Layers[l] = Shape{State: n}
				}
			}
			o.SnapshotEvery = rapid.SampledFrom([]int{0, NoSnapshots, 1, 30}).Draw(t, "snapshots every")
			o.SnapshotBytes = rapid.SampledFrom([]int64{0, NoSnapshots, 2000, 10000}).Draw(t, "bytes of snapshots")
		}
		if rapid.Bool().Draw(t, "shared") {
			for l := 1; l < len(o.Layers); l++ {
				if of := rapid.IntRange(-l, l-1).Draw(t, "of"); of >= 0 && o.Layers[of].keepsRows() {
					o.Layers[l] = o.Layers[of]
					o.Layers[l].Shares, o.Layers[l].Of = true, of
				}
			}
		}
		o.ForcedCopies = rapid.IntRange(0, 3).Draw(t, "copies") > 0
		o.ChunkTokens = rapid.SampledFrom([]int{0, 5, 64}).Draw(t, "chunk")
		o.StepTokens = rapid.SampledFrom([]int{4096, 300}).Draw(t, "step")
		o.Slots = rapid.IntRange(0, 3).Draw(t, "slots")
		if o.Policy.adapts() {
			o.ResidentLayers = rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "never leave")
			all := int64(0)
			for _, s := range o.Layers {
				all += s.Bytes(o.TypeK, o.TypeV) * int64(plan.WholeBlocks(o.Cells))
			}
			o.Memory = []int64{max(rapid.Int64Range(0, 2*all).Draw(t, "memory"), o.Plan().Least()[0])}
			if !o.ForcedCopies { // none can leave
				o.Memory = nil
			}
		} else if o.Policy.streams() {
			o.ResidentLayers = rapid.IntRange(0, len(o.Layers)).Draw(t, "resident")
			o.HostAttention = rapid.SliceOfN(rapid.Bool(), len(o.Layers), len(o.Layers)).Draw(t, "at host")
			o.HostTokens = rapid.IntRange(0, 60).Draw(t, "host tokens")
			o.HostDepth = rapid.IntRange(0, 100).Draw(t, "host depth")
		}
		o.Trees = 1
		a := &actions{ledger: newLedger(t, backend, o)}
		defer a.close()
		a.pool.hooks.freed = poison
		a.pool.hooks.beforeCopy = delays(uint64(o.Cells), 20*time.Microsecond)
		t.Repeat(rapid.StateMachineActions(a))
		for _, s := range a.order {
			a.closeSeq(s)
		}
		a.check()
		if got := a.pool.Stats(); !o.Policy.fixed() && (got.HostBytes != 0 || got.DeviceBytes > int64(a.pool.devices[0].placement.Slots)*a.pool.devices[0].placement.SlotBytes) {
			t.Fatalf("without sequences: %+v; want the slots alone", got)
		}
		a.close()
		if got := a.pool.Stats(); got.DeviceBytes != 0 || got.HostBytes != 0 {
			t.Fatalf("closed: %+v; want no bytes", got)
		}
		if n := backend.Usage().Total(); n != 0 {
			t.Fatalf("closed: %d bytes in use: %v; want 0", n, backend.Usage().Current)
		}
	})
}
