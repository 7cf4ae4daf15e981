package plan

import "math"

// Defaults of the sizes of steps.
const (
	DefaultChunkTokens = 512  // tokens of one graph: where prompts on a CPU are fastest
	DefaultStepTokens  = 4096 // tokens of one step: bounds the activations held
)

// maxMask bounds the bytes of a chunk's attention mask.
const maxMask = 64 << 20

// StepTokens returns how many tokens one step takes at most, if the user wants some (0: the
// default): no more than all trees hold.
func StepTokens(wanted, cells, trees int) int {
	if wanted == 0 {
		wanted = DefaultStepTokens
	}
	trees = max(1, trees)
	if cells > math.MaxInt/trees {
		return wanted
	}
	return min(wanted, cells*trees)
}

// ChunkTokens returns how many tokens one graph computes at most, if the user wants some (0: the
// default): fewer for a context of many cells, so that the mask of two bytes a token and cell stays
// bounded.
func ChunkTokens(wanted, cells int) int {
	if wanted == 0 {
		wanted = DefaultChunkTokens
	}
	return max(1, min(wanted, maxMask/2/max(cells, 1)))
}

// Inputs of the parts of a step, and rows of logits.
const (
	// InputAlign is the number of elements of which the place of a part's inputs is a multiple, so
	// that views of them are aligned for every device.
	InputAlign = 32
	// LogitRows is how many rows of logits one graph computes at most.
	LogitRows = 32
)

// Model is what a model's header says of the size of its steps.
type Model struct {
	Weights     int64 // bytes
	Context     int   // tokens
	Hidden      int
	Vocab       int
	FeedForward int // of the widest layer
}

// Footprint returns about what a device takes that computes all of the model, with steps of the
// default sizes. What is exact there is written out; of what a layer computes the feed-forward is
// the most. The engine measures it when it opens a model.
func (m Model) Footprint() Footprint {
	cells := WholeBlocks(max(m.Context, 1))
	step := StepTokens(0, max(m.Context, 1), 1)
	chunk := min(ChunkTokens(0, cells), step)
	const id, position, cell, row = 4, 4, 8, 4 // bytes of an element
	return Footprint{
		Weights:     m.Weights,
		Inputs:      int64(step) * (InputAlign*(id+position+cell) + row),
		Masks:       int64(chunk) * int64(cells) * 2,
		Activations: 4 * (2*int64(m.Hidden)*int64(step) + int64(m.Vocab)*int64(min(LogitRows, step))),
		Scratch:     4 * int64(chunk) * (2*int64(m.Hidden) + 3*int64(m.FeedForward)),
	}
}
