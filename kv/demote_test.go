package kv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/disk"
	"github.com/seed4d217819/ebb/tier/host"
)

// squeeze lets the K/V of the first device take a share of what they take now, until the next step
// has begun. Layers leave where they can.
func squeeze(t rapid.TB, p *Pool, percent int) {
	t.Helper()
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	squeezeNow(t, p, percent)
}

// squeezeNow is squeeze for who has the turn.
func squeezeNow(t rapid.TB, p *Pool, percent int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.devices[0]
	var demands []demand
	for tree := range p.trees {
		if tree.regions != nil {
			demands = append(demands, demand{tree: tree, cells: min(plan.WholeBlocks(max(tree.high, 1)), p.config.cells)})
		}
	}
	if demands == nil {
		return
	}
	d.bound, d.bounded = p.taken(d)*int64(percent)/100, true
	if err := p.settle(context.Background(), demands); err != nil && !errors.Is(err, ErrNoMemory) {
		t.Fatal(err)
	}
	d.bounded = false
	p.count()
}

// growing is a conversation whose trees grow past their first room several times.
func growing(r *rig) {
	a := r.pool.NewSeq()
	r.grow(growth{a, 200})
	r.grow(growth{a, 120})
	fork := forkOf(r.t, a)
	b := r.pool.NewSeq()
	for range 3 {
		r.grow(growth{a, 1}, growth{fork, 2}, growth{b, 30})
	}
	if err := fork.Truncate(100); err != nil {
		r.t.Fatal(err)
	}
	r.grow(growth{fork, 300}, growth{a, 1})
	r.grow(growth{b, 250})
	if err := a.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.grow(growth{fork, 1}, growth{b, 1})
	r.grow(growth{fork, 500})
	r.grow(growth{b, 1}, growth{fork, 1})
}

// briefly is the same with fewer tokens.
func briefly(r *rig) {
	a := r.pool.NewSeq()
	r.grow(growth{a, 200})
	r.grow(growth{a, 70})
	b := r.pool.NewSeq()
	r.grow(growth{a, 1}, growth{b, 30})
	r.grow(growth{b, 1}, growth{a, 270})
	r.grow(growth{a, 1})
}

// autoOptions returns options under which trees grow block by block.
func autoOptions(layers int, typ ggml.Type) Options {
	o := rigOptions(Auto, layers, typ)
	o.Cells, o.ForcedCopies, o.Trees = 1500, true, 2
	return o
}

// small lets trees have little room at first.
func small(r *rig) { r.pool.config.firstCells = Block }

// Layers that leave at random steps, wherever they go, change no bit.
func TestDemotionChangesNoBit(t *testing.T) {
	for _, d := range []struct {
		name   string
		open   func(rapid.TB) *ggml.Backend
		script func(*rig)
		types  []ggml.Type
		runs   int
		only   string // the place that is tried, where a step takes long
	}{
		{"cpu", onCPU, growing, []ggml.Type{ggml.F16, ggml.Q8_0}, 4, ""},
		{"vulkan", onVulkan, excerpt, []ggml.Type{ggml.F16}, 1, "host memory and the disk"},
	} {
		t.Run(d.name, func(t *testing.T) {
			if testing.Short() {
				if d.name == "vulkan" {
					t.Skip("it takes seconds: make test runs it")
				}
				d.types, d.runs = d.types[:1], 2
			}
			b := d.open(t)
			for _, typ := range d.types {
				static := autoOptions(5, typ)
				static.Policy, static.Trees = Static, 0
				want, _ := played(t, b, static, d.script)
				finite(t, want)
				files, makers := diskTiers(t, disk.Options{}, 200<<10)
				for place, maker := range map[string]tier.Maker{"host memory": host.New, "the disk": files.New, "host memory and the disk": makers["some host memory"]} {
					if d.only != "" && place != d.only {
						continue
					}
					t.Run(typ.String()+"/"+place, func(t *testing.T) {
						demotions := 0
						for seed := range d.runs {
							o := autoOptions(5, typ)
							o.Tier, o.SlotAlign = maker, 4096
							random := rand.New(rand.NewPCG(uint64(seed), 7))
							got, stats := played(t, b, o, d.script, small, func(r *rig) {
								r.pool.hooks.freed = poison
								r.between = func() {
									if random.IntN(3) == 0 {
										squeeze(t, r.pool, random.IntN(100))
									}
								}
							})
							if i := differ(got, want); i >= 0 {
								t.Errorf("seed %d: step %d differs from static", seed, i)
							}
							demotions += stats.Demotions
						}
						if demotions == 0 {
							t.Error("no layer has left: the test shows nothing")
						}
					})
				}
			}
		})
	}
}

