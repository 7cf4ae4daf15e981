package product

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/seed4d217819/ebb/isa"
)

// A value that is not finite makes its token's results NaN, and touches no other token.
func TestWhatIsNotFiniteStaysInItsToken(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 1)
		for _, typ := range types {
			const in, tokens = 512, 21
			w := newMatrix(t, seeded(int(typ)), typ, in, 64)
			x := input(0, in*tokens, int(typ))
			for _, n := range []int{3, tokens} {
				r.reset()
				want := r.machine(set, 1).of(w, x[:in*n])
				for i, v := range oddities[:3] {
					odd := append([]float32{}, x[:in*n]...)
					bad := i * (n - 1) / 2
					odd[in*bad+100*i] = v
					for j, got := range r.machine(set, 1).of(w, odd) {
						switch token := j / w.out; {
						case token == bad && got == got:
							t.Fatalf("%v, %g among %d tokens: result %d of its token is %g", w, v, n, j%w.out, got)
						case token != bad && !same(got, want[j]):
							t.Fatalf("%v, %g in token %d: result %d of token %d is %g, want %g", w, v, bad, j%w.out, token, got, want[j])
						}
					}
				}
			}
		}
	})
}

// Scales that are not finite make their row's results so, and touch no other row. The bits are those
// of the operations in Go, where they are numbers.
func TestWhatIsNotFiniteStaysInItsRow(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 1)
		for _, typ := range types {
			if len(formats[typ].halves()) == 0 {
				continue // each scale is a number
			}
			const in, bad = 512, 37
			w := newMatrix(t, seeded(int(typ)), typ, in, 64)
			for _, tokens := range []int{2, 20} {
				r.reset()
				x := input(0, in*tokens, int(typ))
				want := r.machine(set, 1).of(w, x)
				for _, at := range formats[typ].halves() {
					for _, half := range []uint16{0x7C00, 0xFC00, 0x7E00, 0x7C01} { // ±Inf, NaN, and a signalling one
						file := append([]byte{}, w.file...)
						binary.LittleEndian.PutUint16(file[len(file)/w.out*bad+int(at):], half)
						odd := matrixOf(typ, in, w.out, file)
						for j, got := range r.machine(set, 1).of(odd, x) {
							switch row := j % w.out; {
							case row == bad && !math.IsNaN(float64(got)) && !math.IsInf(float64(got), 0):
								t.Fatalf("%v, %#x at %d: its row's result is %g", w, half, at, got)
							case row != bad && !same(got, want[j]):
								t.Fatalf("%v, %#x at %d: row %d is %g, want %g", w, half, at, row, got, want[j])
							}
						}
					}
				}
			}
		}
	})
}

// halves returns where a block has numbers of half precision.
func (f format) halves() (at []int64) {
	for _, p := range f.fields {
		scales := f.kind == symmetric && f.values == 256 && p.at == 2 // IQ4_XS has bits of whole numbers there
		if p.size == 2 && !scales {
			at = append(at, p.at)
		}
	}
	return at
}
