package kv

// Chunk is tokens of a step that one graph computes.
type Chunk struct {
	First, N int    // tokens of the step
	Parts    []Part // its tokens tree by tree, in order
}

// Part is a chunk's tokens of one tree, which attend together.
type Part struct {
	Tree     int // ordinal of the tree in the step
	First, N int // tokens of the step
	Cells    int // attention spans the cells [0, Cells); a multiple of Block
	works    []int
}

// cut divides the step's tokens into chunks.
func (s *Step) cut() {
	most := s.pool.ChunkTokens()
	for first := 0; first < len(s.tokens); first += most {
		c := Chunk{First: first, N: min(most, len(s.tokens)-first)}
		begin, at := len(s.parts), len(s.numbers) // of the chunk's parts, and of the last part's works
		for i, w := range s.works {
			from, to := max(first, w.first), min(first+c.N, w.first+len(w.Tokens))
			if from >= to {
				continue
			}
			if n := len(s.parts); n == begin || s.parts[n-1].Tree != w.tree {
				s.parts, at = append(s.parts, Part{Tree: w.tree, First: from}), len(s.numbers)
			}
			s.numbers = append(s.numbers, i)
			p := &s.parts[len(s.parts)-1]
			p.N += to - from
			p.Cells = max(p.Cells, pad(w.span(to-w.first)))
			p.works = s.numbers[at:]
		}
		c.Parts = s.parts[begin:]
		s.chunks = append(s.chunks, c)
	}
}

// span returns the end of the cells that the first n new tokens see.
func (w *work) span(n int) (end int) {
	end = w.sealed
	for _, r := range w.old {
		end = max(end, r.End())
	}
	kept, _ := cutRuns(w.runs, n)
	for _, r := range kept {
		end = max(end, r.End())
	}
	return end
}

// Values of the attention mask in half precision.
const (
	visible uint16 = 0
	hidden  uint16 = 0xFC00 // -Inf
)

// Viewer is told which cells each token sees: runs of cells, and then the end of
// a token's row.
type Viewer interface {
	See(first, n int)
	EndRow(row int)
}

// Sees tells which cells the tokens of a part see, in order: those of the token's
// own sequence up to itself.
func (s *Step) Sees(p Part, v Viewer) {
	for _, i := range p.works {
		w := &s.works[i]
		from, to := max(p.First, w.first), min(p.First+p.N, w.first+len(w.Tokens))
		for t := from; t < to; t++ {
			v.See(0, w.sealed)
			for _, r := range w.old {
				v.See(r.Start, r.N)
			}
			left := t - w.first + 1
			for _, r := range w.runs {
				r.N = min(r.N, left)
				v.See(r.Start, r.N)
				if left -= r.N; left == 0 {
					break
				}
			}
			v.EndRow(t - p.First)
		}
	}
}

// Mask writes the attention mask of a part: for each of its tokens in order a
// row of Part.Cells half-precision values, 0 for the cells of the token's own
// sequence up to itself and -Inf for others. len(dst) is Part.N × Part.Cells.
func (s *Step) Mask(p Part, dst []uint16) {
	fill(dst, hidden)
	s.masker = masker{dst: dst, cells: p.Cells}
	s.Sees(p, &s.masker)
}

// masker writes a mask row by row: rows come in order.
type masker struct {
	dst   []uint16 // from the row on
	cells int
}

func (m *masker) See(first, n int) { fill(m.dst[first:first+n], visible) }

func (m *masker) EndRow(int) { m.dst = m.dst[m.cells:] }

// fill sets all values, by doubling copies.
func fill(s []uint16, v uint16) {
	if len(s) == 0 {
		return
	}
	s[0] = v
	for n := 1; n < len(s); n *= 2 {
		copy(s[n:], s[:n])
	}
}
