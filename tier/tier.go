// Package tier defines what a place to keep K/V rows is.
//
// A [Tier] keeps the rows of one sequence tree, layer by layer, as bytes: it never sees a tensor or
// a device. It copies from and to a [Memory], the rows of one layer laid out head-major. Package
// tier/host keeps rows in memory, and package tier/disk in files. Both are a [Place], of which package
// tier/stack makes tiers whose trees share what they have in common. Package tier/tiertest is the
// suite that every tier passes. A [Link] makes copies take the time that they would take over a
// slower connection.
package tier

import (
	"context"
	"errors"
	"fmt"
)

// ErrFull is wrapped by errors of [Tier.Reserve] that say that there is no room.
var ErrFull = errors.New("there is no room for more K/V")

// BlockCells is the number of cells in a block: the unit in which caches grow and tiers take room.
const BlockCells = 256

// Part names one half of a cell's row.
type Part int

// The two parts of a row.
const (
	Keys Part = iota
	Values
)

// String returns "K" or "V".
func (p Part) String() string {
	if p == Keys {
		return "K"
	}
	return "V"
}

// Layout gives the sizes of one layer's rows in bytes.
//
// A layer is laid out head-major: all keys, then all values; within each, one KV head after the
// other; within a head, one piece a cell.
type Layout struct {
	Heads      int   // KV heads
	KeyBytes   int64 // one cell's key in one head
	ValueBytes int64 // one cell's value in one head
}

// Piece returns the bytes of one cell's part in one head.
func (l Layout) Piece(p Part) int64 {
	if p == Keys {
		return l.KeyBytes
	}
	return l.ValueBytes
}

// RowBytes returns the bytes of one cell: key and value, all heads.
func (l Layout) RowBytes() int64 { return int64(l.Heads) * (l.KeyBytes + l.ValueBytes) }

// Part returns the bytes of one part, from a cell on, of rows that are laid out for some cells, and
// the distance between the heads in them.
func (l Layout) Part(rows []byte, cells int, p Part, cell int) (part []byte, stride int64) {
	first, stride := int64(0), int64(cells)*l.Piece(p)
	if p == Values {
		first = int64(l.Heads) * int64(cells) * l.KeyBytes
	}
	return rows[first+int64(cell)*l.Piece(p) : first+int64(l.Heads)*stride], stride
}

// Run is the cells [Start, Start+N) of a tree.
type Run struct{ Start, N int }

// End returns the first cell after the run.
func (r Run) End() int { return r.Start + r.N }

// String returns the run as a half-open interval.
func (r Run) String() string { return fmt.Sprintf("[%d,%d)", r.Start, r.End()) }

// Memory is the rows of one layer where they are used to compute: a slot on a device. In both calls
// buf holds n cells of each head, and the heads are stride bytes apart in it. The copy has finished
// when the call returns.
type Memory interface {
	// Write copies buf to the cells [cell, cell+n) of every head.
	Write(p Part, cell, n int, buf []byte, stride int64)
	// Read copies the cells [cell, cell+n) of every head to buf.
	Read(p Part, cell, n int, buf []byte, stride int64)
}

// Addressable is a Memory whose rows the host may be able to address.
type Addressable interface {
	Memory
	// Address returns the bytes of the cells [cell, cell+n) of a head, to be written in place, or
	// nil if they are not in memory of the host.
	Address(p Part, head, cell, n int) []byte
}

// Usage is how many bytes a tier holds, by where they are.
type Usage struct {
	Host int64 // in memory of the host
	Disk int64 // in files
}

// Plus returns the sum of two usages.
func (u Usage) Plus(v Usage) Usage { return Usage{u.Host + v.Host, u.Disk + v.Disk} }

// Tier keeps the rows of one sequence tree. Layers are numbered from 0 in the order of the layouts
// that the tier was made with. Several goroutines may fetch and store at a time, each another layer.
// Reserve, Seal and Close are called while none does. A call whose context is cancelled ends early,
// with the context's error.
type Tier interface {
	// Reserve makes room for the cells [0, cells) in every layer. The rows that are kept stay.
	// After an error nothing has changed. The error wraps ErrFull, or the allocator's error, if
	// there is no room.
	Reserve(ctx context.Context, cells int) error
	// Fetch copies cells of a layer into the same cells of dst. All of them have been reserved;
	// cells never stored hold zeros.
	Fetch(ctx context.Context, layer int, cells Run, dst Memory) error
	// Store copies the cells of runs from src and keeps them.
	Store(ctx context.Context, layer int, runs []Run, src Memory) error
	// Seal says that the cells [0, cells) of every layer are stored and final, in whole blocks, and
	// that the blocks behind them are not: rows may be stored there again. A tier may then share what
	// is sealed with other trees, or do nothing. An error means that blocks that are not final any
	// more have no room of their own. Nothing has changed then, and nothing may be stored to them.
	Seal(ctx context.Context, cells int) error
	// Usage returns the bytes held, whether or not their cells are used. What several trees share
	// counts for one of them, so that the sum over all trees is what is held. It may be called while
	// rows are copied.
	Usage() Usage
	// Close gives the memory back, and waits for copies of its own that are under way. Nothing can
	// cut it short. It may be called twice.
	Close() error
}

// Sharer is a [Tier] that knows what its tree has in common with another one.
type Sharer interface {
	// Common returns how many cells, from the first on, have the same bytes in both trees, in all layers:
	// in whole blocks that are sealed in both, as far as they have been compared. It looks at no row.
	Common(other Tier) int
}

// Buffer is a piece of host memory with an owner that frees it.
type Buffer interface {
	Bytes() []byte
	Close()
}

// Allocator returns zeroed host memory, pinned where the device has such memory.
type Allocator func(bytes int64) (Buffer, error)

// Maker makes the tier of a new sequence tree, for layers of these layouts. The tier takes the host
// memory that it needs from the allocator. Trees of one maker may share memory, so a maker serves one
// cache: the memory that an allocator gave may be closed as late as the last tree of the maker.
type Maker func(layouts []Layout, memory Allocator) Tier
