package tier

import (
	"context"
	"crypto/sha256"
)

// Digest is the SHA-256 of the bytes of a block in all layers.
type Digest [sha256.Size]byte

// Place keeps blocks of one sequence tree, wherever in the tree they are. Package tier/stack makes a
// [Tier] of one place, or of two on top of each other, and finds blocks that several trees have in
// common. In a place, a tree can then refer to the blocks of another tree that was made by the same
// [Maker]: such blocks are there once, and are counted.
//
// Runs of cells begin and end with whole blocks, except those of Fetch and Store. Hold, Drop, Own,
// Borrow and Close are called while no rows of this tree are copied; rows of other trees may be. The
// calls that follow Store here are made for one tree of a maker at a time.
type Place interface {
	// Fetch copies cells of a layer into the same cells of dst. All of them are held; cells never
	// stored hold zeros.
	Fetch(ctx context.Context, layer int, cells Run, dst Memory) error
	// StartFetch begins a Fetch, as far as others than the caller can make it, and returns a function
	// that does the rest, waits for the end, and returns the error. It must be called.
	StartFetch(ctx context.Context, layer int, cells Run, dst Memory) (finish func() error)
	// Store copies the cells of runs from src and keeps them. All of them are held, and no other
	// tree refers to them.
	Store(ctx context.Context, layer int, runs []Run, src Memory) error

	// Hold makes room for those cells of a run that are not held yet. After an error nothing has
	// changed.
	Hold(ctx context.Context, cells Run) error
	// Drop gives up cells, whether or not they are held. Other trees that refer to them keep them.
	Drop(cells Run)
	// Digest returns the digest of a block that is held and not stored to meanwhile.
	Digest(ctx context.Context, block int) (Digest, error)
	// Borrow makes cells refer to those of another tree, and gives up those that were held before.
	// The other tree holds them all, with the same bytes, and does not store to them meanwhile. After
	// an error nothing has changed.
	Borrow(ctx context.Context, from Place, cells Run) error
	// Shared returns how many of some cells other trees hold, too.
	Shared(cells Run) int
	// Own copies the cells of a run that other trees hold, too, and holds the copies instead. After an
	// error nothing has changed.
	Own(ctx context.Context, cells Run) error

	// Usage returns the bytes held, whether or not their cells are used. What several trees refer to
	// counts for one of them. It may be called at any time.
	Usage() Usage
	// Close gives everything back, apart from what other trees refer to. It may be called twice.
	Close() error
}
