package kv

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/disk"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
)

func TestForksHoldSnapshotsTogether(t *testing.T) {
	h := newHasher(t, hashedLayers(100))
	defer h.close()
	s := h.seq()
	h.grow(s, 250)
	f := h.fork(s)
	h.truncate(f, 150)
	h.grow(f, 60)
	h.check()
	if got, want := tokensOf(s), []int{100, 200}; !slices.Equal(got, want) {
		t.Errorf("snapshots after %v tokens; want %v: a fork was truncated", got, want)
	}
	if got, want := tokensOf(f), []int{100, 200}; !slices.Equal(got, want) {
		t.Errorf("the fork has snapshots after %v tokens; want %v", got, want)
	}
	if st := h.settled(); st.Snapshots != 3 || st.RecomputedTokens != 50 {
		t.Errorf("%d snapshots, %d tokens computed again; want 3, one of them of both, and 50", st.Snapshots, st.RecomputedTokens)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	delete(h.want, s)
	h.truncate(f, 100)
	h.grow(f, 1)
	h.check()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	delete(h.want, f)
	if st := h.settled(); st.Snapshots != 0 || st.SnapshotBytes != 0 || st.HostBytes != 0 {
		t.Errorf("%d snapshots of %d bytes of closed sequences", st.Snapshots, st.SnapshotBytes)
	}
}

func TestTheLeastUsefulSnapshotsAreGivenUp(t *testing.T) {
	for _, tt := range []struct {
		name  string
		most  int64
		asked []int
		want  []int
	}{
		{"the latest stays, and what lies far apart", 4, nil, []int{100, 200, 300, 350}},
		{"those asked for stay", 4, []int{60, 70}, []int{60, 70, 250, 350}},
		{"one alone", 1, nil, []int{350}},
		{"of those asked for, those far apart", 3, []int{60, 70, 80, 240}, []int{60, 240, 350}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := hashedLayers(50)
			o.SnapshotBytes = tt.most * 2 * o.Layers[0].StateBytes()
			h := newHasher(t, o)
			defer h.close()
			s := h.seq()
			for _, n := range tt.asked {
				h.snapshotAt(s, n)
			}
			for s.Len() < 350 {
				h.grow(s, 10)
				h.check()
				if st := h.settled(); st.SnapshotBytes > o.SnapshotBytes {
					t.Fatalf("%d bytes of snapshots; want at most %d", st.SnapshotBytes, o.SnapshotBytes)
				}
			}
			if got := tokensOf(s); !slices.Equal(got, tt.want) {
				t.Errorf("snapshots after %v tokens; want %v", got, tt.want)
			}
		})
	}
}

func TestNoSnapshotsWhereNoneAreWanted(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no memory":     func(o *Options) { o.SnapshotBytes = NoSnapshots },
		"less than one": func(o *Options) { o.SnapshotBytes = 1 },
		"no tier":       func(o *Options) { o.Tier = nil },
	} {
		t.Run(name, func(t *testing.T) {
			o := hashedLayers(50)
			change(&o)
			p, err := NewPool(o, ownCPU(t, 0))
			if err != nil {
				t.Fatal(err)
			}
			h := &hasher{t: t, pool: p, want: map[*Seq][]int32{}}
			defer h.close()
			s := h.seq()
			h.snapshotAt(s, 60)
			h.grow(s, 120)
			h.truncate(s, 110)
			if got := len(s.Pending()); got != 110 {
				t.Errorf("%d tokens are computed again; want 110", got)
			}
			h.grow(s, 1)
			if n := s.NextSnapshot(); n != 0 {
				t.Errorf("a snapshot is wanted after %d tokens more", n)
			}
		})
	}
}

// flaky makes tiers of which some copies fail, and says how many were tried.
type flaky struct {
	tier.Tier
	fetch, store func() error
}

func (f flaky) Fetch(ctx context.Context, layer int, cells tier.Run, dst tier.Memory) error {
	if err := f.fetch(); err != nil {
		return err
	}
	return f.Tier.Fetch(ctx, layer, cells, dst)
}

