package product

// Grouped activations are those of pairs, each of a token and an expert that it goes through, in the
// order of experts. An expert's pairs are a group, and have tiles of their own: 16 pairs each, and the
// last one the rest.
//
// They lie like other activations. Each group has a slot for each of its pairs and up to three empty
// ones, so that its tiles begin at a multiple of 64 bytes whatever a token's values are; the tile at
// slot s begins 48s·in/32 bytes behind the first one. Results of products have no empty slots: they
// lie in the order of positions.
//
// The first activations of a mixture, those of Group, have a table behind their tiles, at a multiple
// of 64. Every operation of the mixture reads it:
//
//	groups    i32: how many there are
//	most      i32: the pairs of the largest one; then 56 bytes of nothing
//	position  [pairs, rounded up to 16] i32, by token and then by the order of the token's experts; -1
//	          where there is no such expert
//	group     [min(experts, pairs)] of: expert, pairs, first position, first slot, i32
//
// The frames follow. While it groups, a thread keeps in its scratch, behind the frame:
//
//	count  [experts] i32, and then each expert's next position
//	group  as in the table
//	order  [pairs] i32: the pair of each position
const (
	tableHead  = 64
	groupBytes = 16
	slotStep   = 4 // slots of a group are a multiple of it
)

// slots returns the most slots that groups of so many pairs can have.
func slots(pairs, experts int64) int64 { return pairs + (slotStep-1)*min(pairs, experts) }

// tableBytes returns the size of the table.
func tableBytes(pairs, experts int64) int64 {
	return align(groupsOffset(pairs) + groupBytes*min(pairs, experts))
}

// groupsOffset returns where the groups begin in the table.
func groupsOffset(pairs int64) int64 { return tableHead + align(4*pairs) }

// groupScratch returns the bytes that Group needs for each thread.
func groupScratch(pairs, experts int64) int64 {
	return 4*experts + groupBytes*min(pairs, experts) + 4*pairs
}

// groupedOf returns the layout of grouped activations, with a table of some bytes behind the tiles,
// which begins at the offset table, and scratch for each thread.
func groupedOf(in, pairs, experts, tableSize, scratch int64, threads int) (l layout, table int64) {
	table = align(tilesOffset + in/blockValues*slots(pairs, experts)*tokenBlock)
	l = layout{frames: table + align(tableSize), frameSize: frameRoom + align(scratch), threads: threads}
	l.size = l.frames + int64(threads)*l.frameSize + 64 // as the base may be so much later than the data
	return l, table
}
