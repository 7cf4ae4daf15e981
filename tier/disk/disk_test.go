package disk

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
	"github.com/seed4d217819/ebb/tier/tiertest"
)

// ways are the ways to reach a file: past the page cache, where the file system can, and through
// it.
func ways(t *testing.T, run func(t *testing.T, o Options)) {
	for name, o := range map[string]Options{"direct": {}, "buffered": {Buffered: true}} {
		t.Run(name, func(t *testing.T) {
			o.Dir = t.TempDir()
			run(t, o)
		})
	}
}

// open returns a store that must have given everything back when the test ends.
func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := s.Bytes(); n != 0 {
			t.Errorf("%d bytes in files at the end; want 0", n)
		}
		if left, _ := os.ReadDir(s.options.Dir); len(left) != 0 {
			t.Errorf("%d files at the end, the first %s; want 0", len(left), left[0].Name())
		}
	})
	return s
}

// memory is host memory that counts what is open, and refuses more than some buffers.
type memory struct {
	open  atomic.Int64
	limit int64 // buffers; 0: none
}

var errMemory = errors.New("no memory")

func (m *memory) alloc(n int64) (tier.Buffer, error) {
	if m.open.Add(1) > m.limit && m.limit > 0 {
		m.open.Add(-1)
		return nil, errMemory
	}
	b, free, err := alignedBytes(n)
	return &hostBuffer{m, b, free}, err
}

type hostBuffer struct {
	memory *memory
	bytes  []byte
	free   func()
}

func (b *hostBuffer) Bytes() []byte { return b.bytes }

func (b *hostBuffer) Close() {
	b.memory.open.Add(-1)
	b.free()
}

func TestDiskKeepsTheContractOfATier(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		s, m := open(t, o), &memory{}
		tiertest.Run(t, func(layouts []tier.Layout) tier.Tier { return s.New(layouts, m.alloc) })
		if n := m.open.Load(); n != 0 {
			t.Errorf("%d buffers are open at the end; want 0", n)
		}
	})
}

func TestTreesHoldOnceWhatTheyHaveInCommon(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		s, m := open(t, o), &memory{}
		files := stack.New(host.NewExact, s.New, 0)
		tree := func(layouts []tier.Layout) tier.Tier { return files.New(layouts, m.alloc) }
		tiertest.Run(t, tree)
		tiertest.RunSharing(t, tree,
			func(u tier.Usage) int64 { return u.Disk },
			func(l tier.Layout) int64 { return newLayer(0, l, s.align).size })
		if n := m.open.Load(); n != 0 {
			t.Errorf("%d buffers are open at the end; want 0", n)
		}
	})
}

// layout has pieces that transfers can reach in place: 256 cells are whole sectors.
var layout = tier.Layout{Heads: 2, KeyBytes: 32, ValueBytes: 16}

// slot is memory that transfers can reach, as the slots of a CPU are.
func slot(t *testing.T, cells int) *addressable {
	t.Helper()
	b, free, err := alignedBytes(layout.RowBytes() * int64(cells))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free)
	return &addressable{b, cells, 0}
}

type addressable struct {
	bytes  []byte
	cells  int
	writes int // copies by Write
}

func (m *addressable) Address(p tier.Part, head, cell, n int) []byte {
	at := (int64(head)*int64(m.cells) + int64(cell)) * layout.Piece(p)
	if p == tier.Values {
		at += int64(layout.Heads) * int64(m.cells) * layout.KeyBytes
	}
	return m.bytes[at : at+int64(n)*layout.Piece(p)]
}

func (m *addressable) Write(p tier.Part, cell, n int, b []byte, stride int64) {
	m.writes++
	for h := range layout.Heads {
		copy(m.Address(p, h, cell, n), b[int64(h)*stride:])
	}
}

func (m *addressable) Read(p tier.Part, cell, n int, b []byte, stride int64) {
	for h := range layout.Heads {
		copy(b[int64(h)*stride:], m.Address(p, h, cell, n))
	}
}

// filled returns a tier of one layer whose cells are random, with a memory that has the same.
func filled(t *testing.T, s *Store, m *memory, cells int) (*Tier, *addressable) {
	t.Helper()
	k := newTier(s, []tier.Layout{layout}, m.alloc)
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		if n := m.open.Load(); n != 0 {
			t.Errorf("%d buffers are open at the end; want 0", n)
		}
	})
	src := slot(t, cells)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(src.bytes)
	if err := k.Reserve(t.Context(), cells); err != nil {
		t.Fatal(err)
	}
	if err := k.Store(t.Context(), 0, []tier.Run{{N: cells}}, src); err != nil {
		t.Fatal(err)
	}
	k.writing.Wait()
	return k, src
}

