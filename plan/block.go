package plan

import "math"

// Block is the number of cells by which caches are sized and attention is padded: GPU kernels want
// the number of cells to be a multiple of it, and graphs are built anew only when a sequence grows
// past the next one.
const Block = 256

// WholeBlocks rounds a number of cells up to whole blocks.
func WholeBlocks(cells int) int {
	if cells > math.MaxInt-Block {
		return math.MaxInt / Block * Block
	}
	return (cells + Block - 1) / Block * Block
}

// saturated returns the sum of two numbers of cells, at most the largest int.
func saturated(a, b int) int {
	if b > math.MaxInt-a {
		return math.MaxInt
	}
	return a + b
}

// sum and product of bytes end at the largest int64, so that what is too much never looks like
// little.

func sum(a, b int64) int64 {
	if a > 0 && b > math.MaxInt64-a {
		return math.MaxInt64
	}
	return a + b
}

func product(a, b int64) int64 {
	if a > 0 && b > math.MaxInt64/a {
		return math.MaxInt64
	}
	return a * b
}
