package stack_test

import (
	"context"
	"errors"
	"testing"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/disk"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
	"github.com/seed4d217819/ebb/tier/tiertest"
)

const rowBytes = 16 // of layout

// numbered returns rows of which each has its number, and a seed.
func numbered(cells int, seed byte) *tiertest.Memory {
	m := tiertest.NewMemory(layout, cells)
	for c := range cells {
		row := make([]byte, rowBytes)
		for i := range row {
			row[i] = seed + byte(c>>(8*(i%2))) + byte(i)
		}
		m.SetRow(c, row)
	}
	return m
}

// put reserves room for rows and stores them.
func put(t *testing.T, k tier.Tier, rows *tiertest.Memory) {
	t.Helper()
	if err := k.Reserve(t.Context(), rows.Cells); err != nil {
		t.Fatal(err)
	}
	if err := k.Store(t.Context(), 0, []tier.Run{{N: rows.Cells}}, rows); err != nil {
		t.Fatal(err)
	}
}

func seal(t *testing.T, k tier.Tier, cells int) {
	t.Helper()
	if err := k.Seal(t.Context(), cells); err != nil {
		t.Fatal(err)
	}
}

// wantRows compares what a tier has.
func wantRows(t *testing.T, k tier.Tier, rows *tiertest.Memory) {
	t.Helper()
	got := tiertest.NewMemory(layout, rows.Cells)
	if err := k.Fetch(t.Context(), 0, tier.Run{N: rows.Cells}, got); err != nil {
		t.Fatal(err)
	}
	for c := range rows.Cells {
		if string(got.Row(c)) != string(rows.Row(c)) {
			t.Fatalf("cell %d: %x; want %x", c, got.Row(c), rows.Row(c))
		}
	}
}

