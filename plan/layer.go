package plan

// Layer is the K/V of one layer. Its kind follows from the fields: a layer sees the whole context, or
// has a window, or shares the K/V of another.
type Layer struct {
	RowBytes int64 // of one cell: key and value in all heads; 0 in a layer that shares another's K/V
	Device   int   // number of the device that computes the layer, from 0

	// Window is how many tokens a token sees, itself and those before it; 0: all. See [RingCells].
	Window int

	// Shares says that the layer keeps nothing and attends to the K/V of an earlier layer, Of. Those
	// stay on their device, because a step that streams them would need them twice.
	Shares bool
	Of     int

	// StateBytes is what the state of one sequence takes in a recurrent layer: see [SequenceStates].
	StateBytes int64
	// NoRows says that the layer keeps no K/V: it is recurrent, or looks at no other token.
	NoRows bool
}

// SequenceStates is how many states a sequence has in a recurrent layer while a step computes it: one
// that is read, and one that is written.
const SequenceStates = 2

// RingCells returns how many cells of a sequence tree a layer with a window keeps on its device, where
// graphs compute at most some tokens and a tree holds at most some cells: those that the first token
// of a graph sees, and those that the graph adds. A layer whose ring is as long as the tree is placed
// like one without a window. Where other layers share K/V of that window, the tokens are those of a step.
func RingCells(window, chunkTokens, cells int) int {
	if window < 1 {
		return WholeBlocks(cells)
	}
	return min(WholeBlocks(saturated(window-1, chunkTokens)), WholeBlocks(cells))
}

// ring returns how many cells of each tree the layer keeps where that is fewer than the tree may hold;
// 0: it keeps all.
func (l Layer) ring(chunkTokens, cells int) int {
	if ring := RingCells(l.Window, chunkTokens, cells); !l.Shares && ring < WholeBlocks(cells) {
		return ring
	}
	return 0
}

// sharedWindows returns the windows of layers whose K/V other layers share. Their rings have room for a
// whole step besides the window: the layers that share go through its first tokens when the ring has
// its last ones.
func sharedWindows(layers []Layer) map[int]bool {
	shared := map[int]bool{}
	for l, is := range used(layers) {
		if w := layers[l].Window; is && w > 0 {
			shared[w] = true
		}
	}
	return shared
}

// used returns, by layer, whether other layers share its K/V.
func used(layers []Layer) []bool {
	used := make([]bool, len(layers))
	for _, l := range layers {
		if l.Shares {
			used[l.Of] = true
		}
	}
	return used
}
