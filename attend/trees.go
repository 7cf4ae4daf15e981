package attend

import (
	"cmp"
	"slices"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// Trees is an operation of the kernel's that attends to the rows of several sequence trees. The operation
// depends on how many tokens there are in all. Whose they are, where the rows of the trees lie and how many
// there are is described in a table, which the host writes before each computation.
//
// Work is divided by trees, KV heads and ranges of cells or passes of tokens, and the longest items come
// first. So threads balance short trees and long ones, and there is one barrier for all.
type Trees struct {
	shape   shape // rows are those of all trees
	typ     ggml.Type
	threads int
	set     isa.ISA
	most    division // of any tree
	parts   int64    // bytes that there are for the results of ranges

	table []int64
}

// Rows is what the rows of K/V have in common in all trees.
type Rows struct {
	Type     ggml.Type
	KVHeads  int
	ValueDim int
	Cells    int // that a tree has at most; results of ranges of more may have no room, and then a head is one item
}

// Tree is the tokens of one tree in an operation, and where its rows lie.
type Tree struct {
	First, N     int          // the tree's tokens
	Spans        int          // the word of the tensor at which its spans begin
	Cells        int          // no token sees a cell from here on: [Spans.Cells]
	Keys, Values *ggml.Tensor // [dim, cells, kvHeads], in host memory
}

// tableHeader is how the table begins, in words of 8 bytes: the same as in internal/gen/attend/trees.go.
type tableHeader struct {
	items      int64 // of the op
	typ        int64 // of K and V
	dv         int64 // values of a value
	kvHeads    int64
	kCell      int64 // bytes of a cell's key
	vCell      int64
	pass, room int64 // rows and vectors of a pass at most
}

// treeEntry is how the table describes a tree. The entries are in the order of their items.
type treeEntry struct {
	k, v               int64 // addresses of the first cell's first key and value
	kHead, vHead       int64 // bytes from one head's to the next
	cells              int64 // no row sees a cell from here on
	spans              int64 // bytes to its spans
	row0, rows         int64
	ranges             int64
	blocks             int64 // passes of rows a head, each over all ranges; 0: work is divided by ranges
	pass, lanes, room  int64 // of its division
	parts              int64 // bytes to the results of its ranges
	itemFirst, itemEnd int64
}

const (
	headerWords = int(unsafe.Sizeof(tableHeader{}) / 8)
	entryWords  = int(unsafe.Sizeof(treeEntry{}) / 8)
)

// TableWords returns how many words the table of some trees has.
func TableWords(trees int) int { return headerWords + trees*entryWords }

// Trees adds attention of q over the rows of several trees, with the kernel.
//
//	q      [headDim, heads, tokens], f32: the tokens of a tree stand together
//	table  [TableWords of as many trees as there may be], i64
//	spans  of all trees, each at a word of its own, i32
//	out    [valueDim, heads, tokens]
//
// The host writes [Trees.Table] to the table before each computation, and spans. What [Attention.Partial]
// says of a token's result holds here as well: it is that of an operation with the rows of its tree alone.
// It panics if Kernel reports false, and with Tiles, which depend on how many tokens a tree has.
func (a Attention) Trees(g *ggml.Graph, q, table, spans *ggml.Tensor, rows Rows, s Scores) (out *ggml.Tensor, of *Trees) {
	s = s.withFactor(q)
	sh := shape{keyDim: int(q.Ne(0)), valueDim: rows.ValueDim, heads: int(q.Ne(1)), kvHeads: rows.KVHeads, rows: int(q.Ne(2)), cells: rows.Cells}
	for _, f := range []struct {
		ok   bool
		want string
	}{
		{a.Kernel(rows.Type, rows.Type, sh.keyDim, sh.valueDim) && !a.Tiles(), "rows that the kernel reads, without tiles"},
		{q.Type() == ggml.F32 && q.Nb(0) == 4 && q.Ne(3) == 1, wantQueries},
		{sh.kvHeads > 0 && sh.heads%sh.kvHeads == 0, wantHeads},
		{table.Type() == ggml.I64 && table.Contiguous() && int(table.Ne(0)) >= TableWords(1), "the words of a table, i64"},
		{spans.Type() == ggml.I32 && spans.Contiguous() && int(spans.Ne(0)) >= rowsAt(sh.kvHeads)+sh.rows*rowWords, wantSpans},
	} {
		if !f.ok {
			misuse("want "+f.want, q, table, spans)
		}
	}
	t := &Trees{shape: sh, typ: rows.Type, threads: g.MostThreads(), set: a.kernel}
	for n := range sh.rows {
		d := sh.ofRows(n+1).division(t.threads, t.set)
		t.most.pass, t.most.room, t.most.partSize = max(t.most.pass, d.pass), max(t.most.room, d.room), max(t.most.partSize, d.partSize)
	}
	few := sh.ofRows(min(sh.rows, passRows))
	t.parts = few.partsSize(few.division(t.threads, t.set), sh.cells)
	l := sh.layoutOf(t.most, t.parts, t.threads, t.set)
	dst := sh.op(g, l, t.threads, t.set, s, q, table, table, spans)
	return sh.output(g, dst), t
}

// ofRows returns the shape with another number of rows.
func (s shape) ofRows(n int) shape {
	s.rows = n
	return s
}

// Table returns the words of the table for some trees, which have all tokens of the operation. They are
// valid until the next call.
func (t *Trees) Table(trees []Tree) []int64 {
	n := TableWords(len(trees))
	t.table = slices.Grow(t.table[:0], n)[:n]
	entries := unsafe.Slice(entryOf(t.table, 0), len(trees))
	for i, one := range trees {
		entries[i] = t.entry(one)
	}
	slices.SortStableFunc(entries, func(a, b treeEntry) int { return cmp.Compare(b.longest(), a.longest()) })
	items, parts := int64(0), int64(0)
	for i := range entries {
		e := &entries[i]
		if e.blocks == 0 { // by ranges, if their results have room
			size := e.ranges * int64(t.shape.kvHeads) * t.shape.partSize(e.room)
			if parts+size > t.parts {
				e.blocks = 1
			} else {
				e.parts, parts = parts, parts+size
			}
		}
		each := e.blocks
		if each == 0 {
			each = e.ranges
		}
		e.itemFirst, items = items, items+each*int64(t.shape.kvHeads)
		e.itemEnd = items
	}
	*(*tableHeader)(unsafe.Pointer(&t.table[0])) = tableHeader{
		items: items, typ: int64(t.typ), dv: int64(t.shape.valueDim), kvHeads: int64(t.shape.kvHeads),
		kCell: t.typ.RowSize(int64(t.shape.keyDim)), vCell: t.typ.RowSize(int64(t.shape.valueDim)),
		pass: int64(t.most.pass), room: t.most.room,
	}
	return t.table
}

// entry describes a tree, but for its items and parts.
func (t *Trees) entry(one Tree) treeEntry {
	d := t.shape.ofRows(one.N).division(t.threads, t.set)
	cells := max(0, min(one.Cells, int(one.Keys.Ne(1))))
	e := treeEntry{
		k: int64(one.Keys.Address()), v: int64(one.Values.Address()), kHead: one.Keys.Nb(2), vHead: one.Values.Nb(2),
		cells: int64(cells), spans: int64(one.Spans) * 4, row0: int64(one.First), rows: int64(one.N), ranges: int64(rangesOf(cells)),
		pass: int64(d.pass), lanes: int64(d.lanes), room: d.room,
	}
	if one.N > passRows {
		e.blocks = (e.rows + e.pass - 1) / e.pass
	}
	return e
}

// longest returns how long the tree's longest item takes, in rows times cells.
func (e *treeEntry) longest() int64 {
	if e.blocks == 0 {
		return e.rows * min(e.cells, int64(rangeCells(int(e.cells))))
	}
	return min(e.rows, e.pass) * e.cells
}

// entryOf returns the entry of a tree in a table.
func entryOf(table []int64, i int) *treeEntry {
	return (*treeEntry)(unsafe.Pointer(&table[headerWords+i*entryWords]))
}