func closeAll(t *testing.T, trees ...tier.Tier) {
	t.Helper()
	for _, k := range trees {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The first tree takes all host memory. The others, whose cells are in files, come to it.
func TestSharedBlocksAreInTheFastestPlace(t *testing.T) {
	const inMemory = 512
	files, m := store(t), &memory{left: plenty}
	s := stack.New(host.NewExact, lower(files), inMemory*rowBytes)
	rows := numbered(1000, 1)
	var trees []tier.Tier
	for range 3 {
		k := s.New([]tier.Layout{layout}, m.alloc)
		put(t, k, rows)
		seal(t, k, 768)
		trees = append(trees, k)
	}
	if got := plenty - m.left; got != inMemory*rowBytes {
		t.Errorf("%d bytes of host memory; want %d", got, inMemory*rowBytes)
	}
	const run, block = 1 << 20, 256 * rowBytes
	if got, want := files.Bytes(), int64(3*run-2*3*block); got != want {
		t.Errorf("%d bytes in files; want %d: two trees give back the three blocks that all have", got, want)
	}
	for i, k := range trees {
		closeAll(t, k)
		for _, left := range trees[i+1:] {
			wantRows(t, left, rows)
		}
	}
	if m.left != plenty {
		t.Errorf("%d bytes of host memory at the end", plenty-m.left)
	}
}

// What trees give back, others take.
func TestSharingReturnsMemoryToTheBudget(t *testing.T) {
	files, m := store(t), &memory{left: plenty}
	s := stack.New(host.NewExact, lower(files), 3*512*rowBytes)
	a, b := s.New([]tier.Layout{layout}, m.alloc), s.New([]tier.Layout{layout}, m.alloc)
	for _, k := range []tier.Tier{a, b} {
		put(t, k, numbered(512, 1))
		seal(t, k, 512)
	}
	c := s.New([]tier.Layout{layout}, m.alloc)
	put(t, c, numbered(1024, 9))
	if n := files.Bytes(); n != 0 {
		t.Errorf("%d bytes in files: the third tree has room in host memory", n)
	}
	// The first tree leaves what it shares: only the second one needs it then.
	closeAll(t, a)
	if got := b.Usage().Host; got != 512*rowBytes {
		t.Errorf("%d bytes of the tree that is left; want %d", got, 512*rowBytes)
	}
	if err := b.Reserve(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	if n := files.Bytes(); n == 0 {
		t.Error("no bytes in files: the budget was used up")
	}
	wantRows(t, b, numbered(512, 1))
	closeAll(t, b, c)
}

// A tree that stores to shared blocks takes host memory for them, or room in files.
func TestCopiesOfSharedBlocksKeepToTheBudget(t *testing.T) {
	for _, tt := range []struct {
		name   string
		budget int64 // cells
		memory int64 // bytes that can be had in fact
		host   int64 // cells there, once a tree has left two blocks of three
	}{
		{"room in host memory", 1536, plenty, 1280},
		{"no budget left", 768, plenty, 768},
		{"no memory left", 1536, 768 * rowBytes * 3 / 2, 768},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files, m := store(t), &memory{left: plenty}
			s := stack.New(host.NewExact, lower(files), tt.budget*rowBytes)
			rows := numbered(768, 1)
			a, b := s.New([]tier.Layout{layout}, m.alloc), s.New([]tier.Layout{layout}, m.alloc)
			for _, k := range []tier.Tier{a, b} {
				put(t, k, rows)
				seal(t, k, 768)
			}
			m.left -= plenty - tt.memory
			seal(t, b, 256)
			if got := a.Usage().Host + b.Usage().Host; got/rowBytes < tt.host || got/rowBytes >= tt.host+256 && tt.host == 1280 {
				t.Errorf("%d cells in host memory; want %d", got/rowBytes, tt.host)
			}
			if moved := files.Bytes() > 0; moved != (tt.host == 768) {
				t.Errorf("rows went to files: %v", moved)
			}
			other := numbered(768, 5)
			if err := b.Store(t.Context(), 0, []tier.Run{{Start: 300, N: 468}}, other); err != nil {
				t.Fatal(err)
			}
			for c := range 300 {
				other.SetRow(c, rows.Row(c))
			}
			wantRows(t, a, rows)
			wantRows(t, b, other)
			closeAll(t, a, b)
		})
	}
}

func TestWithoutAnyRoomForCopiesNothingChanges(t *testing.T) {
	m := &memory{left: plenty}
	s := stack.New(host.NewExact, nil, 768*rowBytes+100)
	rows := numbered(768, 1)
	a := s.New([]tier.Layout{layout}, m.alloc)
	put(t, a, rows)
	seal(t, a, 768)
	b := s.New([]tier.Layout{layout}, m.alloc)
	if err := b.Reserve(t.Context(), 768); !errors.Is(err, tier.ErrFull) {
		t.Fatalf("reserve: %v; want %v", err, tier.ErrFull)
	}
	if got := b.Usage(); got != (tier.Usage{}) {
		t.Errorf("%+v after the error; want nothing", got)
	}
	closeAll(t, b)

	s = stack.New(host.NewExact, nil, -1)
	b, c := s.New([]tier.Layout{layout}, m.alloc), s.New([]tier.Layout{layout}, m.alloc)
	for _, k := range []tier.Tier{b, c} {
		put(t, k, rows)
		seal(t, k, 768)
	}
	m.left = 0
	before := c.Usage()
	if err := c.Seal(t.Context(), 256); !errors.Is(err, errMemory) {
		t.Errorf("seal: %v; want %v", err, errMemory)
	}
	if err := c.Store(t.Context(), 0, []tier.Run{{Start: 700, N: 1}}, rows); !errors.Is(err, errMemory) {
		t.Errorf("store: %v; want %v", err, errMemory)
	}
	if got := c.Usage(); got != before {
		t.Errorf("%+v after the errors; want %+v", got, before)
	}
	m.left = plenty
	wantRows(t, b, rows)
	wantRows(t, c, rows)
	closeAll(t, a, b, c)
}

// Without memory for the cells behind the shared ones, a tree keeps all of its own.
func TestWithoutMemoryForTheBorderNothingIsShared(t *testing.T) {
	m := &memory{left: plenty}
	s := stack.New(host.NewExact, nil, -1)
	rows := numbered(1000, 1)
	a, b := s.New([]tier.Layout{layout}, m.alloc), s.New([]tier.Layout{layout}, m.alloc)
	for _, k := range []tier.Tier{a, b} {
		put(t, k, rows)
	}
	seal(t, a, 768)
	left := m.left
	m.left = 0
	seal(t, b, 768)
	if m.left != 0 {
		t.Errorf("%d bytes were given back", m.left)
	}
	m.left = left
	wantRows(t, b, rows)
	seal(t, b, 768) // there is memory again
	if got := m.left - left; got != 768*rowBytes {
		t.Errorf("%d bytes were given back with memory; want %d", got, 768*rowBytes)
	}
	wantRows(t, a, rows)
	wantRows(t, b, rows)
	closeAll(t, a, b)
	if m.left != plenty {
		t.Errorf("%d bytes of host memory at the end", plenty-m.left)
	}
}

func TestATierThatIsNoPlaceIsRefused(t *testing.T) {
	plain := func(layouts []tier.Layout, memory tier.Allocator) tier.Tier {
		return struct{ tier.Tier }{host.NewExact(layouts, memory)}
	}
	k := stack.New(plain, nil, -1).New([]tier.Layout{layout}, (&memory{left: plenty}).alloc)
	if err := k.Reserve(t.Context(), 1); err == nil {
		t.Error("a place that cannot hold parts of trees has room")
	}
	closeAll(t, k)
}

// place records the calls of fetches of a place, and fails where it is told to.
type place struct {
	tier.Place
	name  string
	calls *[]string
	fails error
}

func (p *place) note(call string) error {
	*p.calls = append(*p.calls, p.name+" "+call)
	return p.fails
}

func (p *place) Fetch(context.Context, int, tier.Run, tier.Memory) error { return p.note("fetch") }

func (p *place) StartFetch(ctx context.Context, _ int, _ tier.Run, _ tier.Memory) func() error {
	_ = p.note("start")
	return func() error {
		if ctx.Err() != nil {
			_ = p.note("finish, cancelled")
			return ctx.Err()
		}
		return p.note("finish")
	}
}

func (p *place) Reserve(context.Context, int) error { return nil }
func (p *place) Seal(context.Context, int) error    { return nil }

// While files are read, rows in host memory are copied. The first error wins, and ends both.
func TestBothPlacesAreFetchedFromAtATime(t *testing.T) {
	for _, tt := range []struct {
		name         string
		above, below error
		want         []string
	}{
		{"both", nil, nil, []string{"disk start", "host fetch", "disk finish"}},
		{"host memory fails", errMemory, nil, []string{"disk start", "host fetch", "disk finish, cancelled"}},
		{"the disk fails", nil, disk.ErrDamaged, []string{"disk start", "host fetch", "disk finish"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls []string
			files, m := store(t), &memory{left: plenty}
			wrap := func(name string, fails error, open tier.Maker) tier.Maker {
				return func(layouts []tier.Layout, memory tier.Allocator) tier.Tier {
					return &place{open(layouts, memory).(tier.Place), name, &calls, fails}
				}
			}
			s := stack.New(wrap("host", tt.above, host.NewExact), wrap("disk", tt.below, lower(files)), 256*rowBytes)
			k := s.New([]tier.Layout{layout}, m.alloc)
			if err := k.Reserve(t.Context(), 512); err != nil {
				t.Fatal(err)
			}
			err := k.Fetch(t.Context(), 0, tier.Run{N: 512}, tiertest.NewMemory(layout, 512))
			if want := errors.Join(tt.above, tt.below); (want == nil) != (err == nil) || want != nil && !errors.Is(want, err) {
				t.Errorf("fetch: %v; want %v", err, want)
			}
			if len(calls) != len(tt.want) {
				t.Fatalf("calls %q; want %q", calls, tt.want)
			}
			for i := range calls {
				if calls[i] != tt.want[i] {
					t.Errorf("calls %q; want %q", calls, tt.want)
				}
			}
			closeAll(t, k)
		})
	}
}

func TestCommonIsWhatSealedBlocksHaveInCommon(t *testing.T) {
	m := &memory{left: plenty}
	s := stack.New(host.NewExact, nil, -1)
	tree := func(of *stack.Stack, rows *tiertest.Memory, sealed int) tier.Tier {
		k := of.New([]tier.Layout{layout}, m.alloc)
		put(t, k, rows)
		seal(t, k, sealed)
		return k
	}
	same, parted := numbered(1000, 1), numbered(1000, 1)
	parted.SetRow(600, make([]byte, rowBytes))
	a, b := tree(s, same, 768), tree(s, parted, 768)
	c, open := tree(s, same, 256), tree(s, same, 0)
	elsewhere := tree(stack.New(host.NewExact, nil, -1), same, 768)
	check := func(name string, x, y tier.Tier, want int) {
		t.Helper()
		if got := [2]int{x.(tier.Sharer).Common(y), y.(tier.Sharer).Common(x)}; got != [2]int{want, want} {
			t.Errorf("%s: %d cells in common, want %d", name, got, want)
		}
	}
	check("parted in the third block", a, b, 512)
	check("one is sealed less", a, c, 256)
	check("one is not sealed", a, open, 0)
	check("of another stack", a, elsewhere, 0)
	seal(t, b, 256) // rows may be stored behind it again
	check("sealed less than before", a, b, 256)
	if err := c.Store(t.Context(), 0, []tier.Run{{Start: 3, N: 1}}, same); err != nil {
		t.Fatal(err)
	}
	check("stored to", a, c, 0)
	closeAll(t, a, b, c, open, elsewhere)
}