// Whichever allocation fails, the step is what it would have been, or it fails, and the next try
// goes on from where all was.
func TestEveryAllocationMayFail(t *testing.T) {
	b := ownCPU(t, 0)
	static := autoOptions(5, ggml.F16)
	static.Policy, static.Trees = Static, 0
	want, _ := played(t, b, static, briefly)
	for name, memory := range map[string]int64{"no bound": 0, "layers leave": 2 * 1536 * 256} {
		t.Run(name, func(t *testing.T) {
			retries, demotions := 0, 0
			for fails := 1; ; fails++ {
				o := autoOptions(5, ggml.F16)
				if memory > 0 {
					o.Memory = []int64{memory}
				}
				n := 0
				got, stats := played(t, b, o, briefly, small, func(r *rig) {
					r.failed = func() bool { retries++; return n == fails }
					r.pool.hooks.alloc = func() error {
						if n++; n == fails {
							return fmt.Errorf("%w: injected", ggml.ErrNoMemory)
						}
						return nil
					}
				})
				if i := differ(got, want); i >= 0 {
					t.Fatalf("allocation %d fails: step %d differs from static", fails, i)
				}
				demotions += stats.Demotions
				if left := b.Usage().Total(); left != 0 {
					t.Fatalf("allocation %d fails: %d bytes in use at the end", fails, left)
				}
				if n < fails {
					break
				}
			}
			if demotions == 0 || memory > 0 && retries == 0 {
				t.Errorf("%d layers have left, %d steps were tried again: the test shows nothing", demotions, retries)
			}
		})
	}
}

// A device with a tenth of the memory that all K/V take gives the same bits.
func TestATenthOfTheMemoryGivesTheSameBits(t *testing.T) {
	b := onCPU(t)
	o := autoOptions(24, ggml.F16)
	o.Trees = 1
	all := o.Plan().Layers[0].RowBytes * 24 * int64(plan.WholeBlocks(o.Cells))
	static := o
	static.Policy = Static
	want, _ := played(t, b, static, novelOfOne)
	o.Memory = []int64{all / 10}
	var lines []string
	o.Notify = func(line string) { lines = append(lines, line) }
	got, stats := played(t, b, o, novelOfOne, small)
	if i := differ(got, want); i >= 0 {
		t.Errorf("step %d differs from static", i)
	}
	if stats.DeviceBytesPeak > all/10 || stats.Demotions == 0 || stats.ResidentLayers+stats.StreamedLayers != 24 {
		t.Errorf("%+v: want at most %d bytes on the device", stats, all/10)
	}
	if len(lines) == 0 || !strings.Contains(lines[0], "K/V of layer") || !strings.Contains(lines[0], "went from the device to host memory") || !strings.Contains(lines[0], "the cache grew past 256 tokens") {
		t.Errorf("lines %q", lines)
	}
}

// novelOfOne is a text that grows token by token and in pieces.
func novelOfOne(r *rig) {
	s := r.pool.NewSeq()
	for _, n := range []int{200, 1, 120, 1, 400, 1, 300, 1, 256, 1} {
		r.grow(growth{s, n})
	}
}

// Where all fits, auto does what dynamic does.
func TestAutoIsDynamicWhereAllFits(t *testing.T) {
	b := ownCPU(t, 0)
	o := autoOptions(3, ggml.F16)
	of := func(p Policy) (Stats, ggml.Stats) {
		o := o
		o.Policy, o.Memory = p, []int64{1 << 30}
		before := b.Stats()
		_, stats := played(t, b, o, growing)
		after := b.Stats()
		after.Buffers -= before.Buffers
		return stats, after
	}
	auto, autoCounts := of(Auto)
	dynamic, dynamicCounts := of(Dynamic)
	auto.Policy, auto.Stall, dynamic.Stall = Dynamic, 0, 0
	if auto != dynamic || auto.Fetches != 0 {
		t.Errorf("auto %+v; dynamic %+v", auto, dynamic)
	}
	if autoCounts.Buffers != dynamicCounts.Buffers {
		t.Errorf("%d buffers under auto, %d under dynamic", autoCounts.Buffers, dynamicCounts.Buffers)
	}
}