func (f flaky) Store(ctx context.Context, layer int, runs []tier.Run, src tier.Memory) error {
	if err := f.store(); err != nil {
		return err
	}
	return f.Tier.Store(ctx, layer, runs, src)
}

// failures returns a maker of tiers of which the next fetches and stores fail, as many as the counters
// say.
func failures(maker tier.Maker) (_ tier.Maker, fetches, stores *atomic.Int64) {
	fetches, stores = &atomic.Int64{}, &atomic.Int64{}
	failing := func(n *atomic.Int64) func() error {
		return func() error {
			if n.Add(-1) >= 0 {
				return errDown
			}
			return nil
		}
	}
	return func(layouts []tier.Layout, memory tier.Allocator) tier.Tier {
		return flaky{maker(layouts, memory), failing(fetches), failing(stores)}
	}, fetches, stores
}

func TestASnapshotThatCannotBeReadMeansTheOneBefore(t *testing.T) {
	for _, tt := range []struct {
		fails int64
		again int
	}{{1, 150}, {2, 250}} {
		o, told := hashedLayers(100), ""
		o.Notify = func(line string) { told += line + "\n" }
		var fetches *atomic.Int64
		o.Tier, fetches, _ = failures(o.Tier)
		h := newHasher(t, o)
		s := h.seq()
		h.grow(s, 300)
		h.settled()
		h.truncate(s, 250)
		f := h.fork(s) // begins with the same snapshot
		fetches.Store(tt.fails)
		h.snapshotAt(s, 250)
		h.grow(s, 1)
		h.check()
		if got := h.pool.Stats().RecomputedTokens; got != tt.again {
			t.Errorf("%d tokens were computed again; want %d", got, tt.again)
		}
		if got, want := tokensOf(s), []int{100, 200, 250}; !slices.Equal(got, want) {
			t.Errorf("snapshots after %v tokens; want %v, taken again", got, want)
		}
		h.grow(f, 1)
		h.check()
		if !strings.Contains(told, "tokens are computed again: the state after 200 tokens could not be read: the tier is down") {
			t.Errorf("told %q", told)
		}
		h.close()
	}
}

func TestASnapshotThatCannotBeStoredIsNotKept(t *testing.T) {
	for fails := range int64(3) { // the first layer, the second, and both
		o, told := hashedLayers(100), ""
		o.Notify = func(line string) { told += line }
		var stores *atomic.Int64
		o.Tier, _, stores = failures(o.Tier)
		h := newHasher(t, o)
		s := h.seq()
		h.grow(s, 150)
		h.settled()
		stores.Store(fails + 1)
		h.grow(s, 60)
		st := h.settled()
		h.grow(s, 1)
		if got := tokensOf(s); !slices.Equal(got, []int{100}) || st.SnapshotBytes != st.StateBytes {
			t.Errorf("snapshots after %v tokens of %d bytes; want one after 100 of %d", got, st.SnapshotBytes, st.StateBytes)
		}
		if !strings.Contains(told, "the state after 200 tokens is not kept: the tier is down") {
			t.Errorf("told %q", told)
		}
		stores.Store(0)
		h.truncate(s, 205)
		h.grow(s, 1)
		h.check()
		h.close()
	}
}

// Where tiers have no room, older snapshots are given up for later ones.
func TestSnapshotsWithoutRoomReplaceLessUsefulOnes(t *testing.T) {
	o := hashedLayers(50)
	o.Tier = stack.New(host.NewExact, nil, 2*2*o.Layers[0].StateBytes()).New // a layer between them keeps its rows on the device
	h := newHasher(t, o)
	defer h.close()
	s := h.seq()
	for range 30 {
		h.grow(s, 10)
		h.settled()
		h.check()
	}
	h.grow(s, 1)
	if got := tokensOf(s); len(got) == 0 || len(got) > 2 || got[len(got)-1] != 300 {
		t.Errorf("snapshots after %v tokens; want the latest among one or two", got)
	}
	h.truncate(s, 300)
	h.grow(s, 1)
	h.check()
}

