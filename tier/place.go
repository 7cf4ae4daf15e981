package tier

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"runtime"
	"sync"
	"sync/atomic"
)

// Digest names the bytes of a block in all layers: it is the SHA-256 of those of each layer, one after
// the other.
type Digest [sha256.Size]byte

// DigestOf returns the digest of a block. write gives the bytes of a layer's part of the block to a
// hash: all keys, then all values; within these, one KV head after the other. It is called for several
// layers at a time, because a digest is wanted while nothing is computed.
func DigestOf(layers int, write func(layer int, to hash.Hash) error) (sum Digest, err error) {
	sums, errs := make([]Digest, layers), make([]error, layers)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(layers, runtime.GOMAXPROCS(0)) {
		group.Go(func() {
			h := sha256.New()
			for l := int(next.Add(1)) - 1; l < layers; l = int(next.Add(1)) - 1 {
				h.Reset()
				errs[l] = write(l, h)
				h.Sum(sums[l][:0])
			}
		})
	}
	group.Wait()
	all := sha256.New()
	for _, s := range sums {
		_, _ = all.Write(s[:]) // never fails
	}
	all.Sum(sum[:0])
	return sum, errors.Join(errs...)
}

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

// Settler is a [Tier] or a [Place] that may have rows in memory for a while only.
type Settler interface {
	// Settle brings rows to where they stay, and gives memory back that is there to make copies faster:
	// of a tree that is done with for now. It is called while no rows of this tree are copied. An error
	// means that some are not there.
	Settle(ctx context.Context) error
}