func TestBlocksInTheFileAreReadInPlace(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		const cells = 8 * tier.BlockCells
		k, src := filled(t, open(t, o), &memory{}, cells)
		dst := slot(t, cells)
		if err := k.Fetch(t.Context(), 0, tier.Run{N: cells}, dst); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dst.bytes, src.bytes) {
			t.Error("other rows came back")
		}
		if want := openBlocks * len(parts); dst.writes != want {
			t.Errorf("%d copies; want %d: those of the open blocks", dst.writes, want)
		}
	})
}

func TestAPartOfABlockLeavesTheRestAlone(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		const cells, wanted = 8 * tier.BlockCells, 2*tier.BlockCells + 17
		k, src := filled(t, open(t, o), &memory{}, cells)
		dst := slot(t, cells)
		if err := k.Fetch(t.Context(), 0, tier.Run{N: wanted}, dst); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dst.Address(tier.Values, 1, 0, wanted), src.Address(tier.Values, 1, 0, wanted)) {
			t.Error("other rows came back")
		}
		if rest := dst.Address(tier.Keys, 0, wanted, cells-wanted); !bytes.Equal(rest, make([]byte, len(rest))) {
			t.Error("cells behind the wanted ones have changed")
		}
	})
}

// Rows that are stored again, long after their block was written, are read, changed and written.
func TestClosedBlocksAreOpenedAgain(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		const cells = 8 * tier.BlockCells
		k, src := filled(t, open(t, o), &memory{}, cells)
		for round := range 20 {
			cell := (round * 399) % cells
			_, _ = rand.NewChaCha8([32]byte{byte(round), 2}).Read(src.Address(tier.Keys, 1, cell, 1))
			if err := k.Store(t.Context(), 0, []tier.Run{{Start: cell, N: 1}}, src); err != nil {
				t.Fatal(err)
			}
		}
		dst := slot(t, cells)
		if err := k.Fetch(t.Context(), 0, tier.Run{N: cells}, dst); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dst.bytes, src.bytes) {
			t.Error("other rows came back")
		}
	})
}

func TestMemoryIsBoundedByOpenBlocks(t *testing.T) {
	m := &memory{}
	k, _ := filled(t, open(t, Options{Dir: t.TempDir()}), m, 300*tier.BlockCells)
	if most := int64(openBlocks + writers + 1); m.open.Load() > most {
		t.Errorf("%d buffers for 300 blocks; want %d at most", m.open.Load(), most)
	}
	if k.memory > (openBlocks+writers+1)*(k.layers[0].size+k.store.align) {
		t.Errorf("%d bytes of buffers", k.memory)
	}
}

// faulty is a file that fails as its fields say.
type faulty struct {
	file
	mu                  sync.Mutex
	read, write, extend error
	flip                int64 // the offset of a byte that reads change; below 0: none
	writes              int   // that succeed before they fail
}

func (f *faulty) ReadAt(b []byte, offset int64) (int, error) {
	if f.read != nil {
		return 0, f.read
	}
	n, err := f.file.ReadAt(b, offset)
	if at := f.flip - offset; f.flip >= 0 && at >= 0 && at < int64(n) {
		b[at] ^= 1
	}
	return n, err
}

func (f *faulty) ReadVector(pieces [][]byte, offset int64) (bool, error) {
	if f.read != nil {
		return true, f.read
	}
	ok, err := f.file.ReadVector(pieces, offset)
	for _, p := range pieces {
		if at := f.flip - offset; f.flip >= 0 && at >= 0 && at < int64(len(p)) {
			p[at] ^= 1
		}
		offset += int64(len(p))
	}
	return ok, err
}

func (f *faulty) WriteAt(b []byte, offset int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.write != nil && f.writes == 0 {
		return 0, f.write
	}
	f.writes--
	return f.file.WriteAt(b, offset)
}

func (f *faulty) Extend(from, to int64) error {
	if f.extend != nil {
		return f.extend
	}
	return f.file.Extend(from, to)
}

var errFault = errors.New("input/output error")

