// Command product writes package product's assembly: kernel_amd64.s and its declarations kernel_amd64.go,
// and frame_amd64.go with the structures that the kernels keep in memory; with -plain the same of the
// products with weights that are not packed. Package asm says what all functions have in common.
//
// A type is a reader: how a unit of its packed weights becomes codes, scales and minimums. An
// instruction set is a file of functions and a table: vnni.go, avx2.go.
package main

import (
	"flag"
	"log"
	"strconv"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

func main() {
	frameFile := flag.String("frame", "frame_amd64.go", "`file` for the structures")
	ofPlain := flag.Bool("plain", false, "write the functions for plain weights, and not those for packed ones")
	flag.Parse() // avo adds -out and -stubs

	ConstraintExpr("amd64,!windows")
	if *ofPlain {
		plain()
		Generate()
		write(*frameFile, plainFrame)
		return
	}
	newConstants()
	narrowConstants()
	tileConfigs()
	newTables()
	choose()
	vnni()
	amx()
	avx2.emit()
	avxVNNI.emit()
	Generate()
	if err := codeAVXVNNI(flag.Lookup("out").Value.String()); err != nil {
		log.Fatal(err)
	}

	write(*frameFile, frame, texts, record)
}

// write writes structures to a file.
func write(file string, structures ...Structure) {
	if frame.Size() > frameSize {
		log.Fatal("the frame is larger than frameSize")
	}
	if err := WriteTypes(file, "product", structures...); err != nil {
		log.Fatal(err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
