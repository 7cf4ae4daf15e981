package tiertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/seed4d217819/ebb/tier"
)

// trees are the tests of sealed blocks, and of several trees of one maker.
func trees() []test {
	return []test{
		{"SealedRowsStay", sealedRowsStay},
		{"StoreIntoSealedBlocks", storeIntoSealedBlocks},
		{"CancelledSealChangesNothing", cancelledSealChangesNothing},
		{"TreesCloseInAnyOrder", treesCloseInAnyOrder},
		{"StoreAfterSharingChangesOneTree", storeAfterSharingChangesOneTree},
		{"TreesGrowAfterSharing", treesGrowAfterSharing},
		{"RandomTrees", randomTrees},
		{"ManyTreesAtOnce", manyTreesAtOnce},
	}
}

// RunSharing checks that trees of one maker hold once what they have in common. open is that of
// [Run]. kept returns which of the bytes that a tree holds are those of its rows: a block takes blockBytes
// of these.
func RunSharing(t *testing.T, open func(layouts []tier.Layout) tier.Tier, kept func(tier.Usage) int64, blockBytes func(tier.Layout) int64) {
	var block int64
	for _, l := range layouts() {
		block += blockBytes(l)
	}
	for _, tt := range []struct {
		name   string
		cells  []int // of each tree
		common int   // cells that all begin with alike
		want   int   // blocks that all trees but one give back
	}{
		{"nothing", []int{1000, 1000, 1000}, 0, 0},
		{"less than a block", []int{1000, 1000}, 255, 0},
		{"one block", []int{1000, 700}, 256, 1},
		{"almost two", []int{1000, 1000, 300}, 511, 1},
		{"ten trees", []int{1100, 1000, 1030, 1000, 1000, 1000, 1000, 1000, 1000, 1200}, 1000, 3},
		{"everything", []int{1024, 1024}, 1024, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var all []*suite
			held := func() (sum int64) {
				for _, s := range all {
					sum += kept(s.Usage())
				}
				return sum
			}
			alone := int64(0)
			for i, cells := range tt.cells {
				s := newSuite(open)
				s.reserve(t, cells)
				s.fill(t, 1, i+2, min(tt.common, cells), cells)
				alone += kept(s.Usage())
				all = append(all, s)
				s.seal(t, cells/tier.BlockCells*tier.BlockCells)
			}
			saved := int64(len(all)-1) * int64(tt.want) * block
			if got := held(); got != alone-saved {
				t.Errorf("%d bytes of %d trees; want %d, of which %d are shared", got, len(all), alone-saved, saved)
			}
			for i, s := range all {
				s.wantFilled(t, i+2, min(tt.common, tt.cells[i]), tt.cells[i])
			}
			// The last tree leaves what is shared, and has what it had alone.
			last := all[len(all)-1]
			before := held()
			last.seal(t, 0)
			last.fill(t, 99, 99, 0, tt.cells[len(all)-1])
			if got, most := held(), before+int64(tt.want)*block; got < before || got > most { // it may have had room
				t.Errorf("%d bytes when one tree has stored to all blocks; want %d to %d", got, before, most)
			}
			for i, s := range all[:len(all)-1] {
				s.wantFilled(t, i+2, min(tt.common, tt.cells[i]), tt.cells[i])
			}
			// One of those that are left has what all had.
			for _, s := range all[1:] {
				s.close(t)
			}
			all = all[:1]
			if got, want := held(), alone/int64(len(tt.cells)); len(slices.Compact(slices.Clone(tt.cells))) == 1 && got != want {
				t.Errorf("%d bytes of the tree that is left; want %d", got, want)
			}
			all[0].wantFilled(t, 2, min(tt.common, tt.cells[0]), tt.cells[0])
			all[0].close(t)
		})
	}
}

func (s *suite) seal(t *testing.T, cells int) {
	t.Helper()
	if err := s.Seal(t.Context(), cells); err != nil {
		t.Fatalf("seal %d cells: %v", cells, err)
	}
}

func (s *suite) close(t *testing.T) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if got := s.Usage(); got != (tier.Usage{}) {
		t.Errorf("%+v after Close; want nothing", got)
	}
}

// fill stores a version of the first cells of all layers, and another one of the rest.
func (s *suite) fill(t *testing.T, first, rest, common, cells int) {
	t.Helper()
	for l := range s.layouts {
		s.store(t, l, first, tier.Run{N: common})
		s.store(t, l, rest, tier.Run{Start: common, N: cells - common})
	}
}

