package kv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/seed4d217819/ebb/tier/disk"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
)

// caches are options of ledgers for all kinds of layers, and of places where their rows may be.
func caches(t *testing.T) map[string]Options {
	t.Helper()
	files, err := disk.Open(disk.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	some := stack.New(host.NewExact, files.New, 6000)
	all := map[string]Options{
		"in place":                uniform(Dynamic, 3, 1000),
		"on disk":                 uniform(Offloaded, 3, 1000),
		"every kind":              everyKind(Static),
		"every kind, offloaded":   everyKind(Offloaded),
		"every kind, and demoted": everyKind(Auto),
	}
	for name, o := range all {
		o.ForcedCopies = name != "in place"
		if name == "on disk" || name == "every kind, offloaded" {
			o.Tier = some.New
		}
		if o.Policy == Auto {
			o.Layers = append(o.Layers, slices.Repeat(o.Layers[3:4], 6)...)
		}
		all[name] = o
	}
	return all
}

// crowd is a sequence to be read, and others that go on meanwhile: forks of it, one from before its rows
// lay between others, and one of another tree.
type crowd struct {
	*ledger
	s, before, after, other *Seq
	rounds                  int
}

func newCrowd(t *testing.T, o Options) *crowd {
	t.Helper()
	l := newLedger(t, ownCPU(t, 0), o)
	l.files = true
	l.pool.config.firstCells, l.pool.turnBytes = Block, 1
	c := &crowd{ledger: l, s: l.seq(), other: l.seq()}
	c.grow(growth{c.s, 300}, growth{c.other, 3})
	c.before = c.fork(c.s)
	for range 30 {
		c.grow(growth{c.s, 2}, growth{c.before, 1})
	}
	c.grow(growth{c.s, 190})
	c.after = c.fork(c.s)
	return c
}

// goOn is what the others do once. Rows are put in order when the fork from before is closed.
func (c *crowd) goOn() {
	switch c.rounds++; c.rounds {
	case 2:
		c.truncate(c.before, 310)
		c.grow(growth{c.before, 40}, growth{c.other, 1})
	case 3:
		c.closeSeq(c.before)
	case 4:
		c.grow(growth{c.after, 2}, growth{c.other, 1})
	case 5, 6:
		if c.pool.config.policy.adapts() {
			squeeze(c.t, c.pool, 110-10*c.rounds)
		}
	default:
		c.grow(growth{c.other, 5}, growth{c.after, 1})
	}
}

// Steps begin between the turns in which a sequence is saved, and whatever they do, it is saved as it was.
func TestStepsBeginWhileASequenceIsSaved(t *testing.T) {
	for name, o := range caches(t) {
		t.Run(name, func(t *testing.T) {
			for _, byBlock := range []bool{false, true} {
				c := newCrowd(t, o)
				want := save(t, c.pool, c.s)
				got := savePart(t, c.pool, c.s, SaveOptions{ByBlock: byBlock}, c.goOn)
				got.equal(t, want)
				if diff := len(got.states) - len(want.states); diff != 0 || !maps.EqualFunc(got.states, want.states, bytes.Equal) {
					t.Errorf("%d more states than before, or others", diff)
				}
				if stats := c.pool.Stats(); c.rounds < 8 || stats.MovedBytes == 0 || o.Policy == Auto && stats.Demotions == 0 {
					t.Errorf("%d turns, %d bytes put in order, %d layers have left: the test shows nothing", c.rounds, stats.MovedBytes, stats.Demotions)
				}
				c.grow(growth{c.s, 2}, growth{c.other, 1})
				c.check()
				c.close()
			}
		})
	}
}

// A sequence is saved from a block on, in either order, with the snapshots that are wanted.
func TestPartsOfASequenceAreSaved(t *testing.T) {
	l := newLedger(t, ownCPU(t, 0), everyKind(Offloaded))
	defer l.close()
	s := l.seq()
	for range 13 {
		l.grow(growth{s, 50})
	}
	all := save(t, l.pool, s)
	if !slices.Equal(all.Snapshots, []int{200, 400, 600}) {
		t.Fatalf("snapshots %v were saved", all.Snapshots)
	}
	var order []int
	one := func(tokens int) bool { return tokens == 400 }
	err := l.pool.SavePart(t.Context(), s, SaveOptions{FirstBlock: 1, ByBlock: true, Snapshot: one}, sink{
		begin: func(some Saved) error {
			if !slices.Equal(some.Snapshots, []int{400}) || some.Computed != 650 {
				t.Errorf("begun with %v and %d tokens", some.Snapshots, some.Computed)
			}
			return nil
		},
		rows: func(layer, block int, rows []byte) error {
			order = append(order, 10*block+layer)
			if !bytes.Equal(rows, all.rows[[2]int{layer, block}]) {
				t.Errorf("block %d of layer %d differs", block, layer)
			}
			return nil
		},
		state: func(number, layer int, state []byte) error {
			order = append(order, 100*(1+number)+layer)
			if !bytes.Equal(state, all.states[[2]int{1 + 2*number, layer}]) {
				t.Errorf("state %d of layer %d differs", number, layer)
			}
			return nil
		},
	})
	if want := []int{10, 11, 12, 20, 21, 22, 100, 101, 200, 201}; err != nil || !slices.Equal(order, want) {
		t.Errorf("%v, in the order %v; want %v", err, order, want)
	}
	l.truncate(s, 600) // it begins with a snapshot
	none := savePart(t, l.pool, s, SaveOptions{FirstBlock: 9, Snapshot: func(int) bool { return false }}, func() {})
	if len(none.rows) != 0 || len(none.Snapshots) != 0 || len(none.states) != 2 || !bytes.Equal(none.states[[2]int{0, 1}], all.states[[2]int{2, 1}]) {
		t.Errorf("%d blocks, snapshots %v and %d states; want the state alone with which it goes on", len(none.rows), none.Snapshots, len(none.states))
	}
	if err := l.pool.SavePart(t.Context(), s, SaveOptions{FirstBlock: -1}, sink{}); err == nil {
		t.Error("saved from block -1 on")
	}
}

// A step of a sequence that is saved is refused, and a save that is cancelled ends at its next turn.
func TestASaveThatIsCancelledLeavesTheSequence(t *testing.T) {
	c := newCrowd(t, everyKind(Offloaded))
	defer c.close()
	copied(c.pool)
	before, used := c.pool.Stats(), c.pool.devices[0].backend.Usage().Total()
	for _, at := range []int{1, 4, 12} {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		write := func(int, int, []byte) error {
			if calls++; calls == at {
				if _, err := c.pool.Begin(ctx, []Work{{Seq: c.s, Tokens: []int32{1}}}); !errors.Is(err, ErrReading) {
					t.Errorf("a step: %v; want %v", err, ErrReading)
				}
				cancel()
			}
			return nil
		}
		if err := c.pool.Save(ctx, c.s, sink{rows: write, state: write}); !errors.Is(err, context.Canceled) || calls != at {
			t.Errorf("%v after %d writes; want %v after %d", err, calls, context.Canceled, at)
		}
	}
	if after := c.pool.Stats(); after.HostBytes != before.HostBytes || after.DeviceBytes != before.DeviceBytes {
		t.Errorf("%+v; want the bytes of %+v", after, before)
	}
	if after := c.pool.devices[0].backend.Usage().Total(); after != used {
		t.Errorf("%d bytes are used; want %d", after, used)
	}
	c.grow(growth{c.s, 1}, growth{c.after, 1})
	c.check()
}

// Closing a pool ends what is saved, and waits for it.
func TestAPoolWaitsForSaves(t *testing.T) {
	c := newCrowd(t, uniform(Dynamic, 3, 1000))
	var closing sync.WaitGroup
	err := c.pool.Save(t.Context(), c.s, sink{rows: func(int, int, []byte) error {
		closing.Go(c.close)
		for {
			c.pool.mu.Lock()
			closed := c.pool.closed
			c.pool.mu.Unlock()
			if closed {
				return nil
			}
		}
	}})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("%v; want %v", err, ErrClosed)
	}
	closing.Wait()
}

