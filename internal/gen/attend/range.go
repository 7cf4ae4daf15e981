package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// openRange sets part to the result over no cells, and moves to before the first tile of range r.
func openRange() {
	Text("opRange", "opRange makes part the result over no cells, and goes before the first tile of range r.")
	clearPart()
	bounds, r, c, end := GP64(), load("r"), GP64(), GP64()
	LEAQ(constants.bounds, bounds)
	MOVLQSX(Indexed(bounds, r, 4, 0), c)
	MOVLQSX(Indexed(bounds, r, 4, 4), end)
	CMPQ(c, f("low"))
	CMOVQLT(f("low"), c)
	CMPQ(end, f("high"))
	CMOVQGT(f("high"), end)
	store(end, "cEnd")
	tile := load("tile")
	SUBQ(tile, c)
	store(c, "c")
	for _, s := range []string{"k", "v"} {
		p := cellAt(s, f("c"), f("head"))
		store(p, s+"p")
		Comment("nothing has prefetched the first tile")
		n := load("tile")
		IMULQ(f(s+"Cell"), n)
		ADDQ(n, p)
		lines := Mark("lines")
		PREFETCHT1(At(p, 0))
		ADDQ(Imm(64), p)
		SUBQ(Imm(64), n)
		JG(LabelRef(lines))
	}
	Ret()
}

// cellAt returns the address of a KV head's keys or values from a cell on.
func cellAt(s string, cell, head Op) reg.GPVirtual {
	p, h := GP64(), GP64()
	MOVQ(cell, p)
	MOVQ(head, h)
	IMULQ(f(s+"Cell"), p)
	IMULQ(f(s+"Head"), h)
	ADDQ(h, p)
	ADDQ(f(s), p)
	return p
}

// rangeOf returns the range of an item, where work is divided by ranges: all heads of the last one
// come first, as it is the longest.
func rangeOf(item Op) reg.GPVirtual {
	r := Quotient(item, f("kvHeads"))
	NOTQ(r)
	ADDQ(f("ranges"), r)
	return r
}

// clearPart sets part to the result over no cells.
func clearPart() {
	Comment("maxima, sums, outputs")
	lowest, zero := YMM(), YMM()
	VMOVUPS(constants.lowest, lowest)
	VXORPS(zero, zero, zero)
	p, n := load("part"), load("room")
	maxima := Mark("maxima")
	VMOVUPS(lowest.AsX(), At(p, 0))
	ADDQ(Imm(16), p)
	SUBQ(Imm(4), n)
	JNZ(LabelRef(maxima))
	MOVQ(f("room"), n)
	sums := Mark("sums")
	VMOVUPS(zero.AsX(), At(p, 0))
	ADDQ(Imm(16), p)
	SUBQ(Imm(4), n)
	JNZ(LabelRef(sums))
	SUBQ(f("part"), p)
	ADDQ(Imm(63), p)
	ANDQ(I32(-64), p)
	ADDQ(f("part"), p)
	MOVQ(f("nv"), n)
	IMULQ(f("dvb"), n)
	outputs := Mark("outputs")
	VMOVUPS(zero, At(p, 0))
	VMOVUPS(zero, At(p, 32))
	ADDQ(Imm(64), p)
	SUBQ(Imm(64), n)
	JNZ(LabelRef(outputs))
}