// wantFilled checks the cells of all layers: the common ones have version 1.
func (s *suite) wantFilled(t *testing.T, rest, common, cells int) {
	t.Helper()
	for l := range s.layouts {
		s.want(t, l, append(versions(common, 1), versions(cells-common, rest)...))
	}
}

func sealedRowsStay(t *testing.T, s *suite) {
	s.reserve(t, 1000)
	s.fill(t, 1, 1, 0, 1000)
	for _, cells := range []int{256, 768, 768, 512, 0, 768} {
		s.seal(t, cells)
		s.wantFilled(t, 1, 0, 1000)
	}
	s.reserve(t, 3000)
	s.store(t, 1, 2, tier.Run{Start: 768, N: 2232})
	s.seal(t, 2816)
	s.want(t, 1, append(versions(768, 1), versions(2232, 2)...))
}

func storeIntoSealedBlocks(t *testing.T, s *suite) {
	s.reserve(t, 1000)
	s.fill(t, 1, 1, 0, 1000)
	s.seal(t, 768)
	s.store(t, 0, 2, tier.Run{Start: 300, N: 10}) // without notice
	want := versions(1000, 1)
	copy(want[300:], versions(10, 2))
	s.want(t, 0, want)
	s.want(t, 1, versions(1000, 1))
	s.seal(t, 768)
	s.want(t, 0, want)
}

func cancelledSealChangesNothing(t *testing.T, s *suite) {
	other := s.another()
	defer other.close(t)
	for _, tree := range []*suite{s, other} {
		tree.reserve(t, 600)
		tree.fill(t, 1, 1, 0, 600)
	}
	s.seal(t, 512)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := other.Seal(ctx, 512); err == nil {
		t.Error("a cancelled seal: no error")
	}
	other.store(t, 0, 2, tier.Run{Start: 5, N: 600 - 5})
	other.want(t, 0, append(versions(5, 1), versions(595, 2)...))
	s.wantFilled(t, 1, 0, 600)
	other.seal(t, 512)
	other.want(t, 0, append(versions(5, 1), versions(595, 2)...))
}

// treesCloseInAnyOrder closes three trees in each order. Those that are left have their rows.
func treesCloseInAnyOrder(t *testing.T, s *suite) {
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		all := []*suite{s.another(), s.another(), s.another()}
		common := []int{1000, 1000, 600} // cells that are like those of the first tree
		for i, tree := range all {
			tree.reserve(t, 1000+100*i)
			tree.fill(t, 1, i+2, common[i], 1000+100*i)
			tree.seal(t, 768)
		}
		for n, i := range order {
			all[i].close(t)
			for _, left := range order[n+1:] {
				all[left].wantFilled(t, left+2, common[left], 1000+100*left)
				all[left].seal(t, 768)
				all[left].wantFilled(t, left+2, common[left], 1000+100*left)
			}
		}
	}
}

func storeAfterSharingChangesOneTree(t *testing.T, s *suite) {
	for _, notice := range []bool{false, true} {
		all := []*suite{s.another(), s.another(), s.another()}
		for _, tree := range all {
			tree.reserve(t, 1000)
			tree.fill(t, 1, 1, 0, 1000)
			tree.seal(t, 768)
		}
		for i, tree := range all { // the tree that made the blocks, and those that share them
			if notice {
				tree.seal(t, 256)
			}
			for l := range tree.layouts {
				tree.store(t, l, i+2, tier.Run{Start: 300, N: 50})
			}
			for j, other := range all {
				want := versions(1000, 1)
				if j <= i {
					copy(want[300:], versions(50, j+2))
				}
				for l := range other.layouts {
					other.want(t, l, want)
				}
			}
		}
		for _, tree := range all {
			tree.close(t)
		}
	}
}

func treesGrowAfterSharing(t *testing.T, s *suite) {
	other := s.another()
	defer other.close(t)
	for _, tree := range []*suite{s, other} {
		tree.reserve(t, 600)
		tree.fill(t, 1, 1, 0, 600)
		tree.seal(t, 512)
	}
	for i, cells := range []int{900, 1100, 3000, 3001} {
		for v, tree := range []*suite{s, other} {
			tree.reserve(t, cells)
			tree.fill(t, 1, 10*i+v+2, 600, cells)
			tree.seal(t, cells/tier.BlockCells*tier.BlockCells)
		}
		s.wantFilled(t, 10*i+2, 600, cells)
		other.wantFilled(t, 10*i+3, 600, cells)
	}
}

