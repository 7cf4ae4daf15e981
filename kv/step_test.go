package kv

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
)

// A batch is put in the order of its trees; positions, cells and rows of logits follow, and results
// go back to the works that asked.
func TestStepNumbersTheTokensOfABatch(t *testing.T) {
	o := uniform(Dynamic, 1, 600)
	o.ChunkTokens = 4
	l := newLedger(t, ownCPU(t, 0), o)
	t.Cleanup(l.close)
	a, b := l.seq(), l.seq()
	l.grow(growth{a, 3})
	fork := l.fork(a)
	s := begin(
		t, l.pool,
		Work{Seq: a, Tokens: []int32{10, 11}, Logits: 1},
		Work{Seq: b, Tokens: []int32{20, 21, 22}, Logits: 3},
		Work{Seq: fork, Tokens: []int32{30}, Logits: 0},
	)
	check := func(what string, got, want any) {
		t.Helper()
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", what, diff)
		}
	}
	check("tokens", s.Tokens(), []int32{10, 11, 30, 20, 21, 22})
	check("positions", s.Positions(), []int32{3, 4, 3, 0, 1, 2})
	check("cells", s.Cells(), []int64{3, 4, 5, 0, 1, 2})
	check("rows of logits", s.LogitRows(), []int32{1, 3, 4, 5})
	check("chunks", s.Chunks(), []Chunk{
		{First: 0, N: 4, Parts: []Part{{Tree: 0, First: 0, N: 3, Cells: 256}, {Tree: 1, First: 3, N: 1, Cells: 256, Input: 32, Mask: 768}}},
		{First: 4, N: 2, Parts: []Part{{Tree: 1, First: 4, N: 2, Cells: 256, Input: 64}}},
	})
	check("gathered", s.Gather([][][]float32{{{1}}, {{2}, {3}, {4}}, {}}), [][]float32{{1}, {2}, {3}, {4}})

	part := s.Chunks()[0].Parts[0]
	mask := make([]uint16, part.N*part.Cells)
	s.Mask(part, 0, mask)
	var seen [][]int
	for i := range part.N {
		var cells []int
		for c, m := range mask[i*part.Cells:][:part.Cells] {
			if m == visible {
				cells = append(cells, c)
			}
		}
		seen = append(seen, cells)
	}
	check("visible cells", seen, [][]int{{0, 1, 2, 3}, {0, 1, 2, 3, 4}, {0, 1, 2, 5}})
}

// Attention spans no more cells than a chunk's tokens see, in whole blocks.
func TestChunksSpanWhatTheirTokensSee(t *testing.T) {
	o := uniform(Dynamic, 1, 600)
	o.ChunkTokens = 200
	l := newLedger(t, ownCPU(t, 0), o)
	t.Cleanup(l.close)
	s := begin(t, l.pool, Work{Seq: l.seq(), Tokens: make([]int32, 600)})
	var got []int
	for _, c := range s.Chunks() {
		got = append(got, c.Parts[0].Cells)
	}
	if diff := cmp.Diff(got, []int{256, 512, 768}); diff != "" {
		t.Errorf("cells (-got +want):\n%s", diff)
	}
}

// Graphs are kept by the rows' ID: a layer has the same in every step of a sequence, and two rows
// that lie elsewhere never have the same.
func TestRowsKeepTheirIDs(t *testing.T) {
	for _, copies := range []bool{false, true} {
		o := uniform(OffloadedStatic, 3, 600)
		o.ForcedCopies, o.ResidentLayers = copies, 1
		l := newLedger(t, ownCPU(t, 0), o)
		s := l.seq()
		var ids [][]uint64
		l.during = func(_ *Step, layer *Layer) {
			ids[len(ids)-1] = append(ids[len(ids)-1], layer.Rows(0).ID)
		}
		for range 3 {
			ids = append(ids, nil)
			l.grow(growth{s, 1})
		}
		if diff := cmp.Diff(ids[1:], [][]uint64{ids[0], ids[0]}); diff != "" {
			t.Errorf("copies %v: IDs of later steps (-got +want):\n%s", copies, diff)
		}
		if ids[0][0] == ids[0][1] || ids[0][1] == ids[0][2] {
			t.Errorf("copies %v: layers share IDs: %v", copies, ids[0])
		}
		l.close()
	}
}

func TestCachesAndTiersHaveTheSameBlocks(t *testing.T) {
	if plan.Block != tier.BlockCells {
		t.Errorf("plan.Block is %d and tier.BlockCells %d", plan.Block, tier.BlockCells)
	}
}