// nextTile moves to the range's next tile of which a row sees a cell, computes which cells each row
// sees, and moves to before the tile's first group. tn is 0 if there is no such tile.
func nextTile() {
	Text("opTile", "opTile goes to the range's next tile of which a row sees a cell; tn is 0 if there is none.")
	next, done, empty := Mark("next"), NewLabel("done"), NewLabel("empty")
	for _, s := range []string{"k", "v"} {
		x := load("tile")
		IMULQ(f(s+"Cell"), x)
		ADDQ(x, f(s+"p"))
		ADDQ(f(s+"p"), x)
		store(x, s+"Next")
	}
	x, tn := load("tile"), load("cEnd")
	ADDQ(x, f("c"))
	SUBQ(f("c"), tn)
	JLE(LabelRef(empty))
	CMPQ(tn, x)
	CMOVQGT(x, tn)
	store(tn, "tn")
	predict()
	rowMasks(next)

	Comment("whether keys and values are read where they lie: not a part of a tile, as the texts read whole ones")
	tables, kt, vt := load("floats"), load("kx"), load("vx")
	expanded, direct := NewLabel("expanded"), NewLabel("direct")
	MOVQ(f("tn"), x)
	CMPQ(x, f("tile"))
	JNE(LabelRef(expanded))
	t := load("typed")
	CMPQ(t, tables)
	JEQ(LabelRef(direct))
	Comment("nor for several groups, which would each do the conversion, nor where cells are hidden")
	CMPQ(f("nv"), Imm(4))
	JGT(LabelRef(expanded))
	CMPQ(f("hidden"), Imm(0))
	JNE(LabelRef(expanded))
	CMPQ(At(t, 8), Imm(0))
	JEQ(LabelRef(expanded))
	Label(direct)
	MOVQ(t, tables)
	MOVQ(f("kp"), kt)
	MOVQ(f("vp"), vt)
	Label(expanded)
	store(tables, "table")
	store(kt, "kt")
	store(vt, "vt")

	Comment("before the first group")
	p, room := load("part"), load("room")
	store(p, "mp")
	LEAQ(Indexed(p, room, 4, 0), p)
	store(p, "lp")
	LEAQ(Indexed(p, room, 4, 63), p)
	SUBQ(f("part"), p)
	ANDQ(I32(-64), p)
	ADDQ(f("part"), p)
	store(p, "op")
	for _, s := range [][2]string{{"qs", "qp"}, {"vecRow", "rp"}} {
		store(load(s[0]), s[1])
	}
	Comment("no group if all rows that see the tile list its cells")
	left, zero := load("nq"), GP64()
	XORL(zero.As32(), zero.As32())
	CMPQ(f("seen"), zero)
	CMOVQEQ(zero, left)
	store(left, "left")
	JMP(LabelRef(done))
	Label(empty)
	XORL(tn.As32(), tn.As32())
	store(tn, "tn")
	Label(done)
	Ret()
}

// predict makes the range's last tile prefetch the first tile of another range: that of the next
// item, which this thread is most likely to take.
func predict() {
	Comment("behind the last tile: what is likely next")
	not, bounds, c := NewLabel("notLast"), GP64(), load("c")
	ADDQ(f("tile"), c)
	CMPQ(c, f("cEnd"))
	JLT(LabelRef(not))
	CMPQ(f("blocks"), Imm(0))
	JNE(LabelRef(not))
	item := load("work")
	MOVLQSX(At(item, 0), item)
	CMPQ(item, f("items"))
	JGE(LabelRef(not))
	LEAQ(constants.bounds, bounds)
	another := NewLabel("another")
	CMPQ(item, f("itemEnd"))
	JGE(LabelRef(another))
	SUBQ(f("itemFirst"), item)
	head, r := Remainder(item, f("kvHeads")), rangeOf(item)
	MOVLQSX(Indexed(bounds, r, 4, 0), c)
	CMPQ(c, f("low"))
	CMOVQLT(f("low"), c)
	for _, s := range []string{"k", "v"} {
		store(cellAt(s, c, head), s+"Next")
	}
	JMP(LabelRef(not))
	Label(another)
	Comment("of the next tree: its last range")
	t := load("tree")
	of := func(name string) Mem { return At(t, treeFields.Size()+treeFields.Offset(name)) }
	CMPQ(item, of("itemEnd"))
	JGE(LabelRef(not))
	CMPQ(of("blocks"), Imm(0))
	JNE(LabelRef(not))
	SUBQ(of("itemFirst"), item)
	CMPQ(item, f("kvHeads"))
	JGE(LabelRef(not))
	MOVQ(of("ranges"), r)
	MOVLQSX(Indexed(bounds, r, 4, -4), c)
	for _, s := range []string{"k", "v"} {
		p, h := Copied(c), Copied(item)
		IMULQ(f(s+"Cell"), p)
		IMULQ(of(s+"Head"), h)
		ADDQ(h, p)
		ADDQ(of(s), p)
		store(p, s+"Next")
	}
	Label(not)
}

