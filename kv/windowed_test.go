package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/disk"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
)

// windowedOptions returns options of rigs for layers of which two windows have rings of 256 places, and
// whose trees hold up to 1100 cells.
func windowedOptions(policy Policy, typ ggml.Type) Options {
	o := rigOptions(policy, 6, typ)
	for l, window := range []int{100, 0, 20, 0, 100, 0} {
		o.Layers[l].Window = window
	}
	o.Cells = 1100
	return o
}

// wander takes a rig through all that makes rows leave rings and come back: prompts longer than the
// ring, forks far apart, truncation into, at and far behind the windows, beams that are put in order,
// and steps whose sequences need more rows than the ring has places.
func wander(r *rig) {
	a, b := r.pool.NewSeq(), r.pool.NewSeq()
	r.grow(growth{a, 200})
	r.grow(growth{a, 300}, growth{b, 90}) // four chunks
	for range 3 {
		r.grow(growth{a, 1}, growth{b, 1})
	}
	for _, to := range []int{495, 404, 40} {
		mustTruncate(r.t, a, to)
		r.grow(growth{a, 1})
		r.grow(growth{a, 70}, growth{b, 1})
	}
	forks := []*Seq{a, forkOf(r.t, a), forkOf(r.t, a)}
	for _, f := range forks { // one after the other
		r.grow(growth{f, 140})
	}
	r.grow(growth{forks[0], 1}, growth{forks[1], 1}, growth{forks[2], 1})
	r.grow(growth{forks[2], 1})
	r.grow(growth{forks[0], 1})
	for _, f := range forks[:2] {
		mustClose(r.t, f)
	}
	r.grow(growth{forks[2], 130}) // its rows are put in order when they are sealed
	r.grow(growth{forks[2], 1}, growth{b, 1})
	mustClose(r.t, forks[2])
	c := r.pool.NewSeq()
	r.grow(growth{c, 400})
	r.grow(growth{c, 1}, growth{b, 2})
}

// stroll is a short wander for a slow device.
func stroll(r *rig) {
	a := r.pool.NewSeq()
	r.grow(growth{a, 300})
	r.grow(growth{a, 1})
	mustTruncate(r.t, a, 40)
	r.grow(growth{a, 1})
	f := forkOf(r.t, a)
	r.grow(growth{f, 1}, growth{a, 1})
}

// sharedOptions returns windowedOptions with two layers more, which attend to the rows of a full and of
// a windowed layer.
func sharedOptions(policy Policy, typ ggml.Type) Options {
	o := windowedOptions(policy, typ)
	for _, of := range []int{4, 3} {
		s := o.Layers[of]
		s.Shares, s.Of = true, of
		o.Layers = append(o.Layers, s)
	}
	o.StepTokens = 400
	return o
}

// Layers that share K/V see what the layers see whose rows they are, in every chunk of a prompt, and no
// bit depends on the policy.
func TestSharedRowsGiveTheSameUnderEveryPolicy(t *testing.T) {
	b := ownCPU(t, 0)
	want, _ := played(t, b, sharedOptions(Static, ggml.F32), wander)
	finite(t, want)
	for _, policy := range []Policy{Dynamic, Offloaded, OffloadedStatic, Auto} {
		o := sharedOptions(policy, ggml.F32)
		o.ForcedCopies = true
		if policy == Auto {
			o.Trees = 2
			o.Memory = []int64{o.Plan().Least()[0] * 5 / 4}
		}
		got, stats := played(t, b, o, wander)
		if i := differ(got, want); i >= 0 {
			t.Errorf("%v: step %d differs from static", policy, i)
		}
		if stats.SharedLayers != 2 || stats.WindowedLayers != 3 {
			t.Errorf("%v: %+v; want two layers that share rows, and three with rings", policy, stats)
		}
	}
}

func TestLayersThatShareRowsOfNoLayerAreRefused(t *testing.T) {
	for _, change := range []func(*Options){
		func(o *Options) { o.Layers[1].Of = 1 },
		func(o *Options) { o.Layers[1].Of = -1 },
		func(o *Options) { o.Layers[2] = o.Layers[1]; o.Layers[2].Of = 1 },
		func(o *Options) { o.Layers[1].Window = 7 },
		func(o *Options) { o.Layers[1].KeyDim = 7 },
		func(o *Options) { o.On = []int{0, 1, 0} },
	} {
		o := uniform(Static, 3, 100)
		o.Layers[1].Shares = true
		if err := o.validate(2); err != nil {
			t.Fatal(err)
		}
		change(&o)
		if err := o.validate(2); err == nil {
			t.Errorf("%+v on %v: no error", o.Layers, o.On)
		}
	}
}

