package main

import . "github.com/seed4d217819/ebb/internal/gen/asm"

// tableType is the type of the tensor that describes trees, in the place of keys: I64, which no keys
// have.
const tableType = 27

// tableHeader is how the table of trees begins: tableHeader in attend/trees.go.
var tableHeader = Structure{Name: "tableHeader", Fields: []Field{
	{"items", 1, "of the op"},
	{"typ", 1, "of K and V"},
	{"dv", 1, "values of a value"},
	{"kvHeads", 1, ""},
	{"kCell", 1, "bytes of a cell's key"},
	{"vCell", 1, ""},
	{"pass", 1, "rows of a pass at most"},
	{"room", 1, "vectors of a pass at most"},
}}

// treeFields is how a tree is described: treeEntry in attend/trees.go. They are fields of the frame when the tree is at hand, some of which are
// distances from those of all trees.
var treeFields = Structure{Name: "treeEntry", Fields: []Field{
	{"k", 1, "address of its first cell's first key"},
	{"v", 1, ""},
	{"kHead", 1, "bytes from one head's keys to the next"},
	{"vHead", 1, ""},
	{"cells", 1, "no row sees a cell from here on"},
	{"spans", 1, "bytes to its spans"},
	{"row0", 1, "its first row"},
	{"rows", 1, ""},
	{"ranges", 1, ""},
	{"blocks", 1, "passes of rows a head, each over all ranges; 0: work is divided by ranges"},
	{"pass", 1, "rows at most"},
	{"lanes", 1, "as in a frame"},
	{"room", 1, "vectors of a pass, rounded up"},
	{"parts", 1, "bytes to the ranges' results"},
	{"itemFirst", 1, "its first item"},
	{"itemEnd", 1, "and past the last one"},
}}