// A tree that came first, and took room for its whole context, gives what it does not use before a
// layer leaves for another tree. When both are gone, a new one has all layers resident.
func TestTreesShareRoomBeforeLayersLeave(t *testing.T) {
	o := uniform(Auto, 4, 2048)
	o.ForcedCopies, o.Memory = true, []int64{4 * (2048 + 768) * rowBytes}
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	l.pool.config.firstCells = Block
	first, second := l.seq(), l.seq()
	l.grow(growth{first, 100})
	if got := first.tree.room; got != 2048 {
		t.Errorf("room for %d cells; want the whole context", got)
	}
	l.grow(growth{second, 100})
	l.grow(growth{second, 500})
	if s := l.pool.Stats(); s.Demotions != 0 || first.tree.room >= 2048 {
		t.Errorf("%d layers have left, and the first tree has room for %d cells", s.Demotions, first.tree.room)
	}
	l.check()
	l.grow(growth{first, 900})
	l.grow(growth{second, 1000})
	l.grow(growth{first, 300}, growth{second, 1})
	if s := l.pool.Stats(); s.Demotions == 0 || s.DeviceBytesPeak > o.Memory[0] {
		t.Errorf("%d layers have left, and %d bytes of %d were taken", s.Demotions, s.DeviceBytesPeak, o.Memory[0])
	}
	l.check()
	l.closeSeq(first)
	l.closeSeq(second)
	if s := l.pool.Stats(); s.DeviceBytes != 0 || s.HostBytes != 0 {
		t.Errorf("%+v without sequences", s)
	}
	third := l.seq()
	l.grow(growth{third, 100})
	if s := l.pool.Stats(); s.StreamedLayers != 0 || third.tree.room != 2048 {
		t.Errorf("%d layers stream, and there is room for %d cells", s.StreamedLayers, third.tree.room)
	}
	l.check()
}

// Sequences whose regions are used in place share what is free, however long their context is.
func TestTreesInPlaceTakeNoRoomFromEachOther(t *testing.T) {
	b := ownCPU(t, 0)
	o := uniform(Auto, 2, 8192)
	var l *ledger
	o.Room = func(device int, _ int64) (int64, bool) { // called under the pool's lock
		return 2*3*8192*rowBytes - l.pool.held(l.pool.devices[0]), device != HostMemory
	}
	l = newLedger(t, b, o)
	defer l.close()
	l.pool.config.firstCells = Block
	for range 12 {
		l.grow(growth{l.seq(), 600})
	}
	l.check()
}

// What is out of all memory is an error that says what would be enough, and nothing is lost.
func TestOutOfEverythingSaysWhatWouldBeEnough(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(o *Options, b *ggml.Backend)
		want   string
	}{
		{"in place", func(o *Options, b *ggml.Backend) {
			o.ForcedCopies = false
			o.Room = func(int, int64) (int64, bool) { return 4*512*rowBytes - b.Usage().Current[ggml.Regions], true }
		}, "as no layer can leave it, the least that works is 24.0 KiB"},
		{"host memory", func(o *Options, _ *ggml.Backend) {
			o.Memory = []int64{4 * 512 * rowBytes}
			o.Room = func(n int, _ int64) (int64, bool) { return 0, n == HostMemory }
		}, "layers that leave"},
		{"a tier", func(o *Options, _ *ggml.Backend) {
			o.Memory, o.Tier = []int64{4 * 512 * rowBytes}, fullTier
		}, "no room"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := uniform(Auto, 4, 700)
			o.ForcedCopies = true
			b := ownCPU(t, 0)
			tt.change(&o, b)
			l := newLedger(t, b, o)
			defer l.close()
			l.pool.config.firstCells = Block
			s := l.seq()
			l.grow(growth{s, 500})
			err := l.step(t.Context(), 5, growth{s, 20})
			if !errors.Is(err, ErrNoMemory) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want it to say %q", err, tt.want)
			}
			l.check()
			l.grow(growth{s, 10})
			l.check()
		})
	}
}