func mustTruncate(t rapid.TB, s *Seq, n int) {
	t.Helper()
	if err := s.Truncate(n); err != nil {
		t.Fatal(err)
	}
}

func mustClose(t rapid.TB, s *Seq) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// onDisk makes tiers that keep what is above some bytes in files.
func onDisk(t *testing.T, bytes int64) tier.Maker {
	t.Helper()
	files, err := disk.Open(disk.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return stack.New(host.NewExact, files.New, bytes).New
}

func TestEveryPolicyGivesTheBitsOfStaticWithWindows(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds: make test runs it")
	}
	for _, tt := range []struct {
		policy Policy
		typ    ggml.Type
		copies bool
		disk   bool
	}{
		{policy: Dynamic, typ: ggml.F32},
		{policy: Offloaded, typ: ggml.F32},
		{policy: Offloaded, typ: ggml.Q8_0, copies: true},
		{policy: Offloaded, typ: ggml.F32, copies: true, disk: true},
		{policy: OffloadedStatic, typ: ggml.F32, copies: true},
		{policy: Auto, typ: ggml.Q8_0, copies: true},
		{policy: Auto, typ: ggml.F32, copies: true, disk: true},
	} {
		t.Run(fmt.Sprintf("%v/%v/copies %v/disk %v", tt.policy, tt.typ, tt.copies, tt.disk), func(t *testing.T) {
			b := ownCPU(t, 0)
			want, _ := played(t, b, windowedOptions(Static, tt.typ), wander)
			finite(t, want)
			o := windowedOptions(tt.policy, tt.typ)
			o.ForcedCopies = tt.copies
			if tt.disk {
				o.Tier = onDisk(t, 100_000)
			}
			if tt.policy == Auto {
				o.Trees = 2
				o.Memory = []int64{o.Plan().Least()[0] * 5 / 4}
			}
			got, stats := played(t, b, o, wander)
			if i := differ(got, want); i >= 0 {
				t.Errorf("step %d differs from static", i)
			}
			if tt.policy == Auto && stats.Demotions == 0 {
				t.Error("no layer has left: the test shows nothing")
			}
			if stats.WindowedLayers != 3 || stats.MovedBytes == 0 {
				t.Errorf("%+v; want three windowed layers, and rows put in order", stats)
			}
		})
	}
	t.Run("vulkan", func(t *testing.T) {
		b := onVulkan(t)
		want, _ := played(t, b, windowedOptions(Static, ggml.F32), stroll)
		finite(t, want)
		got, _ := played(t, b, windowedOptions(Offloaded, ggml.F32), stroll)
		if i := differ(got, want); i >= 0 {
			t.Errorf("step %d differs from static", i)
		}
	})
}

// What a token sees depends on the tokens before it, and not on what was there and was cut off.
func TestTruncateThenAppendEqualsFreshWithWindows(t *testing.T) {
	b := ownCPU(t, 0)
	for _, to := range []int{599, 560, 501, 500, 480, 300, 99, 7} {
		old, fresh := newRig(t, b, windowedOptions(Offloaded, ggml.F32)), newRig(t, b, windowedOptions(Static, ggml.F32))
		a, f := old.pool.NewSeq(), fresh.pool.NewSeq()
		old.grow(growth{a, 600})
		mustTruncate(t, a, to)
		fresh.grow(growth{f, to})
		for _, n := range []int{1, 300, 1} {
			old.last = fresh.last
			if !bytes.Equal(old.grow(growth{a, n}), fresh.grow(growth{f, n})) {
				t.Errorf("truncated to %d, then %d tokens: they see other rows than without the truncation", to, n)
			}
		}
		old.close()
		fresh.close()
	}
}

