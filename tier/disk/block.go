package disk

import (
	"fmt"
	"hash/crc32"
	"reflect"

	"github.com/seed4d217819/ebb/tier"
)

// runBytes is the least size of a run of blocks. Disks reach their full rate with transfers of this
// size.
const runBytes = 1 << 20

// castagnoli is the table of the polynomial that processors compute CRC-32C with.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// parts are the two halves of a row, in the order in which a block has them.
var parts = [...]tier.Part{tier.Keys, tier.Values}

// layer is the rows of one layer. Its blocks have numbers; block b begins at cell b ×
// tier.BlockCells.
type layer struct {
	tier.Layout
	number int
	size   int64   // bytes of a block, a whole number of sectors
	run    int     // blocks that lie behind each other in the file, and are read at once
	room   []int64 // where the file has room for blocks, in the order of use
	blocks []block
	open   []int // the blocks that new rows go to, the one stored to least recently first
}

// block is tier.BlockCells cells of a layer. A block that is neither in memory nor in the file
// holds zeros.
type block struct {
	buffer *buffer // nil: it is not in memory
	at     *spot   // its place in a file; nil: the tree does not hold it
	spare  *spot   // where it will be once it is stored to, if its place is that of other trees, too
}

// buffer is the bytes of a block in host memory: all keys, then all values; within each, one head
// after the other. The file has the same bytes.
type buffer struct {
	memory  tier.Buffer
	bytes   []byte        // aligned for direct transfers
	writing chan struct{} // closed when the write under way ends; nil: none is
	pins    int           // copies that read the bytes
	clean   bool          // the file has them, too
}

func newLayer(number int, l tier.Layout, align int64) *layer {
	size := roundUp(l.RowBytes()*tier.BlockCells, align)
	return &layer{Layout: l, number: number, size: size, run: int((runBytes + size - 1) / size)}
}

func roundUp(n, multiple int64) int64 { return (n + multiple - 1) / multiple * multiple }

// check reports cells that the tree does not hold.
func (l *layer) check(cells tier.Run) error {
	for b := cells.Start / tier.BlockCells; b*tier.BlockCells < cells.End(); b++ {
		if b >= len(l.blocks) || l.blocks[b].at == nil {
			return fmt.Errorf("disk: layer %d: cells %v are past those reserved, up to %d", l.number, cells, b*tier.BlockCells)
		}
	}
	return nil
}

// content returns how many of a block's bytes are rows.
func (l *layer) content() int64 { return l.RowBytes() * tier.BlockCells }

// overlap returns the cells of a run that lie in a block, counted from the block's first cell.
func overlap(r tier.Run, b int) (from, to int) {
	first := b * tier.BlockCells
	return max(r.Start-first, 0), min(r.End()-first, tier.BlockCells)
}

// piece returns the bytes of a part of a block from a cell on, and the distance between heads.
func (l *layer) piece(block []byte, p tier.Part, cell int) (b []byte, stride int64) {
	return l.Part(block, tier.BlockCells, p, cell)
}

// write copies the cells [from, to) of block b to a memory.
func (l *layer) write(dst tier.Memory, block []byte, b, from, to int) {
	for _, p := range parts {
		bytes, stride := l.piece(block, p, from)
		dst.Write(p, b*tier.BlockCells+from, to-from, bytes, stride)
	}
}

// read copies the cells [from, to) of block b from a memory.
func (l *layer) read(src tier.Memory, block []byte, b, from, to int) {
	for _, p := range parts {
		bytes, stride := l.piece(block, p, from)
		src.Read(p, b*tier.BlockCells+from, to-from, bytes, stride)
	}
}

// scatter returns the places in a memory that the bytes of block b go to, in the order of the file,
// appended to pieces. It is false if a transfer cannot reach them.
func (l *layer) scatter(pieces [][]byte, dst tier.Addressable, b int, align int64) (_ [][]byte, ok bool) {
	for _, p := range parts {
		for h := range l.Heads {
			piece := dst.Address(p, h, b*tier.BlockCells, tier.BlockCells)
			if !aligned(piece, align) {
				return pieces, false
			}
			pieces = append(pieces, piece)
		}
	}
	return pieces, true
}

// aligned reports whether memory begins at a multiple of align and has a multiple of it.
func aligned(b []byte, align int64) bool {
	return len(b) > 0 && past(b, align) == 0 && int64(len(b))%align == 0
}

// alignedPart returns the first n bytes of memory that begin at a multiple of align.
func alignedPart(b []byte, n, align int64) []byte {
	skip := (align - past(b, align)) % align
	return b[skip : skip+n]
}

// past returns how far behind a multiple of align memory begins.
func past(b []byte, align int64) int64 {
	return int64(reflect.ValueOf(b).Pointer() % uintptr(align))
}
