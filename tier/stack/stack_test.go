package stack_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/disk"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
	"github.com/seed4d217819/ebb/tier/tiertest"
)

// memory is host memory of which there is a limited number of bytes.
type memory struct {
	mu   sync.Mutex
	left int64
}

type buffer struct {
	memory *memory
	bytes  []byte
}

var errMemory = errors.New("no memory")

func (m *memory) alloc(n int64) (tier.Buffer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > m.left {
		return nil, errMemory
	}
	m.left -= n
	return &buffer{m, make([]byte, n)}, nil
}

func (b *buffer) Bytes() []byte { return b.bytes }

func (b *buffer) Close() {
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	b.memory.left += int64(len(b.bytes))
}

const plenty = 1 << 30

func store(t *testing.T) *disk.Store {
	t.Helper()
	s, err := disk.Open(disk.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := s.Bytes(); n != 0 {
			t.Errorf("%d bytes in files at the end; want 0", n)
		}
	})
	return s
}

// lower gives the disk memory of its own, so that a test can take away what the host has.
func lower(s *disk.Store) tier.Maker {
	m := &memory{left: plenty}
	return func(layouts []tier.Layout, _ tier.Allocator) tier.Tier { return s.New(layouts, m.alloc) }
}

func TestStackKeepsTheContractOfATier(t *testing.T) {
	for _, budget := range []int64{-1, 0, 40_000, 100_000, 1 << 20} {
		t.Run(fmt.Sprint(budget), func(t *testing.T) {
			s, m := stack.New(host.NewExact, lower(store(t)), budget), &memory{left: plenty}
			tiertest.Run(t, func(layouts []tier.Layout) tier.Tier { return s.New(layouts, m.alloc) })
			if m.left != plenty {
				t.Errorf("%d bytes of host memory are held at the end", plenty-m.left)
			}
		})
	}
}

// The host refuses memory at some point, whatever the budget says, and the disk goes on.
func TestOutOfMemoryGoesOnInTheLowerPlace(t *testing.T) {
	for _, memoryLeft := range []int64{0, 10_000, 50_000, 200_000} {
		t.Run(fmt.Sprint(memoryLeft), func(t *testing.T) {
			s, m := stack.New(host.NewExact, lower(store(t)), -1), &memory{left: memoryLeft}
			tiertest.Run(t, func(layouts []tier.Layout) tier.Tier { return s.New(layouts, m.alloc) })
			if m.left != memoryLeft {
				t.Errorf("%d bytes of host memory are held at the end", memoryLeft-m.left)
			}
		})
	}
}

var layout = tier.Layout{Heads: 1, KeyBytes: 8, ValueBytes: 8}

func TestTreesShareTheBudgetAndGiveItBack(t *testing.T) {
	const budget = 512 * 16 // 512 cells
	s, m := stack.New(host.NewExact, lower(store(t)), budget), &memory{left: plenty}
	a, b := s.New([]tier.Layout{layout}, m.alloc), s.New([]tier.Layout{layout}, m.alloc)
	for _, k := range []tier.Tier{a, b} {
		if err := k.Reserve(t.Context(), 1000); err != nil {
			t.Fatal(err)
		}
	}
	if got := plenty - m.left; got > budget {
		t.Errorf("%d bytes of host memory with a budget of %d", got, budget)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if m.left != plenty {
		t.Error("the first tree, which took the budget, has not given it back")
	}
	c := s.New([]tier.Layout{layout}, m.alloc)
	if err := c.Reserve(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	if m.left == plenty {
		t.Error("the third tree takes nothing of the budget that the first one has given back")
	}
	if err := errors.Join(b.Close(), c.Close()); err != nil {
		t.Error(err)
	}
}

func TestGrowthKeepsToTheBudget(t *testing.T) {
	const budget = 3 * 256 * 16
	s, m := stack.New(host.NewExact, lower(store(t)), budget), &memory{left: plenty}
	k := s.New([]tier.Layout{layout}, m.alloc)
	for cells := 1; cells < 3000; cells += 100 {
		if err := k.Reserve(t.Context(), cells); err != nil {
			t.Fatal(err)
		}
		if got := plenty - m.left; got > budget {
			t.Fatalf("%d bytes of host memory for %d cells with a budget of %d", got, cells, budget)
		}
	}
	if got := plenty - m.left; got != budget {
		t.Errorf("%d bytes of host memory for 3000 cells; want the whole budget of %d", got, budget)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
}

func TestAFullLowerPlaceIsAnErrorThatLosesNothing(t *testing.T) {
	s, err := disk.Open(disk.Options{Dir: t.TempDir(), Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{left: plenty}
	k := stack.New(host.NewExact, s.New, 256*16).New([]tier.Layout{layout}, m.alloc)
	src := tiertest.NewMemory(layout, 500)
	src.Fill(7)
	if err := k.Reserve(t.Context(), 500); err != nil {
		t.Fatal(err)
	}
	if err := k.Store(t.Context(), 0, []tier.Run{{N: 500}}, src); err != nil {
		t.Fatal(err)
	}
	if err := k.Reserve(t.Context(), 1<<20); !errors.Is(err, tier.ErrFull) {
		t.Errorf("reserve: %v; want %v", err, tier.ErrFull)
	}
	dst := tiertest.NewMemory(layout, 500)
	if err := k.Fetch(t.Context(), 0, tier.Run{N: 500}, dst); err != nil || !bytes.Equal(dst.Row(499), src.Row(499)) {
		t.Errorf("fetch: %v, or other rows", err)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
}