func TestRestoreEqualsNeverHavingClosedWithWindows(t *testing.T) {
	b := ownCPU(t, 0)
	for _, copies := range []bool{false, true} {
		o := windowedOptions(Offloaded, ggml.Q8_0)
		o.ForcedCopies = copies
		r := newRig(t, b, o)
		a := r.pool.NewSeq()
		r.grow(growth{a, 700})
		r.grow(growth{a, 1})
		kept := save(t, r.pool, a)
		after := newRig(t, b, o)
		again := restored(t, after.pool, kept)
		for _, to := range []int{0, 690, 600, 60} { // 0: no truncation
			if to > 0 {
				mustTruncate(t, a, to)
				mustTruncate(t, again, to)
			}
			for _, n := range []int{1, 40} {
				after.last = r.last
				if !bytes.Equal(after.grow(growth{again, n}), r.grow(growth{a, n})) {
					t.Errorf("copies %v, truncated to %d: the restored sequence differs", copies, to)
				}
			}
		}
		after.pool.drain()
		save(t, after.pool, again).equal(t, save(t, r.pool, a))
		after.close()
		r.close()
	}
}

// windowedLedger is a ledger of one full layer and two windowed ones, with rings of 256 places.
func windowedLedger(t *testing.T, b *ggml.Backend, policy Policy) (*ledger, *failing) {
	t.Helper()
	o := uniform(policy, 4, 1000)
	o.Layers[1].Window, o.Layers[3].Window = 100, 30
	o.ChunkTokens, o.ForcedCopies = 64, true
	down := &failing{make: o.Tier}
	o.Tier = down.open
	l := newLedger(t, b, o)
	t.Cleanup(l.close)
	return l, down
}

// Every copy of a windowed layer may fail: those when a step begins, and those in the middle of it.
func TestFailedCopiesOfWindowedLayersLeaveTheCacheUsable(t *testing.T) {
	l, down := windowedLedger(t, ownCPU(t, 0), Static)
	s := l.seq()
	l.grow(growth{s, 500})
	f := l.fork(s)
	l.grow(growth{f, 40})
	l.truncate(s, 300)
	for _, works := range [][]growth{
		{{s, 1}},          // fetches what is seen behind the ring
		{{f, 1}},          // and the other way
		{{s, 300}},        // stores rows from before the step and of its own
		{{f, 1}, {s, 30}}, // stores and fetches
	} {
		failures := 0
		for copies := 0; ; copies++ {
			down.set(copies + 1)
			err := l.step(t.Context(), 5, works...)
			down.set(0)
			l.check()
			if err == nil {
				break
			}
			if !errors.Is(err, errDown) {
				t.Fatal(err)
			}
			failures++
		}
		if failures < 2 {
			t.Errorf("%v: %d copies were made to fail; want one in each windowed layer at least", works, failures)
		}
	}
	l.closeSeq(f)
	l.truncate(s, 200)
	for copies := range 8 { // a block is sealed
		down.set(copies + 1)
		err := l.step(t.Context(), 5, growth{s, 60})
		down.set(0)
		l.check()
		if err != nil && !errors.Is(err, errDown) {
			t.Fatal(err)
		}
	}
	l.grow(growth{s, 1})
	l.check()
}

func TestStepsThatEndEarlyLeaveTheRingsAsTheyWere(t *testing.T) {
	for _, policy := range []Policy{Static, Offloaded} {
		l, _ := windowedLedger(t, ownCPU(t, 0), policy)
		s := l.seq()
		l.grow(growth{s, 300})
		for layer := range 5 {
			if err := l.step(t.Context(), layer, growth{s, 400}); !errors.Is(err, errAbandoned) {
				t.Fatal(err)
			}
			l.check()
			ctx, cancel := context.WithCancel(t.Context())
			l.during = func(_ *Step, at *Layer) {
				if at.Index == layer {
					cancel()
				}
			}
			if err := l.step(ctx, 5, growth{s, 400}); layer < 4 && !errors.Is(err, context.Canceled) {
				t.Fatalf("cancelled in layer %d: %v", layer, err)
			}
			cancel()
			l.during = nil
			l.check()
		}
		l.truncate(s, 300)
		l.grow(growth{s, 1})
		l.check()
	}
}