// rowMasks computes which of the tile's cells each row sees: in rowMask, or in listMask if the row lists
// them. seen is 0 if no row has any in rowMask. It jumps to none if no row sees any at all.
func rowMasks(none string) {
	Comment("which of the tile's cells each row sees")
	ones, full := GP64(), GP64()
	MOVQ(I32(-1), ones)
	x := GP64()
	MOVQ(U32(64), x)
	SUBQ(f("tn"), x)
	SHRXQ(x, ones, full)
	store(full, "full")

	Comment("columns need no row's mask where all rows see all")
	each, decided, to := NewLabel("each"), NewLabel("decidedMasks"), load("c")
	CMPQ(f("columns"), Imm(0))
	JEQ(LabelRef(each))
	CMPQ(to, f("allFrom"))
	JLT(LabelRef(each))
	ADDQ(f("tn"), to)
	CMPQ(to, f("allTo"))
	JGT(LabelRef(each))
	store(full, "seen")
	XORL(to.As32(), to.As32())
	store(to, "listed")
	store(to, "hidden")
	JMP(LabelRef(decided))

	Label(each)
	row, out, left, any, all := load("row0"), load("rowMask"), load("nrows"), GP64(), GP64()
	SHLQ(Imm(4), row)
	ADDQ(f("rowsAt"), row)
	XORL(any.As32(), any.As32())
	MOVQ(full, all)
	listed, bit := GP64(), GP64()
	XORL(listed.As32(), listed.As32())
	MOVQ(U32(1), bit)
	rows, blind, seen, list := Mark("rows"), NewLabel("blind"), NewLabel("seen"), NewLabel("list")
	mask := GP64()
	first, end := Word(At(row, 0)), Word(At(row, 4))
	SUBQ(f("c"), end)
	JLE(LabelRef(blind))
	CMPQ(end, f("tn"))
	CMOVQGT(f("tn"), end)
	zero := GP64()
	XORL(zero.As32(), zero.As32())
	SUBQ(f("c"), first)
	CMOVQLT(zero, first)
	CMPQ(first, end)
	JGE(LabelRef(blind))
	MOVQ(U32(64), mask)
	SUBQ(end, mask)
	SHRXQ(mask, ones, mask)
	SHLXQ(first, ones, zero)
	ANDQ(zero, mask)
	Comment("the row's own bits, from a multiple of 32 cells on")
	bits := Word(At(row, 12))
	TESTQ(bits, bits)
	JZ(LabelRef(seen))
	from := Word(At(row, 8))
	NEGQ(from)
	ADDQ(f("c"), from)
	JLT(LabelRef(seen))
	TESTQ(bits, bits)
	JS(LabelRef(list))
	SHRQ(Imm(3), from)
	LEAQ(Indexed(from, bits, 4, 0), bits)
	ADDQ(f("spans"), bits)
	ANDL(At(bits, 0), mask.As32())
	JMP(LabelRef(seen))
	Label(list)
	Comment("the row's own list of cells, with negative numbers for places that it does not see")
	SUBQ(bits, from)
	SHLQ(Imm(2), from)
	ADDQ(f("spans"), from)
	for i := range 4 {
		v, none := YMM(), GP64()
		VMOVUPS(At(from, 32*i), v)
		VMOVMSKPS(v, none.As32())
		SHLQ(Int(8*i), none)
		ANDNQ(mask, none, mask)
	}
	behind := load("listMask")
	SUBQ(f("rowMask"), behind)
	MOVL(mask.As32(), Indexed(out, behind, 1, 0))
	TESTQ(mask, mask)
	JZ(LabelRef(blind))
	ORQ(bit, listed)
	Label(blind)
	XORL(mask.As32(), mask.As32())
	Label(seen)
	MOVL(mask.As32(), At(out, 0))
	ORQ(mask, any)
	ANDQ(mask, all)
	ADDQ(Imm(16), row)
	ADDQ(Imm(4), out)
	SHLQ(Imm(1), bit)
	DECQ(left)
	JNZ(LabelRef(rows))
	store(listed, "listed")
	store(any, "seen")
	ORQ(any, listed)
	JZ(LabelRef(none))
	XORQ(full, all)
	store(all, "hidden")
	Label(decided)
}