// Snapshots in files take no host memory once they are there.
func TestSnapshotsAreKeptInFiles(t *testing.T) {
	files, err := disk.Open(disk.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	o := hashedLayers(100)
	o.Tier = stack.New(host.NewExact, files.New, 0).New
	h := newHasher(t, o)
	s := h.seq()
	h.grow(s, 350)
	if st := h.settled(); st.Snapshots != 3 || st.DiskBytes < 3*st.StateBytes || st.SnapshotBytes != st.DiskBytes || st.HostBytes != 0 {
		t.Errorf("%d snapshots, %d bytes in files, %d in host memory", st.Snapshots, st.DiskBytes, st.HostBytes)
	}
	for _, n := range []int{320, 240, 199, 50} {
		h.truncate(s, n)
		h.grow(s, 20)
		h.check()
		if st := h.settled(); st.HostBytes != 0 {
			t.Errorf("%d bytes in host memory after a snapshot was read", st.HostBytes)
		}
	}
	h.close()
	if n := files.Bytes(); n != 0 {
		t.Errorf("%d bytes in files after the pool was closed", n)
	}
}

// A step that is cancelled while it reads a snapshot has changed nothing.
func TestReadingASnapshotCanBeCancelled(t *testing.T) {
	o := hashedLayers(100)
	h := newHasher(t, o)
	defer h.close()
	s := h.seq()
	h.grow(s, 250)
	h.settled()
	h.truncate(s, 220)
	before := h.pool.Stats()
	for after := range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		copies := 0
		h.pool.hooks.beforeCopy = func() {
			if copies++; copies > after {
				cancel()
			}
		}
		_, err := h.pool.Begin(ctx, []Work{{Seq: s, Tokens: append(s.Pending(), 7)}})
		cancel()
		h.pool.hooks.beforeCopy = nil
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%v; want %v", err, context.Canceled)
		}
		h.check()
		if got := h.pool.Stats(); got != before || len(s.Pending()) != 20 {
			t.Errorf("%d pending tokens, %+v; want 20, %+v", len(s.Pending()), got, before)
		}
	}
	h.grow(s, 1)
	h.check()
}

// Copies go on beside steps: the step after one does not wait for it.
func TestStepsDoNotWaitForCopiesOfSnapshots(t *testing.T) {
	h := newHasher(t, hashedLayers(100))
	defer h.close()
	s := h.seq()
	h.grow(s, 90)
	h.grow(s, 1)
	reached, hold := make(chan bool, 8), make(chan bool)
	h.pool.hooks.beforeCopy = func() {
		reached <- true
		<-hold
	}
	h.grow(s, 9)
	<-reached
	h.grow(s, 1) // the place that it writes is free
	h.truncate(s, 100)
	if s.state == nowhere {
		t.Error("the state that is being copied is not used")
	}
	if got := len(h.pool.states.holders); got != 2 {
		t.Errorf("%d places; want 2", got)
	}
	close(hold)
	h.grow(s, 1)
	h.grow(s, 1)
	h.check()
	if st := h.settled(); st.Snapshots != 1 {
		t.Errorf("%d snapshots; want 1", st.Snapshots)
	}
	if got := len(h.pool.states.holders); got != 2 {
		t.Errorf("%d places; want 2", got)
	}
}

