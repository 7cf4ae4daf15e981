package plan

import "math"

// Defaults of the sizes of steps.
const (
	DefaultChunkTokens = 512  // tokens of one graph: where prompts on a CPU are fastest
	DefaultStepTokens  = 4096 // tokens of one step: bounds the activations held
)

// maxMask bounds the bytes of a chunk's attention mask.
const maxMask = 64 << 20

// StepTokens returns how many tokens one step takes at most, if the user wants
// some (0: the default): no more than all trees hold.
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

// ChunkTokens returns how many tokens one graph computes at most, if the user
// wants some (0: the default): fewer for a context of many cells, so that the
// mask of two bytes a token and cell stays bounded.
func ChunkTokens(wanted, cells int) int {
	if wanted == 0 {
		wanted = DefaultChunkTokens
	}
	return max(1, min(wanted, maxMask/2/max(cells, 1)))
}
