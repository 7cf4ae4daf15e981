// Command product writes a part of package product's assembly, and its declarations. The parts are the
// functions of each instruction set, the tables of all of them, with the structures that functions
// keep in memory, and the same of the products with weights that are not packed. Package asm says what
// all functions have in common.
//
// A type is a reader: how a unit of its packed weights becomes codes, scales and minimums. An
// instruction set is a file of functions and a table: vnni.go, avx2.go.
package main

import (
	"flag"
	"log"
	"maps"
	"slices"
	"strconv"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

func main() {
	part := flag.String("part", "", "the `part`: "+strings.Join(slices.Sorted(maps.Keys(parts)), ", "))
	frameFile := flag.String("frame", "frame_amd64.go", "`file` for the structures of the parts that have some")
	flag.Parse() // avo adds -out and -stubs
	p, ok := parts[*part]
	if !ok {
		log.Fatalf("-part %q: want one of %s", *part, strings.Join(slices.Sorted(maps.Keys(parts)), ", "))
	}

	ConstraintExpr("amd64,!windows")
	newConstants()
	p.emit()
	Generate()
	if err := codeAVXVNNI(flag.Lookup("out").Value.String()); err != nil {
		log.Fatal(err)
	}
	if p.structures == nil {
		return
	}
	if frame.Size() > frameSize {
		log.Fatal("the frame is larger than frameSize")
	}
	if err := WriteTypes(*frameFile, "product", p.structures...); err != nil {
		log.Fatal(err)
	}
}

// parts are what the command writes, each to files of its own.
var parts = map[string]struct {
	emit       func()
	structures []Structure
}{
	"tables":  {emitTables, []Structure{frame, texts, record}},
	"vnni":    {vnni, nil},
	"amx":     {amx, nil},
	"avx2":    {avx2.emit, nil},
	"avxvnni": {avxVNNI.emit, nil},
	"plain":   {plain, []Structure{plainFrame}},
}

func itoa(n int) string { return strconv.Itoa(n) }
