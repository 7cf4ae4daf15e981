package attend

import (
	"slices"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// visibility of spans as the kernel in Go reads them.
func (s *Spans) cellsOf(row int) []int {
	t := &tensor{ne: [4]int64{int64(len(s.words)), 1, 1, 1}, data: unsafe.Pointer(&s.words[0])}
	return slices.Collect(wordsOf(t).row(row, 1<<30))
}

func TestSpansHoldWhatRowsSee(t *testing.T) {
	for _, tt := range []struct {
		name string
		runs []run
		want []run
		bits bool
	}{
		{"nothing", nil, nil, false},
		{"one run", []run{{3, 7}}, []run{{3, 7}}, false},
		{"runs that touch", []run{{3, 7}, {7, 9}}, []run{{3, 9}}, false},
		{"runs out of order", []run{{7, 9}, {3, 7}}, []run{{3, 9}}, false},
		{"runs that overlap", []run{{3, 8}, {5, 6}, {7, 9}}, []run{{3, 9}}, false},
		{"empty runs", []run{{5, 5}, {3, 4}, {9, 9}}, []run{{3, 4}}, false},
		{"a gap", []run{{0, 40}, {41, 100}}, []run{{0, 40}, {41, 100}}, true},
		{"far apart", []run{{1000, 1001}, {0, 1}}, []run{{0, 1}, {1000, 1001}}, true},
		{"a whole word of bits", []run{{0, 10}, {32, 64}, {96, 130}}, []run{{0, 10}, {32, 64}, {96, 130}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s Spans
			s.Reset(3, 2, 1000, 0)
			for _, r := range tt.runs {
				s.See(r.first, r.first, r.end-r.first)
			}
			s.EndRow(1)
			var want []int
			for _, r := range tt.want {
				for c := r.first; c < r.end; c++ {
					want = append(want, c)
				}
			}
			if d := cmp.Diff(s.cellsOf(1), want); d != "" {
				t.Errorf("row 1 (-got +want):\n%s", d)
			}
			if got := s.cellsOf(0); got != nil {
				t.Errorf("row 0 sees %v, want nothing", got)
			}
			if bits := len(s.Words()) > rowsAt(3)+2*rowWords; bits != tt.bits {
				t.Errorf("has bits: %v, want %v", bits, tt.bits)
			}
		})
	}
}

func TestSpansOfARowThatIsNotTherePanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	var s Spans
	s.Reset(1, 2, 0, 0)
	s.EndRow(2)
}

// Any runs: what a row sees is their union, and the words fit what SpansWords says.
func FuzzSpans(f *testing.F) {
	f.Add([]byte{0, 10, 20, 5, 15, 1}, byte(2))
	f.Add([]byte{255, 255, 0, 1}, byte(1))
	f.Fuzz(func(t *testing.T, data []byte, rows byte) {
		n := int(rows%8) + 1
		const cells = 2 * 510
		var s Spans
		s.Reset(2, n, 0, 0)
		want := make([][]bool, n)
		for row := range n {
			want[row] = make([]bool, cells)
			for i := row * 2; i+1 < len(data); i += n * 2 {
				first, length := 2*int(data[i]), int(data[i+1])
				s.See(first, first, length)
				for c := first; c < first+length; c++ {
					want[row][c] = true
				}
			}
			s.EndRow(row)
		}
		for row := range n {
			got := make([]bool, cells)
			for _, c := range s.cellsOf(row) {
				got[c] = true
			}
			if !slices.Equal(got, want[row]) {
				t.Errorf("row %d sees others than its runs", row)
			}
		}
		if most := SpansWords(2, n, cells); len(s.Words()) > most {
			t.Errorf("%d words, more than %d", len(s.Words()), most)
		}
	})
}
