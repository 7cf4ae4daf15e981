package tiertest

import (
	"fmt"

	"github.com/seed4d217819/ebb/tier"
)

// Memory is one layer's rows in ordinary memory, head-major like a slot's. It panics where a copy
// does not fit, as a device would crash.
type Memory struct {
	Layout tier.Layout
	Cells  int
	parts  [2][]byte // [part][head][cell][piece]
}

var _ tier.Addressable = (*Memory)(nil)

// NewMemory returns zeroed memory for the rows of that many cells.
func NewMemory(l tier.Layout, cells int) *Memory {
	m := &Memory{Layout: l, Cells: cells}
	for p := range m.parts {
		m.parts[p] = make([]byte, int64(l.Heads)*int64(cells)*l.Piece(tier.Part(p)))
	}
	return m
}

// Piece returns one cell's part in one head. It is the memory itself.
func (m *Memory) Piece(p tier.Part, head, cell int) []byte {
	b := m.Layout.Piece(p)
	at := int64(head*m.Cells+cell) * b
	return m.parts[p][at : at+b : at+b]
}

// Address returns the cells [cell, cell+n) of a head. It is the memory itself.
func (m *Memory) Address(p tier.Part, head, cell, n int) []byte {
	b := m.Layout.Piece(p)
	at := int64(head*m.Cells+cell) * b
	return m.parts[p][at : at+int64(n)*b]
}

// Row returns a copy of all pieces of a cell: its key head by head, then its value.
func (m *Memory) Row(cell int) []byte {
	var row []byte
	for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
		for h := range m.Layout.Heads {
			row = append(row, m.Piece(p, h, cell)...)
		}
	}
	return row
}

// SetRow is the reverse of Row.
func (m *Memory) SetRow(cell int, row []byte) {
	for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
		for h := range m.Layout.Heads {
			row = row[copy(m.Piece(p, h, cell), row):]
		}
	}
}

// Fill sets every byte.
func (m *Memory) Fill(b byte) {
	for _, part := range m.parts {
		for i := range part {
			part[i] = b
		}
	}
}

// Write copies buf to the cells [cell, cell+n) of every head.
func (m *Memory) Write(p tier.Part, cell, n int, buf []byte, stride int64) {
	m.each(p, cell, n, func(h int64, mine []byte) { copy(mine, buf[h*stride:][:len(mine)]) })
}

// Read copies the cells [cell, cell+n) of every head to buf.
func (m *Memory) Read(p tier.Part, cell, n int, buf []byte, stride int64) {
	m.each(p, cell, n, func(h int64, mine []byte) { copy(buf[h*stride:][:len(mine)], mine) })
}

func (m *Memory) each(p tier.Part, cell, n int, do func(head int64, mine []byte)) {
	if cell < 0 || n < 0 || cell+n > m.Cells {
		panic(fmt.Sprintf("tiertest: cells %v of a memory of %d", tier.Run{Start: cell, N: n}, m.Cells))
	}
	b := m.Layout.Piece(p)
	for h := range m.Layout.Heads {
		at := int64(h*m.Cells+cell) * b
		do(int64(h), m.parts[p][at:at+int64(n)*b])
	}
}
