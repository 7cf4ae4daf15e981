package kv

import (
	"errors"
	"iter"
	"testing"
)

// A sequence that is cleared gives all of its memory back, and is like a new one. If others are in its tree,
// they keep theirs.
func TestClearGivesMemoryBack(t *testing.T) {
	for _, policy := range []Policy{Offloaded, Dynamic, Auto, Static} {
		o := uniform(policy, 3, 2*Block)
		o.ForcedCopies = policy == Offloaded
		p, err := NewPool(o, ownCPU(t, 0))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		taken := func() int64 { s := p.Stats(); return s.HostBytes + s.DeviceBytes }
		first, second := p.NewSeq(), p.NewSeq()
		if err := tokens(p, first, Block+1); err != nil {
			t.Fatal(err)
		}
		one := taken()
		if err := tokens(p, second, Block+1); err != nil {
			t.Fatal(err)
		}
		if err := second.Clear(); err != nil || second.Len() != 0 {
			t.Errorf("%v: %v, and %d tokens; want none", policy, err, second.Len())
		}
		if got := taken(); got != one && policy != Static { // which keeps the memory of one tree for the next
			t.Errorf("%v: %d bytes are taken, want the %d of one sequence", policy, got, one)
		}
		if err := tokens(p, second, 2*Block); err != nil {
			t.Errorf("%v: %v", policy, err)
		}
		fork, err := first.Fork()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(first.Clear(), tokens(p, first, 2*Block)); err != nil || fork.Len() != Block+1 {
			t.Errorf("%v: %v, and the fork has %d tokens; want %d", policy, err, fork.Len(), Block+1)
		}
	}
}

// What Fits says is what then happens, where the bound is on memory that a tree takes at once, or block by
// block.
func TestWhatFitsIsThere(t *testing.T) {
	const layer = Block * rowBytes // of a block
	one := func(s *Seq, more int) iter.Seq2[*Seq, int] {
		return func(yield func(*Seq, int) bool) { yield(s, more) }
	}
	for name, change := range map[string]func(o *Options){
		"static":    func(o *Options) { o.Policy, o.Memory, o.Trees = Static, []int64{2 * 2 * 3 * layer}, 2 },
		"offloaded": func(o *Options) { o.ForcedCopies, o.TierBytes = true, 4*3*layer },
		"auto": func(o *Options) {
			o.Policy, o.ForcedCopies, o.Memory, o.TierBytes = Auto, true, []int64{(2 + 3) * 2 * layer}, 3*3*layer
		},
	} {
		o := uniform(Offloaded, 3, 2*Block)
		change(&o)
		p, err := NewPool(o, ownCPU(t, 0))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		var seqs []*Seq
		for p.Fits(one(nil, Block)) && len(seqs) < 9 {
			seqs = append(seqs, p.NewSeq())
			if err := tokens(p, seqs[len(seqs)-1], Block); err != nil {
				t.Fatalf("%s: sequence %d: %v", name, len(seqs), err)
			}
		}
		if len(seqs) < 2 || len(seqs) == 9 {
			t.Errorf("%s: %d sequences of a block fit", name, len(seqs))
		}
		if !p.Fits(one(seqs[0], 0)) {
			t.Errorf("%s: nothing more does not fit", name)
		}
		if s := p.Stats(); o.TierBytes > 0 && s.HostBytes > o.TierBytes {
			t.Errorf("%s: %d bytes in tiers for %d", name, s.HostBytes, o.TierBytes)
		}
		if err := seqs[0].Clear(); err != nil {
			t.Fatal(err)
		}
		if !p.Fits(one(seqs[0], Block)) {
			t.Errorf("%s: a block does not fit where one was given back", name)
		}
	}
}