// A batch whose sequences see more rows than a ring has places makes it larger, or fails before anything
// has changed.
func TestRingsGrowWithTheRowsThatABatchSees(t *testing.T) {
	b := ownCPU(t, 0)
	l, _ := windowedLedger(t, b, Static)
	a := l.seq()
	l.grow(growth{a, 10})
	forks := []*Seq{a, l.fork(a), l.fork(a), l.fork(a)}
	for _, f := range forks {
		l.grow(growth{f, 90})
	}
	var works []growth
	for _, f := range forks {
		works = append(works, growth{f, 1})
	}
	before := l.pool.Stats()
	for refused := 0; ; refused++ {
		left := refused
		l.pool.hooks.alloc = func() error {
			if left--; left < 0 {
				return ggml.ErrNoMemory
			}
			return nil
		}
		err := l.step(t.Context(), 5, works...)
		l.pool.hooks.alloc = nil
		if err == nil {
			if refused == 0 {
				t.Error("no memory was needed: the test shows nothing")
			}
			break
		}
		if !errors.Is(err, ErrNoMemory) {
			t.Fatal(err)
		}
		if got := l.pool.Stats(); got.DeviceBytes != before.DeviceBytes {
			t.Errorf("%d bytes on the device after a refusal; want %d", got.DeviceBytes, before.DeviceBytes)
		}
		l.check()
	}
	grown := l.pool.Stats().DeviceBytes - before.DeviceBytes
	if want := int64(256 * rowBytes); grown != want { // of the window of 100 tokens; 4 × 30 fit
		t.Errorf("rings have grown by %d bytes; want %d", grown, want)
	}
	l.grow(works...)
	l.check()
	for _, f := range forks {
		l.closeSeq(f)
	}
	s := l.seq() // in the memory that static keeps: with the places of a ring that has not grown
	l.grow(growth{s, 400})
	if r := s.tree.rings[0]; r.size != 256 || r.place(399) != 399-256 {
		t.Errorf("a ring of %d places, with cell 399 at %d; want 256, 143", r.size, r.place(399))
	}
	l.check()
}

func TestRingsGrowWithinTheMemoryAllowed(t *testing.T) {
	o := uniform(Offloaded, 2, 1000)
	o.Layers[1].Window = 200
	o.ChunkTokens, o.ForcedCopies = 50, true
	o.Memory = []int64{o.Plan().Least()[0]}
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	a := l.seq()
	l.grow(growth{a, 10})
	f := l.fork(a)
	l.grow(growth{a, 180})
	l.grow(growth{f, 180})
	err := l.step(t.Context(), 3, growth{a, 1}, growth{f, 1})
	if !errors.Is(err, ErrNoMemory) {
		t.Fatalf("more rows than the memory has room for: %v; want %v", err, ErrNoMemory)
	}
	l.check()
	l.grow(growth{a, 1})
	l.grow(growth{f, 1})
	l.check()
}

