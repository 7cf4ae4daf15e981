package attend

import (
	"fmt"
	"slices"
)

// Spans tells the kernel which cells each row of a step sees, and in which order. It replaces a mask.
//
// The order is that of the places where the cells would lie if the row's sequence were alone in the
// cache. There they mostly lie: a row whose cells are one such run needs two numbers. A row that sees
// several runs, as in a ring, has in addition a bit for each cell from the end of the first run on. A
// row whose cells lie elsewhere, as those of forks do, lists the cells of its places from the first of
// these on. Rows of one sequence share a list, each as far as it sees.
//
// It consists of the words of an I32 tensor that the host writes before a computation:
//
//	0, 1    counters of the op, which leaves them at 0
//	3       no row sees a place from here on
//	4       where the rows begin
//	8…      a counter for each KV head
//	rows:   first place, end, first place with bits or in a list, where these are: 0, bits, or -list
//	bits    of the rows, 32 cells a word
//	lists   of cells, -1 for a place that the row does not see
//
// The rows begin at the next multiple of 16 words, and bits and lists at a place that is a multiple of
// 32. The lists lie where [Spans.Reset] is told, and the rest in one piece. A Spans is used by one
// goroutine.
type Spans struct {
	words   []int32
	lists   []int32
	listsAt int
	room    int // words for lists
	kvHeads int
	rows    int
	runs    []placed // scratch
	joined  []run    // scratch

	last list // the last row's
}

type run struct{ first, end int }

// placed is a run of cells with its place alone.
type placed struct {
	alone int
	run
}

func (p placed) end() int { return p.alone + p.run.end - p.first }

// list is the list of a row: it begins at a word of lists with the cell of a place.
type list struct{ at, from, end int }

const (
	spansCells    = 3
	spansRows     = 4
	spansCounters = 8
	rowWords      = 4
	// bitsPadding is the number of words after a row's bits: the kernel reads 32 words from any
	// multiple of 16 on.
	bitsPadding = 1
	// listPadding is the number of words after a list: the kernel looks a tile ahead.
	listPadding = 64
)

// rowsAt returns where the rows begin.
func rowsAt(kvHeads int) int { return (spansCounters + kvHeads + 15) / 16 * 16 }

// SpansWords returns the largest number of words that the spans of that many rows take without lists,
// for any layer with up to kvHeads KV heads.
func SpansWords(kvHeads, rows, cells int) int {
	return rowsAt(kvHeads) + rows*(rowWords+(cells+31)/32+bitsPadding)
}

// Reset makes the spans those of rows that see nothing, for layers with that many KV heads. Lists of
// cells will lie from word listsAt of the tensor on, and there is room for some words of them. Where
// that does not suffice, a row sees its cells in the order in which they lie: its result is the same
// within float error.
func (s *Spans) Reset(kvHeads, rows, listsAt, room int) {
	n := rowsAt(kvHeads) + rows*rowWords
	s.words = slices.Grow(s.words[:0], n)[:n]
	clear(s.words)
	s.words[spansRows] = int32(rowsAt(kvHeads))
	s.kvHeads, s.rows = kvHeads, rows
	s.lists, s.listsAt, s.room, s.last = s.lists[:0], listsAt, room, list{}
}

// See adds the n cells from first on to those that the current row sees. alone is where the first of
// them would lie in a cache that the row's sequence has for itself. EndRow ends the row.
func (s *Spans) See(alone, first, n int) {
	if n > 0 {
		s.runs = append(s.runs, placed{alone, run{first, first + n}})
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
	at := s.words[rowsAt(s.kvHeads)+row*rowWords:][:rowWords]
	if slices.ContainsFunc(runs, func(r placed) bool { return r.alone != r.first }) && s.list(runs, at) {
		s.words[spansCells] = max(s.words[spansCells], at[1])
		return
	}
	slices.SortFunc(runs, func(a, b placed) int { return a.first - b.first })
	s.joined = append(s.joined[:0], runs[0].run)
	joined := s.joined
	for _, r := range runs[1:] {
		if last := &joined[len(joined)-1]; r.first <= last.end {
			last.end = max(last.end, r.run.end)
		} else {
			joined = append(joined, r.run)
		}
	}
	s.joined = joined
	at[0], at[1] = int32(joined[0].first), int32(joined[len(joined)-1].end)
	s.words[spansCells] = max(s.words[spansCells], at[1])
	if len(joined) == 1 {
		return
	}
	from := joined[0].end &^ 31
	at[2], at[3] = int32(from), int32(len(s.words))
	s.addBits(joined, from, int(at[1]))
}

// list makes a row one that lists its cells, from the first place on where another cell is, or none. It
// reports whether there is room.
func (s *Spans) list(runs []placed, at []int32) bool {
	slices.SortFunc(runs, func(a, b placed) int { return a.alone - b.alone })
	l := list{from: runs[0].alone, end: runs[len(runs)-1].end()}
	for _, r := range runs {
		if r.alone != r.first || r.alone > l.from {
			break
		}
		l.from = r.end()
	}
	l.from &^= 31
	first := runs[0].alone
	if !s.extends(runs, first, l) {
		l.at = len(s.lists)
		if l.at+l.end-l.from+listPadding > s.room {
			return false
		}
	} else if l.at = s.last.at; l.at+l.end-l.from+listPadding > s.room {
		return false
	}
	n := max(l.at+l.end-l.from+listPadding, len(s.lists))
	had := len(s.lists)
	s.lists = slices.Grow(s.lists, n-had)[:n]
	for i := had; i < n; i++ {
		s.lists[i] = -1
	}
	cells := s.lists[l.at:]
	for _, r := range runs {
		for p := max(r.alone, l.from); p < r.end(); p++ {
			cells[p-l.from] = int32(r.first + p - r.alone)
		}
	}
	s.last = l
	at[0], at[1], at[2], at[3] = int32(first), int32(l.end), int32(l.from), -int32(s.listsAt+l.at)
	return true
}

// extends reports whether the list of the last row can go on as that of a row with these runs, which
// sees nothing before a first place.
func (s *Spans) extends(runs []placed, first int, l list) bool {
	if s.last.end == 0 || s.last.from != l.from || s.last.end > l.end {
		return false
	}
	seen := max(first, l.from)
	for _, r := range runs {
		if r.alone > seen && seen < s.last.end {
			return false // a gap
		}
		for p := max(r.alone, l.from); p < min(r.end(), s.last.end); p++ {
			if s.lists[s.last.at+p-l.from] != int32(r.first+p-r.alone) {
				return false
			}
		}
		seen = max(seen, r.end())
	}
	return true
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

// Cells returns the cell from which on no row sees any.
func (s *Spans) Cells() int { return int(s.words[spansCells]) }

// Words returns the contents of the tensor without the lists. The slice is valid until the next Reset.
func (s *Spans) Words() []int32 { return s.words }

// Lists returns the lists. The slice is valid until the next Reset.
func (s *Spans) Lists() []int32 { return s.lists }
