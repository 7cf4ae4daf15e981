package kv

import "testing"

// What a sequence keeps of its beginning is what no step computes again after it was truncated there.
func TestKeepsSaysWhatIsNotComputedAgain(t *testing.T) {
	h := newHasher(t, hashedLayers(100))
	defer h.close()
	s := h.seq()
	h.grow(s, 250)
	for _, tt := range [][2]int{{250, 250}, {249, 200}, {200, 200}, {199, 100}, {99, 0}, {0, 0}, {9999, 250}} {
		if got := s.Keeps(tt[0]); got != tt[1] {
			t.Errorf("of %d tokens with a snapshot after each 100, %d are kept; want %d", tt[0], got, tt[1])
		}
	}
	f := h.fork(s)
	h.truncate(f, 199)
	if got, want := f.Len()-len(f.Pending()), s.Keeps(199); got != want {
		t.Errorf("a fork that was truncated begins with %d tokens; Keeps said %d", got, want)
	}

	l := boundedLedger(t, 300)
	w := l.seq()
	for w.Len() < 3000 {
		l.grow(growth{w, 300})
	}
	for _, tt := range [][2]int{{3000, 3000}, {2800, 2800}, {2000, 0}} {
		if got := w.Keeps(tt[0]); got != tt[1] {
			t.Errorf("of %d tokens with 300 rows behind the windows, %d are kept; want %d", tt[0], got, tt[1])
		}
	}
}

func TestRoomIsThatOfAllForks(t *testing.T) {
	l := newLedger(t, ownCPU(t, 0), uniform(Static, 2, 500))
	defer l.close()
	s := l.seq()
	all := s.Room()
	l.grow(growth{s, 100})
	f := l.fork(s)
	l.grow(growth{f, 30}, growth{s, 20})
	if s.Room() != all-150 || f.Room() != all-150 {
		t.Errorf("after 150 of %d tokens there is room for %d and %d", all, s.Room(), f.Room())
	}
}