// A step that is cancelled while layers leave, or whose tier fails then, leaves all rows where they
// were, and the next step makes the layers leave.
func TestADepartureThatIsCutShortChangesNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		cut  func(l *ledger, down *failing) (ctx context.Context, want error)
	}{
		{"cancelled", func(l *ledger, _ *failing) (context.Context, error) {
			ctx, cancel := context.WithCancel(context.Background())
			l.pool.hooks.beforeCopy = cancel
			return ctx, context.Canceled
		}},
		{"the first layer fails", func(l *ledger, down *failing) (context.Context, error) {
			down.set(1)
			return context.Background(), errDown
		}},
		{"the last layer fails", func(l *ledger, down *failing) (context.Context, error) {
			down.set(3)
			return context.Background(), errDown
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := uniform(Auto, 5, 1500)
			down := &failing{make: o.Tier}
			o.ForcedCopies, o.Tier, o.Memory = true, down.open, []int64{2 * 1536 * rowBytes}
			l := newLedger(t, ownCPU(t, 0), o)
			defer l.close()
			l.pool.config.firstCells = Block
			s := l.seq()
			l.grow(growth{s, 500})
			before := l.pool.Stats()
			ctx, want := tt.cut(l, down)
			if err := l.step(ctx, 6, growth{s, 300}); !errors.Is(err, want) {
				t.Fatalf("%v; want %v", err, want)
			}
			l.pool.hooks.beforeCopy = nil
			down.set(0)
			after := l.pool.Stats()
			if after.ResidentLayers != 5 || after.Demotions != 0 || after.DeviceBytes != before.DeviceBytes || after.HostBytes != before.HostBytes {
				t.Errorf("%+v after the error; want %+v", after, before)
			}
			l.check()
			l.grow(growth{s, 300})
			if n := l.pool.Stats().Demotions; n == 0 {
				t.Error("no layer has left: the test shows nothing")
			}
			l.check()
		})
	}
}