// listedRows takes the first of the rows that list the tile's cells, and those behind it that list the same
// ones. They alone see them, in the place where tiles are converted to, and the groups or columns that have
// their vectors are computed.
func listedRows() {
	Text("opListed", "opListed goes to the next rows that list the same cells of the tile, and before the first group or column with their vectors.")
	rows, i := load("listed"), GP64()
	masks, n := load("rowMask"), load("pass")
	SHLQ(Imm(2), n)
	ADDQ(Imm(63), n)
	ANDQ(I32(-64), n)
	clearBytes(Copied(masks), n)
	TZCNTQ(rows, i)
	BLSRQ(rows, rows)
	picked, lists := GP64(), load("listMask")
	MOVL(Indexed(lists, i, 4, 0), picked.As32())
	MOVL(picked.As32(), Indexed(masks, i, 4, 0))
	list := listOf(i)
	store(list, "list")

	Comment("others with the same cells in all places that one of them sees")
	var cells [4]reg.VecVirtual
	for q := range cells {
		cells[q] = YMM()
		VMOVDQU(At(list, 32*q), cells[q])
	}
	last, left := Copied(i), GP64()
	XORL(left.As32(), left.As32())
	none, next, another := NewLabel("noOther"), NewLabel("nextOther"), NewLabel("another")
	Label(another)
	TESTQ(rows, rows)
	JZ(LabelRef(none))
	j, same := GP64(), GP64()
	TZCNTQ(rows, j)
	BLSRQ(rows, rows)
	at := listOf(j)
	XORL(same.As32(), same.As32())
	for q, own := range cells {
		equal, bits := YMM(), GP64()
		VPCMPEQD(At(at, 32*q), own, equal)
		VMOVMSKPS(equal, bits.As32())
		SHLQ(Int(8*q), bits)
		ORQ(bits, same)
	}
	both, mask := Copied(picked), GP64()
	MOVL(Indexed(lists, j, 4, 0), mask.As32())
	ORQ(mask, both)
	ANDNQ(both, same, same)
	JZ(LabelRef(next))
	BTSQ(j, left)
	JMP(LabelRef(another))
	Label(next)
	MOVL(mask.As32(), Indexed(masks, j, 4, 0))
	MOVQ(both, picked)
	MOVQ(j, last)
	JMP(LabelRef(another))
	Label(none)
	store(left, "listed")
	store(picked, "picked")

	store(load("floats"), "table")
	for _, s := range []string{"k", "v"} {
		store(load(s+"x"), s+"t")
		store(load(s+"x"), s+"Next") // nothing: gather prefetches
	}
	store(load("full"), "hidden") // from rows that do not list them, if from no others

	Comment("the groups or columns: those with other vectors, too, which see nothing")
	first, end, whole := load("group"), last, GP64()
	IMULQ(i, first)
	INCQ(end)
	IMULQ(f("group"), end)
	MOVQ(U32(4), whole)
	rounded := NewLabel("rounded")
	CMPQ(f("columns"), Imm(0))
	JEQ(LabelRef(rounded))
	MOVQ(U32(column), whole)
	Label(rounded)
	LEAQ(Indexed(end, whole, 1, -1), end)
	NEGQ(whole)
	ANDQ(whole, end)
	ANDQ(whole, first)
	CMPQ(end, f("nv"))
	CMOVQGT(f("nv"), end)
	SUBQ(first, end)
	store(end, "left")
	for _, s := range [][3]string{{"qs", "dkb", "qp"}, {"", "dvb", "op"}} {
		p := load(s[1])
		IMULQ(first, p)
		if s[0] != "" {
			ADDQ(f(s[0]), p)
		} else {
			ADDQ(outputsOf("part"), p)
		}
		store(p, s[2])
	}
	p := load("part")
	LEAQ(Indexed(p, first, 4, 0), p)
	store(p, "mp")
	room := load("room")
	LEAQ(Indexed(p, room, 4, 0), p)
	store(p, "lp")
	p = load("vecRow")
	LEAQ(Indexed(p, first, 4, 0), p)
	store(p, "rp")
	Ret()
}

// listOf returns where the tile's cells are in the list of a row of the pass.
func listOf(i reg.GPVirtual) reg.GPVirtual {
	row := load("row0")
	ADDQ(i, row)
	SHLQ(Imm(4), row)
	ADDQ(f("rowsAt"), row)
	list := load("c")
	SUBQ(Word(At(row, 8)), list)
	SUBQ(Word(At(row, 12)), list)
	SHLQ(Imm(2), list)
	ADDQ(f("spans"), list)
	return list
}

// groupMasks reads the masks of a group: seen is 0 if its vectors see none of the tile's cells, and
// partial is 1 if some vectors do not see all of them.
func groupMasks() {
	Text("opGroup", "opGroup looks at the masks of a group: seen is 0 if its vectors see no cell, partial 1 if some do not see all.")
	rp, masks := load("rp"), load("rowMask")
	all, any := GP64(), GP64()
	for v := range 4 {
		m := GP64()
		MOVL(At(rp, 4*v), m.As32())
		MOVL(Indexed(masks, m, 1, 0), m.As32())
		MOVL(m.As32(), f("mask").Offset(4*v))
		if v == 0 {
			MOVQ(m, all)
			MOVQ(m, any)
			continue
		}
		ANDQ(m, all)
		ORQ(m, any)
	}
	store(any, "seen")
	partial := GP64()
	XORL(partial.As32(), partial.As32())
	CMPQ(all, f("full"))
	SETNE(partial.As8())
	store(partial, "partial")

	size, four := load("left"), GP64()
	MOVQ(U32(4), four)
	CMPQ(size, four)
	CMOVQGT(four, size)
	store(size, "size")
	Ret()
}

// nextGroup moves to the next group: left is not above 0 if there is none.
func nextGroup() {
	Text("opNextGroup", "opNextGroup goes to the next group; left is not above 0 if there is none.")
	SUBQ(Imm(4), f("left"))
	for _, s := range [][2]string{{"qp", "dkb"}, {"op", "dvb"}} {
		x := load(s[1])
		SHLQ(Imm(2), x)
		ADDQ(x, f(s[0]))
	}
	for _, s := range []string{"mp", "lp", "rp"} {
		ADDQ(Imm(16), f(s))
	}
	Ret()
}