// The device has the window and no more, however long the sequence, and decoding copies nothing of it.
func TestWindowedLayersTakeAWindowAndFetchNothing(t *testing.T) {
	o := uniform(Offloaded, 6, 9000)
	for l := range 5 {
		o.Layers[l].Window = 512
	}
	o.ForcedCopies, o.Slots = true, 1
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	ring := int64(plan.WholeBlocks(511 + l.pool.ChunkTokens()))
	s := l.pool.NewSeq()
	step := func(n int) traffic {
		l.pool.drain()
		before := l.pool.Stats()
		st, err := l.pool.Begin(t.Context(), []Work{{Seq: s, Tokens: make([]int32, n)}})
		if err != nil {
			t.Fatal(err)
		}
		for layer, err := range st.Layers(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			for i := range st.Chunks() {
				if err := layer.Prepare(t.Context(), i); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := errors.Join(st.Commit(), st.Close()); err != nil {
			t.Fatal(err)
		}
		l.pool.drain()
		after := l.pool.Stats()
		if got, want := after.DeviceBytes, 5*ring*rowBytes+l.pool.devices[0].slotsTaken(); got != want {
			t.Fatalf("%d bytes on the device at %d tokens; want %d", got, s.Len(), want)
		}
		return traffic{after.Fetches - before.Fetches, after.FetchedBytes - before.FetchedBytes, after.StoredBytes - before.StoredBytes}
	}
	for s.Len() < 8000 {
		if got := step(min(1500, 8000-s.Len())); got.Fetches > 0 {
			t.Errorf("a prompt up to %d tokens made %+v; want no fetch, as the full layer stays in its slot", s.Len(), got)
		}
	}
	for s.Len() < 8300 {
		sealed := s.Len() % Block // a block is full when the step begins
		got, want := step(1), traffic{Stored: rowBytes}
		if sealed == 0 {
			want.Stored += 5 * Block * rowBytes
		}
		if s.Len() > 8000+Block && !cmp.Equal(got, want) {
			t.Fatalf("decoding at %d tokens made %+v; want %+v", s.Len(), got, want)
		}
	}
	mustTruncate(t, s, 1000)
	if got, want := step(1), (traffic{Fetches: 5, Fetched: 5 * 511 * rowBytes, Stored: rowBytes}); !cmp.Equal(got, want) {
		t.Errorf("after a truncation far back: %+v; want %+v", got, want)
	}
	mustClose(t, s)
}

func TestWindowedLayersNeedATier(t *testing.T) {
	o := uniform(Static, 1, 1000)
	o.Layers[0].Window, o.ChunkTokens, o.Tier = 10, 64, nil
	if p, err := NewPool(o, onCPU(t)); !errors.Is(err, errNoPast) {
		p.Close()
		t.Errorf("a ring without a tier: %v; want %v", err, errNoPast)
	}
	o.Cells = 200 // the window is all
	p, err := NewPool(o, onCPU(t))
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
}

func TestDecodeStepOfWindowedLayersAllocatesNothing(t *testing.T) {
	r := newRing(100, 256, 0)
	cells := []tier.Run{{Start: 0, N: 100}}
	needs := []need{{first: 0, n: 1, old: 99, cells: cells}}
	next := func() {
		r.begin()
		r.assign(0, needs)
		r.look(needs[0])
		cells[0].Start++
	}
	for range 2000 {
		next()
	}
	r.places = append(make([]int32, 0, 5000), r.places...)
	if n := testing.AllocsPerRun(100, next); n > 0 {
		t.Errorf("%v allocations a step; want 0", n)
	}
}

// boundedLedger is windowedLedger whose tiers keep some rows behind the windows.
func boundedLedger(t *testing.T, windowRows int) *ledger {
	t.Helper()
	o := uniform(Static, 3, 4000)
	o.Layers[1].Window, o.Layers[2].Window = 100, 30
	o.ChunkTokens, o.WindowRows = 64, windowRows
	l := newLedger(t, ownCPU(t, 0), o)
	t.Cleanup(l.close)
	return l
}

// With WindowRows host memory does not grow with the sequence, what is kept comes back as ever, and of
// what is not an error says from where on to compute again.
func TestWindowRowsBoundWhatIsKept(t *testing.T) {
	for _, tt := range []struct{ windowRows, cells int }{{NoWindowRows, 256}, {1, 512}, {256, 512}, {1000, 1280}} {
		l := boundedLedger(t, tt.windowRows)
		s := l.seq()
		for s.Len() < 3000 {
			l.grow(growth{s, 300})
		}
		if got, want := l.pool.Stats().HostBytes, int64(2*tt.cells*rowBytes); got != want {
			t.Errorf("%d rows behind the window: %d bytes in host memory; want %d", tt.windowRows, got, want)
		}
		l.check()
		back := max(0, tt.windowRows)
		l.truncate(s, 3000-back) // its window is kept
		l.grow(growth{s, 1})
		l.check()
		l.truncate(s, 3000-back-100-600)
		err := l.step(t.Context(), 4, growth{s, 5})
		gone, ok := errors.AsType[*GoneError](err)
		if !ok || gone.Seq != s || gone.From != 0 {
			t.Fatalf("%d rows behind the window, truncated far behind: %v; want all computed again", tt.windowRows, err)
		}
		l.check() // nothing has changed
		l.again(gone)
		l.grow(growth{s, 5})
		l.check()
	}
}

// A sequence of which a session has the last rows goes on from there, and says what is not there.
func TestSessionsOfBoundedWindowsHoldTheirLastRows(t *testing.T) {
	from := boundedLedger(t, 300)
	s := from.seq()
	from.grow(growth{s, 2000})
	kept := save(t, from.pool, s)
	if kept.from < 2000-256-768 || kept.from > 2000-400 {
		t.Errorf("rows are saved from token %d on; want some hundreds of 2000", kept.from)
	}
	for _, windowRows := range []int{0, NoWindowRows, 300} {
		l := boundedLedger(t, windowRows)
		r := restored(t, l.pool, kept)
		l.tokens[r] = kept.tokens
		for i, token := range kept.tokens {
			l.sees[token] = kept.tokens[:i+1]
		}
		l.last = from.last
		l.grow(growth{r, 1})
		if err := r.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.check()
		l.grow(growth{r, 70})
		l.truncate(r, 1000)
		gone, ok := errors.AsType[*GoneError](l.step(t.Context(), 4, growth{r, 1}))
		if !ok || gone.From != 0 {
			t.Fatalf("%d rows kept of a session that has the last ones: %+v; want all computed again", windowRows, gone)
		}
		l.again(gone)
		l.grow(growth{r, 1})
		l.check()
		if windowRows == 0 && save(t, l.pool, r).from != 0 {
			t.Error("rows that were computed again are not saved")
		}
	}
}

func TestFailedCopiesOfBoundedWindowsLeaveTheCacheUsable(t *testing.T) {
	o := uniform(Static, 3, 4000)
	o.Layers[1].Window, o.Layers[2].Window = 100, 30
	o.ChunkTokens, o.WindowRows = 64, 40
	down := &failing{make: o.Tier}
	o.Tier = down.open
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := l.seq()
	l.grow(growth{s, 700})
	for copies := range 12 {
		down.set(copies + 1)
		err := l.step(t.Context(), 4, growth{s, 300})
		down.set(0)
		l.check()
		if err != nil && !errors.Is(err, errDown) {
			t.Fatal(err)
		}
	}
	err := l.step(t.Context(), 4, growth{s, 1}) // rows that were overwritten are gone, and no others are seen
	if gone, ok := errors.AsType[*GoneError](err); ok {
		l.again(gone)
	} else if err != nil {
		t.Fatal(err)
	}
	l.grow(growth{s, 1})
	l.check()
}

// The rows of a tree whose tokens come in a later chunk are there before that chunk, where layers share
// them.
func TestSharedRowsOfALaterTreeAreFetched(t *testing.T) {
	o := uniform(Static, 2, 1000)
	o.Layers[0].Window, o.ChunkTokens, o.StepTokens = 30, 20, 100
	o.Layers[1] = o.Layers[0]
	o.Layers[1].Shares = true
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	a, b := l.seq(), l.seq()
	l.grow(growth{b, 90})
	for range 4 {
		l.grow(growth{b, 90})
	}
	l.truncate(b, 100)
	l.grow(growth{a, 25}, growth{b, 3})
	l.check()
}

// Whatever allocation fails, a step that takes memory for rings or for what is behind them changes
// nothing, and can be taken later.
func TestEveryAllocationOfWindowedLayersMayFail(t *testing.T) {
	for _, policy := range []Policy{Auto, Static, Offloaded, OffloadedStatic} {
		o := uniform(policy, 4, 1500)
		o.Layers[1].Window, o.Layers[3].Window = 100, 30
		o.ChunkTokens, o.ForcedCopies = 64, true
		l := newLedger(t, ownCPU(t, 0), o)
		refusals := 0
		s := l.seq()
		for _, n := range []int{10, 600} {
			for refused := 0; ; refused++ {
				left := refused
				l.pool.hooks.alloc = func() error {
					if left--; left == -1 {
						return ggml.ErrNoMemory
					}
					return nil
				}
				err := l.step(t.Context(), 5, growth{s, n})
				l.pool.hooks.alloc = nil
				l.check()
				if err != nil && !errors.Is(err, ErrNoMemory) {
					t.Fatalf("%v: %v", policy, err)
				}
				if left >= 0 { // as many as there are
					break
				}
				refusals++
				if err == nil { // a layer has left instead
					l.truncate(s, s.Len()-n)
				}
			}
		}
		if refusals < 4 {
			t.Errorf("%v: %d allocations; want more", policy, refusals)
		}
		l.grow(growth{s, 1})
		l.check()
		l.close()
	}
}

// Where tiers are full although fewer rows behind windows would do, the error says so.
func TestFullTiersNameTheRowsBehindWindows(t *testing.T) {
	for _, test := range []struct {
		window, windowRows int
		full, named        bool
	}{{10, 0, true, true}, {10, 100, false, false}, {0, 0, true, false}} {
		o := uniform(Offloaded, 3, 2000)
		o.Layers[1].Window, o.WindowRows, o.ChunkTokens, o.ForcedCopies = test.window, test.windowRows, 64, true
		o.Tier = stack.New(host.NewExact, nil, (2*2048+512)*rowBytes).New
		p, err := NewPool(o, ownCPU(t, 0))
		if err != nil {
			t.Fatal(err)
		}
		s := p.NewSeq()
		for s.Len() < 1900 && err == nil {
			err = tokens(p, s, 100)
		}
		if errors.Is(err, ErrNoMemory) != test.full || errors.Is(err, ErrWindowRows) != test.named {
			t.Errorf("a window of %d, %d rows behind it: %v after %d tokens; want full tiers: %v, and windows named: %v", test.window, test.windowRows, err, s.Len(), test.full, test.named)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