// Where few rows behind windows are kept, the steps of forks wait for a save, which lacks none then.
func TestStepsOfForksWaitWhereRowsMayGo(t *testing.T) {
	l := boundedLedger(t, 40)
	l.pool.turnBytes = 1
	s := l.seq()
	l.grow(growth{s, 300})
	f := l.fork(s)
	want := save(t, l.pool, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	savePart(t, l.pool, s, SaveOptions{}, func() {
		if _, err := l.pool.Begin(ctx, []Work{{Seq: f, Tokens: []int32{1}}}); !errors.Is(err, context.Canceled) {
			t.Errorf("a step begins: %v", err)
		}
	}).equal(t, want)
	l.closeSeq(f)
	other := l.seq()
	savePart(t, l.pool, s, SaveOptions{}, func() { l.grow(growth{other, 50}) }).equal(t, want)
	l.grow(growth{s, 1})
	l.check()
}

// A snapshot that is given up while it is saved is saved from its place.
func TestASnapshotThatIsNotKeptIsSaved(t *testing.T) {
	o := everyKind(Dynamic)
	o.SnapshotEvery = 0
	down := &failing{make: o.Tier}
	o.Tier = down.open
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	l.pool.turnBytes = 1
	s, other := l.seq(), l.seq()
	l.grow(growth{s, 30}, growth{other, 1})
	down.set(1) // its copy fails
	if err := s.SnapshotAt(30); err != nil {
		t.Fatal(err)
	}
	<-l.pool.snapshots.ended
	down.set(0)
	var got []byte
	err := l.pool.Save(t.Context(), s, sink{rows: func(int, int, []byte) error {
		l.grow(growth{other, 1})
		return nil
	}, state: func(_, layer int, state []byte) error {
		got = append(got, state[:4]...)
		return nil
	}})
	if err != nil || len(l.pool.snapshots.kept) != 0 {
		t.Fatalf("%v, %d snapshots; want none", err, len(l.pool.snapshots.kept))
	}
	var want []byte
	for _, state := range []float32{stateOf(l.tokens[s], 1), stateOf(l.tokens[s], 4)} {
		want = binary.LittleEndian.AppendUint32(want, math.Float32bits(state))
	}
	if !bytes.Equal(got, want) {
		t.Errorf("states %x were saved; want %x", got, want)
	}
	l.grow(growth{s, 1})
	l.check()
}

// Under the race detector: one goroutine saves again and again while another takes steps.
func TestSavesAndStepsAtTheSameTime(t *testing.T) {
	for _, policy := range []Policy{Dynamic, Offloaded, Auto} {
		c := newCrowd(t, everyKind(policy))
		want := save(t, c.pool, c.s)
		var saving sync.WaitGroup
		saving.Go(func() {
			for range 3 {
				savePart(t, c.pool, c.s, SaveOptions{}, func() {}).equal(t, want)
			}
		})
		for range 12 {
			c.goOn()
		}
		saving.Wait()
		c.grow(growth{c.s, 1})
		c.check()
		c.close()
	}
}
