package kv

import (
	"errors"
	"testing"
)

// spread lets two forks of a sequence see 372 tokens of a window of 200, so that a ring of 256 places
// grows to 512.
func spread(l *ledger) (a, f *Seq) {
	a = l.seq()
	l.grow(growth{a, 10})
	f = l.fork(a)
	l.grow(growth{a, 180})
	l.grow(growth{f, 180})
	l.grow(growth{a, 1}, growth{f, 1})
	return a, f
}

// A ring that has grown counts where other sequences ask for memory, also while a sequence that was closed
// keeps it for the next.
func TestRingsThatHaveGrownLeaveOthersLess(t *testing.T) {
	b := ownCPU(t, 0)
	for i, policy := range []Policy{Offloaded, OffloadedStatic, Auto, Auto} {
		o := uniform(policy, 4, 1000)
		o.Layers[1].Window = 200
		o.ChunkTokens, o.ForcedCopies, o.Trees = 50, true, 2
		o.Memory = []int64{o.Plan().Least()[0] + int64(i)*100*rowBytes}
		l := newLedger(t, b, o)
		within := func(when string) {
			t.Helper()
			if got := l.pool.Stats().DeviceBytes; got > o.Memory[0] {
				t.Errorf("%v, %s: %d bytes on the device; %d are allowed", policy, when, got, o.Memory[0])
			}
		}
		a, f := spread(l)
		within("after a ring has grown")
		if got := l.pool.Stats().Demotions; i == 2 && got == 0 {
			t.Error("no layer has left for the ring: the test shows nothing of that")
		}
		c := l.seq()
		if err := l.step(t.Context(), 5, growth{c, 100}); err != nil && !errors.Is(err, ErrNoMemory) {
			t.Fatal(err)
		}
		within("with another sequence")
		if err := l.step(t.Context(), 5, growth{a, 500}); err != nil && !errors.Is(err, ErrNoMemory) {
			t.Fatal(err)
		}
		within("with a longer sequence")
		l.closeSeq(a)
		l.closeSeq(f)
		within("closed")
		if err := l.step(t.Context(), 5, growth{c, 1}); err != nil {
			t.Errorf("%v: with the memory of a closed sequence: %v", policy, err)
		}
		l.close()
	}
}

// Slots are no larger than what was counted when room was found for more sequences, whose largest is
// smaller now.
func TestSlotsThatWereLargerLeaveOthersTheirRoom(t *testing.T) {
	o := uniform(Auto, 5, 257)
	o.Layers[3].Shares, o.ForcedCopies, o.Slots = true, true, 3
	o.Memory = []int64{18432}
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	first := l.seq()
	l.grow(growth{first, 1})
	l.grow(growth{l.seq(), 1})
	if err := l.step(t.Context(), 6, growth{l.seq(), 1}, growth{l.seq(), 1}, growth{first, 1}); err != nil && !errors.Is(err, ErrNoMemory) {
		t.Fatal(err)
	}
	l.check()
}