// Of a prompt that takes several steps, all is planned with the first: rows of no layer move.
func TestAPromptInPartsIsPlannedAsAWhole(t *testing.T) {
	for _, told := range []bool{false, true} {
		o := uniform(Auto, 5, 1500)
		o.ForcedCopies, o.Memory = true, []int64{2 * 1536 * rowBytes}
		p, err := NewPool(o, ownCPU(t, 0))
		if err != nil {
			t.Fatal(err)
		}
		p.config.firstCells = Block
		s := p.NewSeq()
		for left := 1200; left > 0; {
			left -= 300
			more := left
			if !told {
				more = 0
			}
			step, err := p.Begin(t.Context(), []Work{{Seq: s, Tokens: make([]int32, 300), More: more}})
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range step.Layers(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(step.Commit(), step.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if stats := p.Stats(); (stats.Demotions > 0) == told || stats.StreamedLayers == 0 {
			t.Errorf("told of all tokens: %v; %d layers have left, %d stream", told, stats.Demotions, stats.StreamedLayers)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A line names few layers, and counts many.
func TestALineNamesFewLayers(t *testing.T) {
	o := uniform(Auto, 12, 256)
	p, err := NewPool(o, ownCPU(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for n, want := range map[int]string{1: "K/V of layer 0 went", 3: "K/V of layers 0, 1 and 2 went", 9: "K/V of 9 layers went"} {
		left := departure{}
		for l := range n {
			left.layers = append(left.layers, l)
		}
		p.notices = nil
		p.report(&left, nil)
		if got := p.notices[0]; !strings.HasPrefix(got, want) {
			t.Errorf("%q; want it to begin with %q", got, want)
		}
	}
}

// Where one device has no layer left that could leave, another one still yields.
func TestADeviceYieldsBesideOneThatCannot(t *testing.T) {
	o := uniform(Auto, 6, 1024)
	o.ForcedCopies, o.On = true, []int{0, 0, 0, 1, 1, 1}
	p, err := NewPool(o, ownCPU(t, 0), ownCPU(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.config.firstCells, p.config.devices[1].memory = Block, 2*Block*rowBytes
	s := p.NewSeq()
	if err := tokens(p, s, 100); err != nil {
		t.Fatal(err)
	}
	if n := p.Placement(1).Streamed; n != 3 {
		t.Fatalf("%d layers of the second device stream; want all", n)
	}
	before := p.Placement(0).Streamed
	if yielded, err := p.Yield(t.Context()); !yielded || err != nil {
		t.Fatalf("yielded %v, %v", yielded, err)
	}
	if n := p.Placement(0).Streamed; n <= before {
		t.Errorf("%d layers of the first device stream, and %d did before", n, before)
	}
	if err := tokens(p, s, 1); err != nil {
		t.Error(err)
	}
}

// What has left for a restored sequence is said when Restore returns.
func TestRestoreSaysWhatLeaves(t *testing.T) {
	o := uniform(Auto, 4, 1024)
	o.ForcedCopies = true
	var lines []string
	o.Notify = func(line string) { lines = append(lines, line) }
	p, err := NewPool(o, onCPU(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s := p.NewSeq()
	if err := tokens(p, s, 300); err != nil {
		t.Fatal(err)
	}
	kept := save(t, p, s)
	p.config.devices[0].memory = 4 * (1024 + 256) * rowBytes
	if err := restored(t, p, kept).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.Stats().Demotions == 0 || len(lines) != 1 {
		t.Errorf("%d layers have left, and %q was said", p.Stats().Demotions, lines)
	}
}

// A tree whose regions have become smaller in part has no more room than the smallest, also when the
// other ones are refused their memory.
func TestATreeThatGivesRoomInPartHasNoMore(t *testing.T) {
	for fails := 1; fails <= 4; fails++ {
		o := uniform(Auto, 4, 2048)
		o.ForcedCopies, o.Memory = true, []int64{4 * (2048 + 768) * rowBytes}
		p, err := NewPool(o, ownCPU(t, 0))
		if err != nil {
			t.Fatal(err)
		}
		p.config.firstCells = Block
		first, second := p.NewSeq(), p.NewSeq()
		if err := tokens(p, first, 100); err != nil {
			t.Fatal(err)
		}
		if err := tokens(p, second, 100); err != nil {
			t.Fatal(err)
		}
		n := 0
		p.hooks.alloc = func() error {
			if n++; n >= fails {
				return fmt.Errorf("%w: injected", ggml.ErrNoMemory)
			}
			return nil
		}
		err = tokens(p, second, 1000)
		p.hooks.alloc = nil
		if !errors.Is(err, ErrNoMemory) {
			t.Fatalf("allocations from the number %d on fail: %v; want %v", fails, err, ErrNoMemory)
		}
		for tree := range p.trees {
			for l, r := range tree.regions {
				if r != nil && r.cells < tree.room {
					t.Errorf("allocations from the number %d on fail: layer %d has %d cells, and its tree room for %d", fails, l, r.cells, tree.room)
				}
			}
		}
		if err := tokens(p, first, 1200); err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// When layers have left for a tree that then gets no memory, the others go on: their steps make the
// slots that are missing.
func TestOtherTreesGoOnAfterADepartureInVain(t *testing.T) {
	for fails := 1; ; fails++ {
		o := uniform(Auto, 4, 2048)
		o.ForcedCopies, o.Memory = true, []int64{4 * (2048 + 256) * rowBytes}
		p, err := NewPool(o, ownCPU(t, 0))
		if err != nil {
			t.Fatal(err)
		}
		p.config.firstCells = Block
		first, second := p.NewSeq(), p.NewSeq()
		if err := tokens(p, first, 1500); err != nil {
			t.Fatal(err)
		}
		n := 0
		p.hooks.alloc = func() error {
			if n++; n >= fails {
				return fmt.Errorf("%w: injected", ggml.ErrNoMemory)
			}
			return nil
		}
		failed := tokens(p, second, 1000)
		p.hooks.alloc = nil
		if err := tokens(p, first, 1); err != nil {
			t.Errorf("allocations from the number %d on fail: %v", fails, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if failed == nil {
			break
		}
	}
}