func TestEveryFlippedRegionIsAnError(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		const cells = 8 * tier.BlockCells
		s, f := open(t, o), &faulty{flip: -1}
		s.wrap = func(inner file) file { f.file = inner; return f }
		k, src := filled(t, s, &memory{}, cells)
		inFile := int64(cells/tier.BlockCells-openBlocks) * k.layers[0].size
		for at := int64(0); at < inFile; at += 509 {
			f.flip = at
			for _, n := range []int{cells, cells - openBlocks*tier.BlockCells - 1} { // in place, and by a buffer
				err := k.Fetch(t.Context(), 0, tier.Run{N: n}, slot(t, cells))
				if n < cells && at >= inFile-k.layers[0].size && err == nil {
					continue // in the last block, perhaps behind what is wanted
				}
				if !errors.Is(err, ErrDamaged) {
					t.Fatalf("byte %d flipped, %d cells: %v; want %v", at, n, err, ErrDamaged)
				}
			}
		}
		f.flip = -1
		dst := slot(t, cells)
		if err := k.Fetch(t.Context(), 0, tier.Run{N: cells}, dst); err != nil || !bytes.Equal(dst.bytes, src.bytes) {
			t.Errorf("after the fault: %v, or other rows", err)
		}
	})
}

func TestFailingReadsAreErrorsThatNameTheLayer(t *testing.T) {
	s, f := open(t, Options{Dir: t.TempDir()}), &faulty{flip: -1}
	s.wrap = func(inner file) file { f.file = inner; return f }
	k, _ := filled(t, s, &memory{}, 8*tier.BlockCells)
	f.read = errFault
	err := k.Fetch(t.Context(), 0, tier.Run{N: 8 * tier.BlockCells}, slot(t, 8*tier.BlockCells))
	if !errors.Is(err, errFault) || !strings.Contains(err.Error(), "layer 0") {
		t.Errorf("fetch: %v", err)
	}
	err = k.Store(t.Context(), 0, []tier.Run{{Start: 1, N: 1}}, slot(t, 8*tier.BlockCells)) // opens a block that is in the file
	if !errors.Is(err, errFault) {
		t.Errorf("store: %v", err)
	}
}

// A block that could not be written stays in memory: what was stored can still be fetched, and
// nothing more is stored.
func TestFailingWritesLoseNothing(t *testing.T) {
	for _, succeed := range []int{0, 1, 3, 7} {
		const cells = 12 * tier.BlockCells
		s, f, m := open(t, Options{Dir: t.TempDir()}), &faulty{flip: -1, write: errFault, writes: succeed}, &memory{}
		s.wrap = func(inner file) file { f.file = inner; return f }
		k := newTier(s, []tier.Layout{layout}, m.alloc)
		if err := k.Reserve(t.Context(), cells); err != nil {
			t.Fatal(err)
		}
		src, stored := slot(t, cells), 0
		_, _ = rand.NewChaCha8([32]byte{3}).Read(src.bytes)
		var err error
		for ; stored < cells && err == nil; stored += tier.BlockCells {
			err = k.Store(t.Context(), 0, []tier.Run{{Start: stored, N: tier.BlockCells}}, src)
			k.writing.Wait()
		}
		if !errors.Is(err, errFault) {
			t.Fatalf("after %d writes: %v; want %v", succeed, err, errFault)
		}
		stored -= tier.BlockCells // the store that failed
		dst := slot(t, cells)
		if err := k.Fetch(t.Context(), 0, tier.Run{N: stored}, dst); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dst.Address(tier.Keys, 1, 0, stored), src.Address(tier.Keys, 1, 0, stored)) {
			t.Error("other rows came back")
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		if n := m.open.Load(); n != 0 {
			t.Errorf("%d buffers are open after Close", n)
		}
	}
}

func TestReserveOnAFullDiskChangesNothing(t *testing.T) {
	s, f := open(t, Options{Dir: t.TempDir()}), &faulty{flip: -1}
	s.wrap = func(inner file) file { f.file = inner; return f }
	k, src := filled(t, s, &memory{}, 8*tier.BlockCells)
	before := k.Usage()
	for _, full := range []error{syscall.EDQUOT, syscall.ENOSPC} {
		f.extend = full
		err := k.Reserve(t.Context(), 1000*tier.BlockCells)
		if !errors.Is(err, tier.ErrFull) || !errors.Is(err, full) {
			t.Errorf("reserve: %v; want %v because of %v", err, tier.ErrFull, full)
		} else if !strings.Contains(err.Error(), "iB more is needed in "+s.options.Dir+", and its disk is full") {
			t.Errorf("reserve: %v; want it to say how much is needed where", err)
		}
	}
	if got := k.Usage(); got != before {
		t.Errorf("%+v after a failed Reserve; want %+v", got, before)
	}
	f.extend = nil
	if err := k.Reserve(t.Context(), 1000*tier.BlockCells); err != nil {
		t.Error(err)
	}
	dst := slot(t, 8*tier.BlockCells)
	if err := k.Fetch(t.Context(), 0, tier.Run{N: 8 * tier.BlockCells}, dst); err != nil || !bytes.Equal(dst.bytes, src.bytes) {
		t.Errorf("fetch: %v, or other rows", err)
	}
}

