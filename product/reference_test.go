package product

import (
	"math"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
)

// weightsOf returns the numbers of packed rows, as the operations in Go read them, and for each the
// sizes of what it is the sum of.
func weightsOf(typ ggml.Type, packed []byte, in, out int64) (numbers, sizes []float64) {
	f := formats[typ]
	numbers, sizes = make([]float64, in*out), make([]float64, in*out)
	file := make([]byte, f.bytes)
	units := in / f.values
	var u rowUnit
	for r := range out {
		for i := range units {
			unit := packed[(r/Rows*units+i)*f.bytes*Rows:]
			f.unpackBlock(file, unit, int(r%Rows))
			readers[typ](&u, file)
			for j := range f.values {
				scale := j / blockValues * 2
				if f.kind == symmetric16 || f.kind == minimum16 {
					scale = j / 16
				}
				x, m := float64(u.d[scale])*float64(u.codes[j]), float64(u.m[scale])
				numbers[r*in+i*f.values+j], sizes[r*in+i*f.values+j] = x+m, math.Abs(x)+math.Abs(m)
			}
		}
	}
	return numbers, sizes
}

// Packed weights are the numbers that ggml reads from the file's rows, whatever bytes they are.
func TestPackedWeightsAreTheNumbersThatGGMLReads(t *testing.T) {
	if _, err := ggml.Load(); err != nil {
		t.Fatal(err)
	}
	for _, typ := range types {
		t.Run(typ.String(), func(t *testing.T) {
			in, out := 3*formats[typ].values, int64(96)
			rows := randomBytes(seeded(int(typ)), out*typ.RowSize(in))
			packed := make([]byte, len(rows))
			Pack(typ, packed, rows, in)
			want := ggml.Dequantize(typ, rows, int(in*out))
			numbers, sizes := weightsOf(typ, packed, in, out)
			for i, got := range numbers {
				w := float64(want[i]) // rounded to float32 two or three times
				if !math.IsNaN(got) && !math.IsInf(w, 0) && !(math.Abs(got-w) <= 0x1p-22*sizes[i]) || math.IsNaN(got) != math.IsNaN(w) {
					t.Fatalf("weight %d is %g, ggml's %g", i, got, w)
				}
			}
		})
	}
}
