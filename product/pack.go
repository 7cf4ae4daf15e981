package product

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
)

// Pack writes rows of a type, as they are in a file, to dst as panels. A row is in values. The rows
// are whole panels, and dst is as long as they are.
//
// Panels are independent of each other: several goroutines may pack different ones at the same time,
// and a matrix may be put together from the panels of several. It panics with a [ggml.ShapeError] if
// there is no format for the type, or the lengths do not fit.
func Pack(t ggml.Type, dst, rows []byte, in int64) {
	f, ok := formats[t]
	if !ok || in <= 0 || in%f.values != 0 {
		panic(&ggml.ShapeError{Op: "product.Pack", Reason: fmt.Sprintf("rows of %d values of %s; want a type with a format, and whole units", in, t)})
	}
	row := t.RowSize(in)
	if panel := Rows * row; int64(len(rows))%panel != 0 || len(dst) != len(rows) {
		panic(&ggml.ShapeError{Op: "product.Pack", Reason: fmt.Sprintf(
			"%d bytes to %d; want panels of %d bytes, and as many of them", len(rows), len(dst), panel)})
	}
	for len(rows) > 0 {
		f.packPanel(dst[:Rows*row], rows[:Rows*row], row)
		dst, rows = dst[Rows*row:], rows[Rows*row:]
	}
}

// packPanel packs 32 rows of some bytes each. A unit of a panel stays in the first cache while its
// rows are put into it, one after the other.
func (f format) packPanel(dst, rows []byte, row int64) {
	_, _ = dst[Rows*row-1], rows[Rows*row-1]
	to, from := unsafe.Pointer(&dst[0]), unsafe.Pointer(&rows[0])
	for u := range row / f.bytes {
		unit := unsafe.Add(to, u*f.bytes*Rows)
		for r := range int64(Rows) {
			f.packBlock(unit, unsafe.Add(from, r*row+u*f.bytes), r)
		}
	}
}

// packBlock puts the block of row r at src into a unit.
func (f format) packBlock(unit, src unsafe.Pointer, r int64) {
	for _, p := range f.fields {
		from, to, step := unsafe.Add(src, p.at), unsafe.Add(unit, r*p.size), Rows*p.size
		switch p.size {
		case 4:
			for i := range p.n {
				*(*uint32)(unsafe.Add(to, i*step)) = *(*uint32)(unsafe.Add(from, 4*i)) ^ p.flip
			}
		case 2:
			*(*uint16)(to) = *(*uint16)(from)
		case 1:
			*(*byte)(to) = *(*byte)(from)
		}
		unit = unsafe.Add(unit, p.n*step)
	}
}

// unpackBlock writes the block of row r of a unit as it is in the file.
func (f format) unpackBlock(file, unit []byte, r int) {
	for _, p := range f.fields {
		for i := range p.n {
			number := file[p.at+i*p.size:][:p.size]
			copy(number, unit[(i*Rows+int64(r))*p.size:])
			if p.flip != 0 {
				binary.LittleEndian.PutUint32(number, binary.LittleEndian.Uint32(number)^p.flip)
			}
		}
		unit = unit[p.n*p.size*Rows:]
	}
}
