package product

import (
	"math"
	"testing"

	"github.com/seed4d217819/ebb/isa"
)

// Any shape, any bytes of weights and any values: every instruction set gives the bits of the
// operations in Go, and only a row or token with a number that is not finite has such results.
func FuzzProduct(f *testing.F) {
	f.Add(uint16(0), byte(0), byte(0), byte(0), byte(0), []byte("weights"), []byte("values"))
	f.Add(uint16(3), byte(2), byte(1), byte(16), byte(1), []byte{0xFF, 0x7C, 0}, []byte{0, 0, 0x80, 0x7F})
	f.Add(uint16(11), byte(8), byte(2), byte(39), byte(4), []byte{}, []byte{1, 0, 0, 0, 0xFF, 0xFF, 0x7F, 0x7F})
	f.Fuzz(func(t *testing.T, seed uint16, units, panels, tokens, threads byte, weights, values []byte) {
		typ := types[int(seed)%len(types)]
		in := (int(units)%12 + 1) * int(formats[typ].values)
		out, n := (int(panels)%3+1)*Rows, int(tokens)%40+1
		rng := seeded(int(seed), in)
		file := randomBytes(rng, int64(out)*typ.RowSize(int64(in)))
		if seed%2 == 0 {
			file = newMatrix(t, rng, typ, in, out).file
		}
		for i := 0; i < len(weights) && i < len(file); i++ { // scales are among the first bytes, or the last
			file[i*7%len(file)] = weights[i]
			file[len(file)-1-i] = weights[i]
		}
		w := matrixOf(typ, in, out, file)
		x := normal(rng, in*n)
		raw := bytesOf(x)
		for i, b := range values {
			raw[i*13%len(raw)] = b
		}
		r := newRig(t, 1)
		m := r.machine(isa.Go, 1)
		a := m.quantise(x, in)
		want := m.product(w, a, nil)
		finite := make([]bool, n)
		for token := range finite {
			finite[token] = true
			for _, d := range tokenOf(a, token).d {
				finite[token] = finite[token] && d == d
			}
		}
		for i, y := range want {
			if !finite[i/out] && y == y {
				t.Errorf("%v: token %d has NaN, and result %d is %g", w, i/out, i%out, y)
			}
		}
		other := m.product(w, m.quantise(normal(rng, in), in), nil) // rows that are not finite for another token
		for i, y := range want {
			row := i % out
			if finite[i/out] && math.IsNaN(float64(y)) && !math.IsNaN(float64(other[row])) && !math.IsInf(float64(other[row]), 0) && smallEnough(x[i/out*in:][:in]) {
				t.Errorf("%v: row %d of token %d is NaN, and for another token %g", w, row, i/out, other[row])
			}
		}
		for _, set := range vectorISAs() {
			m := r.machine(set, int(threads)%5+1)
			b := m.quantise(x, in)
			if err := sameTokens(b, a); err != nil {
				t.Errorf("%v: [%d, %d]: %v", set, in, n, err)
			}
			if err := sameBits(m.product(w, b, nil), want, out); err != nil {
				t.Errorf("%v: %v, %d tokens: %v", set, w, n, err)
			}
			if err := sameTokens(m.gateUp(w, w, b), r.machine(isa.Go, 1).gateUp(w, w, a)); err != nil {
				t.Errorf("%v: gate and up %v, %d tokens: %v", set, w, n, err)
			}
		}
	})
}

// smallEnough reports whether products of values cannot leave float32.
func smallEnough(x []float32) bool {
	for _, v := range x {
		if v > 1e6 || v < -1e6 {
			return false
		}
	}
	return true
}
