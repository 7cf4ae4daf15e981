package product

import "math"

// fma returns a·b + c, rounded once, as the processor's FMA of float32 does.
//
// A product of two float32 is exact in float64. The sum is rounded to odd there: if it is not exact,
// its last bit is 1. Such a number is no midpoint between two float32 unless the exact sum is one, so
// that rounding it again rounds the exact sum (Boldo and Melquiond 2008, "Emulation of a FMA and
// correctly rounded sums").
func fma(a, b, c float32) float32 {
	p, x := float64(a)*float64(b), float64(c)
	s := p + x
	if s-s != 0 { // infinite or NaN
		return float32(s)
	}
	// What s lacks, exactly (Knuth's two-sum).
	v := s - p
	rest := (p - (s - v)) + (x - v)
	if bits := math.Float64bits(s); rest != 0 && bits&1 == 0 {
		if (rest > 0) == (s > 0) {
			bits++
		} else {
			bits--
		}
		s = math.Float64frombits(bits)
	}
	return float32(s)
}