// model is a tree with the versions that its cells should have.
type model struct {
	*suite
	versions [][]int // by layer and cell
}

// randomTrees compares trees with lists of versions. They often have the same rows.
func randomTrees(t *testing.T, s *suite) {
	rng := rand.New(rand.NewPCG(3, 4))
	var all []*model
	for step := range 150 {
		if len(all) == 0 || len(all) < 5 && rng.IntN(6) == 0 {
			all = append(all, &model{s.another(), make([][]int, len(s.layouts))})
		}
		i := rng.IntN(len(all))
		tree := all[i]
		switch op, have := rng.IntN(10), len(tree.versions[0]); {
		case op == 0:
			tree.close(t)
			all = slices.Delete(all, i, i+1)
			continue
		case op < 4 || have == 0:
			tree.grow(t, 1+rng.IntN(500))
		case op < 8:
			tree.seal(t, rng.IntN(have+1)/tier.BlockCells*tier.BlockCells)
		default:
			run := tier.Run{Start: rng.IntN(have)}
			run.N = 1 + rng.IntN(min(300, have-run.Start))
			l := rng.IntN(len(tree.layouts))
			tree.store(t, l, 1+step%3, run)
			copy(tree.versions[l][run.Start:], versions(run.N, 1+step%3))
		}
		for _, other := range all {
			l := rng.IntN(len(other.layouts))
			other.want(t, l, other.versions[l][:rng.IntN(len(other.versions[l])+1)])
		}
	}
	for _, tree := range all {
		for l := range tree.layouts {
			tree.want(t, l, tree.versions[l])
		}
		tree.close(t)
	}
}

// grow adds cells that all trees have alike.
func (m *model) grow(t *testing.T, cells int) {
	t.Helper()
	have := len(m.versions[0])
	m.reserve(t, have+cells)
	for l := range m.versions {
		m.store(t, l, 1, tier.Run{Start: have, N: cells})
		m.versions[l] = append(m.versions[l], versions(cells, 1)...)
	}
}

// manyTreesAtOnce takes trees through their lives in a goroutine each, with a second one that fetches
// what is not stored to meanwhile.
func manyTreesAtOnce(t *testing.T, s *suite) {
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			for round := range 4 {
				if err := s.another().live(t.Context(), 10+i, 400+100*(i+round)%700); err != nil {
					t.Errorf("tree %d: %v", i, err)
				}
			}
		})
	}
	group.Wait()
}

// live takes a tree through sealing, growth, storing and truncation.
func (s *suite) live(ctx context.Context, version, common int) error {
	defer func() { _ = s.Close() }()
	const cells = 1300
	if err := s.Reserve(ctx, cells); err != nil {
		return err
	}
	for l := range s.layouts {
		if err := s.tryStore(ctx, l, 1, tier.Run{N: common}); err != nil {
			return err
		}
	}
	for _, sealed := range []int{common, 256, common} {
		if err := s.Seal(ctx, sealed/tier.BlockCells*tier.BlockCells); err != nil {
			return err
		}
		if err := s.storeAndFetch(ctx, version, common, cells); err != nil {
			return err
		}
	}
	return s.tryStore(ctx, 1, version, tier.Run{N: 1})
}

// storeAndFetch stores the cells behind the common ones of each layer while the layer before is
// fetched.
func (s *suite) storeAndFetch(ctx context.Context, version, common, cells int) error {
	for l := range s.layouts {
		var storing sync.WaitGroup
		var failed error
		if next := l + 1; next < len(s.layouts) {
			storing.Go(func() { failed = s.tryStore(ctx, next, version, tier.Run{Start: common, N: cells - common}) })
		}
		dst := NewMemory(s.layouts[l], cells)
		err := s.Fetch(ctx, l, tier.Run{N: common}, dst)
		storing.Wait()
		if err != nil || failed != nil {
			return fmt.Errorf("layer %d: %w", l, errors.Join(err, failed))
		}
		for c := range common {
			if !slices.Equal(dst.Row(c), s.row(l, c, 1)) {
				return fmt.Errorf("layer %d has other bytes in cell %d", l, c)
			}
		}
	}
	return nil
}