// A state that is still being restored is copied once it is there.
func TestASnapshotOfARestoredState(t *testing.T) {
	o := uniform(Dynamic, 1, 700)
	o.ChunkTokens = 100
	h := newStateful(t, o)
	kept := h.shelved()
	slow, hold := from(kept), make(chan bool)
	slow.beforeState = func(context.Context, int) error { <-hold; return nil }
	s := h.restore(300, slow, kept)
	if err := s.SnapshotAt(300); err != nil {
		t.Fatal(err)
	}
	close(hold)
	h.grow(growth{s, 5})
	h.grow(growth{s, 5})
	h.pool.mu.Lock()
	h.pool.finishSnapshots()
	h.pool.mu.Unlock()
	if err := s.Truncate(307); err != nil {
		t.Fatal(err)
	}
	if got := len(s.Pending()); got != 7 || s.state != nowhere {
		t.Errorf("%d tokens are computed again; want 7, after a snapshot that is read", got)
	}
	h.grow(growth{s, 1})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A step for which there is no place waits for the copy, and its context ends the waiting.
func TestWaitingForACopyOfASnapshotCanBeCancelled(t *testing.T) {
	h := newHasher(t, hashedLayers(100))
	defer h.close()
	s := h.seq()
	h.grow(s, 99)
	reached, hold := make(chan bool, 8), make(chan bool)
	h.pool.hooks.beforeCopy = func() {
		reached <- true
		<-hold
	}
	h.grow(s, 1)
	<-reached
	h.grow(s, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := h.pool.Begin(ctx, []Work{{Seq: s, Tokens: []int32{1}}})
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v; want %v", err, context.Canceled)
	}
	h.check()
	close(hold)
	h.grow(s, 2)
	h.check()
}

// Sequences and pools may be closed while a state is being copied.
func TestCopiesOfSnapshotsEndWithTheirSequences(t *testing.T) {
	for name, end := range map[string]func(*hasher, *Seq) error{
		"sequence": func(_ *hasher, s *Seq) error { return s.Close() },
		"pool":     func(h *hasher, _ *Seq) error { return h.pool.Close() },
		"truncate": func(_ *hasher, s *Seq) error { return s.Truncate(0) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHasher(t, hashedLayers(50))
			defer h.close()
			reached := make(chan bool, 64)
			h.pool.hooks.beforeCopy = func() { reached <- true }
			s := h.seq()
			h.grow(s, 150)
			<-reached
			if err := end(h, s); err != nil {
				t.Fatal(err)
			}
			if name == "pool" {
				return
			}
			if st := h.settled(); st.Snapshots != 0 || st.HostBytes != 0 {
				t.Errorf("%d snapshots, %d bytes", st.Snapshots, st.HostBytes)
			}
		})
	}
}

func TestSnapshotAtOnceAndWithGuesses(t *testing.T) {
	h := newHasher(t, hashedLayers(NoSnapshots))
	defer h.close()
	s := h.seq()
	h.grow(s, 20)
	h.snapshotAt(s, 20)
	if err := h.try(s, 6, 5); err != nil { // states after 21 to 26 tokens
		t.Fatal(err)
	}
	h.snapshotAt(s, 23)
	h.snapshotAt(s, 20)
	if err := s.SnapshotAt(19); err == nil || !strings.Contains(err.Error(), "the state after 19 is not there any more") {
		t.Errorf("a snapshot of a state that is gone: %v", err)
	}
	h.snapshotAt(s, 30)
	if err := h.try(s, 7, 4); err != nil {
		t.Fatal(err)
	}
	if got, want := tokensOf(s), []int{20, 23, 30}; !slices.Equal(got, want) {
		t.Errorf("snapshots after %v tokens; want %v", got, want)
	}
	h.truncate(s, 29)
	if got := len(s.Pending()); got != 0 {
		t.Errorf("%d tokens are computed again: the state was kept", got)
	}
	h.grow(s, 1)
	h.truncate(s, 25)
	if got := len(s.Pending()); got != 2 {
		t.Errorf("%d tokens are computed again; want 2", got)
	}
	h.grow(s, 1)
	h.check()
}

// A fork that computes tokens again has cells of its own for them.
func TestFullSaysThatTokensAreComputedAgain(t *testing.T) {
	o := hashedLayers(NoSnapshots)
	o.Cells = 300
	h := newHasher(t, o)
	defer h.close()
	s := h.seq()
	h.grow(s, 250)
	f := h.fork(s)
	h.truncate(f, 200)
	err := h.try(f, 1, 0)
	if want := "200 of those that it needs are computed again"; !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), want) {
		t.Errorf("%v; want %q", err, want)
	}
	h.check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	delete(h.want, s)
	h.grow(f, 1)
	h.check()
}

