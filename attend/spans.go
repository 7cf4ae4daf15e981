package attend

import (
	"fmt"
	"slices"
)

// Spans tells the kernel which cells each row of a step sees. It replaces a mask: a row that sees
// one run of cells needs two numbers, and a row that sees several runs also needs a bit for each
// cell from the end of the first run on.
//
// It consists of the words of an I32 tensor that the host writes before a computation:
//
//	0, 1    counters of the op, which leaves them at 0
//	3       no row sees a cell from here on
//	4       where the rows begin
//	8…      a counter for each KV head
//	rows:   first cell, end, first cell with bits, where they are or 0
//	bits    of the rows, 32 cells a word
//
// The rows begin at the next multiple of 16 words, and bits at a cell that is a multiple of 32. A
// Spans is used by one goroutine.
type Spans struct {
	words   []int32
	kvHeads int
	rows    int
	runs    []run // scratch
}

type run struct{ first, end int }

const (
	spansCells    = 3
	spansRows     = 4
	spansCounters = 8
	rowWords      = 4
	// bitsPadding is the number of words after a row's bits: the kernel reads 32 words from any
	// multiple of 16 on.
	bitsPadding = 1
)

// rowsAt returns where the rows begin.
func rowsAt(kvHeads int) int { return (spansCounters + kvHeads + 15) / 16 * 16 }

// SpansWords returns the largest number of words that the spans of that many rows take, for any
// layer with up to kvHeads KV heads.
func SpansWords(kvHeads, rows, cells int) int {
	return rowsAt(kvHeads) + rows*(rowWords+(cells+31)/32+bitsPadding)
}

// Reset makes the spans those of rows that see nothing, for layers with that many KV heads.
func (s *Spans) Reset(kvHeads, rows int) {
	n := rowsAt(kvHeads) + rows*rowWords
	s.words = slices.Grow(s.words[:0], n)[:n]
	clear(s.words)
	s.words[spansRows] = int32(rowsAt(kvHeads))
	s.kvHeads, s.rows = kvHeads, rows
}

// See adds the n cells from first on to those that the current row sees. EndRow ends the row.
func (s *Spans) See(first, n int) {
	if n > 0 {
		s.runs = append(s.runs, run{first, first + n})
	}
}

// EndRow ends the current row and gives it a number: it sees the cells given to See since the last
// call.
func (s *Spans) EndRow(row int) {
	runs := s.runs
	s.runs = s.runs[:0]
	if row < 0 || row >= s.rows {
		panic(fmt.Sprintf("attend: row %d of %d", row, s.rows))
	}
	if len(runs) == 0 {
		return
	}
	slices.SortFunc(runs, func(a, b run) int { return a.first - b.first })
	joined := runs[:1]
	for _, r := range runs[1:] {
		if last := &joined[len(joined)-1]; r.first <= last.end {
			last.end = max(last.end, r.end)
		} else {
			joined = append(joined, r)
		}
	}
	at := s.words[rowsAt(s.kvHeads)+row*rowWords:]
	at[0], at[1] = int32(joined[0].first), int32(joined[len(joined)-1].end)
	s.words[spansCells] = max(s.words[spansCells], at[1])
	if len(joined) == 1 {
		return
	}
	from := joined[0].end &^ 31
	at[2], at[3] = int32(from), int32(len(s.words))
	s.addBits(joined, from, int(at[1]))
}

// addBits appends a bit for each of the cells [from, end).
func (s *Spans) addBits(runs []run, from, end int) {
	start := len(s.words)
	n := (end-from+31)/32 + bitsPadding
	s.words = slices.Grow(s.words, n)[:start+n]
	bits := s.words[start:]
	clear(bits)
	for _, r := range runs {
		for c := max(r.first, from) - from; c < r.end-from; {
			if w := c / 32; c%32 == 0 && r.end-from-c >= 32 {
				bits[w] = -1
				c += 32
			} else {
				bits[w] |= int32(uint32(1) << (c % 32))
				c++
			}
		}
	}
}

// Words returns the contents of the tensor. The slice is valid until the next Reset.
func (s *Spans) Words() []int32 { return s.words }