func TestTheLimitIsSharedByAllTiers(t *testing.T) {
	s, m := open(t, Options{Dir: t.TempDir(), Bytes: 3 << 20}), &memory{}
	a, b := s.New([]tier.Layout{layout}, m.alloc), s.New([]tier.Layout{layout}, m.alloc)
	if err := errors.Join(a.Reserve(t.Context(), tier.BlockCells), b.Reserve(t.Context(), tier.BlockCells)); err != nil {
		t.Fatal(err)
	}
	err := a.Reserve(t.Context(), 100*tier.BlockCells)
	if !errors.Is(err, tier.ErrFull) || !strings.Contains(err.Error(), s.options.Dir) {
		t.Errorf("reserve past the limit: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Reserve(t.Context(), 50*tier.BlockCells); err != nil {
		t.Errorf("after another tier was closed: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func TestEveryFailedAllocationIsAnError(t *testing.T) {
	for limit := int64(1); ; limit++ {
		const cells = 6 * tier.BlockCells
		s, m := open(t, Options{Dir: t.TempDir()}), &memory{limit: limit}
		k := newTier(s, []tier.Layout{{Heads: 1, KeyBytes: 3, ValueBytes: 2}}, m.alloc) // nothing is read in place
		src := tiertest.NewMemory(k.layers[0].Layout, cells)
		err := k.Reserve(t.Context(), cells)
		for cell := 0; cell < cells && err == nil; cell += tier.BlockCells {
			err = k.Store(t.Context(), 0, []tier.Run{{Start: cell, N: tier.BlockCells}}, src)
		}
		k.writing.Wait()
		if err == nil {
			err = k.Fetch(t.Context(), 0, tier.Run{N: cells}, tiertest.NewMemory(k.layers[0].Layout, cells))
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		if n := m.open.Load(); n != 0 {
			t.Fatalf("limit %d: %d buffers are open after Close", limit, n)
		}
		if err == nil {
			return
		}
		if !errors.Is(err, errMemory) {
			t.Fatalf("limit %d: %v; want %v", limit, err, errMemory)
		}
		if limit > 20 {
			t.Fatal("20 buffers are not enough for one layer")
		}
	}
}

// A goroutine fetches while another stores to another layer and blocks are written behind them.
func TestFetchAndStoreOfDifferentLayersAtOnce(t *testing.T) {
	s, m := open(t, Options{Dir: t.TempDir()}), &memory{}
	k := newTier(s, []tier.Layout{layout, layout}, m.alloc)
	const cells = 16 * tier.BlockCells
	if err := k.Reserve(t.Context(), cells); err != nil {
		t.Fatal(err)
	}
	src := [2]*addressable{slot(t, cells), slot(t, cells)}
	for l := range src {
		_, _ = rand.NewChaCha8([32]byte{byte(l), 4}).Read(src[l].bytes)
		if err := k.Store(t.Context(), l, []tier.Run{{N: cells}}, src[l]); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 10 {
		var group sync.WaitGroup
		store := round % 2
		group.Go(func() {
			if err := k.Store(context.Background(), store, []tier.Run{{N: cells - round}}, src[store]); err != nil {
				t.Error(err)
			}
		})
		dst := slot(t, cells)
		if err := k.Fetch(t.Context(), 1-store, tier.Run{N: cells}, dst); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(dst.bytes, src[1-store].bytes) {
			t.Error("other rows came back")
		}
		group.Wait()
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if n := m.open.Load(); n != 0 {
		t.Errorf("%d buffers are open after Close", n)
	}
}

func TestOpenRemovesWhatKilledProcessesLeft(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"ebb-123.rows", "ebb-456.rows"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestOpenNamesWhatIsWrongWithAFolder(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		options Options
		want    string
	}{
		{Options{Dir: filepath.Join(t.TempDir(), "no")}, "there is no folder"},
		{Options{Dir: plain}, "is not a folder"},
		{Options{Dir: t.TempDir(), Bytes: -1}, "want a number above 0"},
	} {
		if _, err := Open(tt.options); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v; want %q in it", tt.options, err, tt.want)
		}
	}
}
