package product

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
)

// Pack writes rows of a type, as they are in a file, to dst as panels. A row has in values. The rows
// make whole panels, and dst is as long as they are.
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

// packPanel packs 32 rows of some bytes each.
func (f format) packPanel(dst, rows []byte, row int64) {
	at := int64(0) // in dst
	for block := range row / f.bytes {
		for i := range f.fields {
			p := &f.fields[i]
			p.pack(unsafe.Pointer(&dst[at]), unsafe.Pointer(&rows[block*f.bytes+p.at]), row)
			at += p.n * p.size * Rows
		}
	}
}

// pack puts a field of 32 rows, the first at src and each some bytes behind the one before, into a
// unit. The rows' blocks stay in the first cache from one number to the next.
func (p *field) pack(dst, src unsafe.Pointer, row int64) {
	switch p.size {
	case 4:
		n := int64(0)
		if hasPackWords() && p.n >= 4 {
			n = p.n &^ 3
			packWords(dst, src, row, n, p.flip)
		}
		p.packWordsFrom(n, dst, src, row)
	case 2:
		to := (*[Rows]uint16)(dst)
		for r := range to {
			to[r] = *(*uint16)(unsafe.Add(src, int64(r)*row))
		}
	case 1:
		to := (*[Rows]byte)(dst)
		for r := range to {
			to[r] = *(*byte)(unsafe.Add(src, int64(r)*row))
		}
	}
}

// packWordsFrom puts the words of a field from i on into a unit.
func (p *field) packWordsFrom(i int64, dst, src unsafe.Pointer, row int64) {
	flip := uint64(p.flip)<<32 | uint64(p.flip)
	for ; i+2 <= p.n; i += 2 {
		to, from := (*[2][Rows]uint32)(unsafe.Add(dst, 4*Rows*i)), 4*i
		for r := range Rows {
			v := *(*uint64)(unsafe.Add(src, from)) ^ flip
			to[0][r], to[1][r] = uint32(v), uint32(v>>32)
			from += row
		}
	}
	if i < p.n {
		to, from := (*[Rows]uint32)(unsafe.Add(dst, 4*Rows*i)), 4*i
		for r := range to {
			to[r] = *(*uint32)(unsafe.Add(src, from)) ^ p.flip
			from += row
		}
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