// Where nothing is to be kept, a step takes no memory for snapshots.
func TestStepsWithoutSnapshotsAllocateNothingForThem(t *testing.T) {
	allocations := func(every int) float64 {
		h := newHasher(t, hashedLayers(every))
		defer h.close()
		s := h.seq()
		h.grow(s, 120)
		h.settled()
		return testing.AllocsPerRun(100, func() {
			step, err := h.pool.Begin(t.Context(), []Work{{Seq: s, Tokens: []int32{1}}})
			if err != nil {
				t.Fatal(err)
			}
			for layer, err := range step.Layers(t.Context()) {
				if err != nil || layer.Prepare(t.Context(), 0) != nil {
					t.Fatal(err)
				}
			}
			if err := step.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := step.Close(); err != nil {
				t.Fatal(err)
			}
			s.NextSnapshot()
		})
	}
	if with, without := allocations(110), allocations(NoSnapshots); with > without+1 { // one is due in a hundred
		t.Errorf("%v allocations a step; want %v, as without snapshots", with, without)
	}
}

// Whatever is done with sequences, and whatever fails, states are those of their tokens.
func TestRandomOperationsWithSnapshots(t *testing.T) {
	b := onCPU(t)
	rapid.Check(t, func(t *rapid.T) {
		o := hashedLayers(rapid.SampledFrom([]int{NoSnapshots, 7, 40}).Draw(t, "every"))
		o.Cells, o.ChunkTokens, o.StepTokens = 300, 8, 32
		o.SnapshotBytes = rapid.Int64Range(0, 5).Draw(t, "most") * 2 * o.Layers[0].StateBytes()
		var fetches, stores *atomic.Int64
		o.Tier, fetches, stores = failures(o.Tier)
		p, err := NewPool(o, b)
		if err != nil {
			t.Fatal(err)
		}
		h := &hasher{t: t, pool: p, want: map[*Seq][]int32{}}
		defer h.close()
		order := []*Seq{h.seq()}
		pick := func(t *rapid.T) *Seq { return rapid.SampledFrom(order).Draw(t, "seq") }
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { h.check() },
			"grow": func(t *rapid.T) {
				s, n := pick(t), rapid.IntRange(1, 50).Draw(t, "n")
				if err := h.try(s, n, rapid.IntRange(0, min(n, 9)-1).Draw(t, "drafts")); err != nil && !errors.Is(err, ErrFull) {
					t.Fatal(err)
				}
			},
			"truncate": func(t *rapid.T) {
				s := pick(t)
				h.truncate(s, rapid.IntRange(0, s.Len()).Draw(t, "to"))
			},
			"cut a little": func(t *rapid.T) {
				s := pick(t)
				h.truncate(s, rapid.IntRange(max(0, s.Len()-5), s.Len()).Draw(t, "to"))
			},
			"snapshot": func(t *rapid.T) {
				s := pick(t)
				_ = s.SnapshotAt(rapid.IntRange(max(0, s.Len()-5), s.Len()+40).Draw(t, "at")) // some states are gone
			},
			"fork": func(t *rapid.T) {
				if len(order) < 4 {
					order = append(order, h.fork(pick(t)))
				}
			},
			"close": func(t *rapid.T) {
				s := pick(t)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				delete(h.want, s)
				if order = slices.DeleteFunc(order, func(other *Seq) bool { return other == s }); len(order) == 0 {
					order = append(order, h.seq())
				}
			},
			"fail": func(t *rapid.T) {
				fetches.Store(rapid.Int64Range(0, 3).Draw(t, "fetches"))
				stores.Store(rapid.Int64Range(0, 3).Draw(t, "stores"))
			},
			"settle": func(*rapid.T) { h.settled() },
		})
	})
}
