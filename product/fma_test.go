package product

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactFMA is a·b + c with all bits, rounded once.
func exactFMA(a, b, c float32) float32 {
	exact := func(x float32) *big.Float { return new(big.Float).SetPrec(700).SetFloat64(float64(x)) }
	s := exact(a)
	s.Mul(s, exact(b)).Add(s, exact(c))
	f, _ := s.Float32()
	return f
}

func TestFMARoundsOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	tiny := math.Float32frombits(1)
	nasty := []float32{0, 1, 3, 1 + 0x1p-23, 1 - 0x1p-24, 0x1p-12, 1 + 0x1p-12, 0x1p-24, 0x1p-25, 0x1p-48, 0x1p-126, 0x1p-126 - tiny, tiny, 3 * tiny, math.MaxFloat32, 0x1p127, 0x1p60, 0x1p100}
	operand := func() float32 {
		x := nasty[rng.IntN(len(nasty))]
		switch rng.IntN(6) {
		case 0:
			x = float32(rng.NormFloat64())
		case 1: // any number
			for {
				if x = math.Float32frombits(rng.Uint32()); x-x == 0 {
					break
				}
			}
		case 2: // few bits
			x = float32(rng.IntN(1<<12)) * float32(math.Ldexp(1, rng.IntN(60)-30))
		}
		if rng.IntN(2) == 0 {
			x = -x
		}
		return x
	}
	for range 400_000 {
		a, b, c := operand(), operand(), operand()
		switch rng.IntN(4) {
		case 0: // near cancellation
			c = -float32(float64(a) * float64(b))
		case 1: // far below the product's last bit, or the product below c's
			c = float32(float64(a) * float64(b) * math.Ldexp(1, rng.IntN(100)-50))
		}
		if c-c != 0 {
			continue
		}
		want := exactFMA(a, b, c)
		if got := fma(a, b, c); got != want {
			t.Fatalf("%x·%x + %x: got %x, want %x", a, b, c, got, want)
		}
	}
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, x := range []struct{ a, b, c, want float32 }{
		{inf, 1, 1, inf},
		{1, -inf, 1, -inf},
		{1, 1, inf, inf},
		{inf, 1, -inf, nan},
		{0, inf, 1, nan},
		{nan, 1, 1, nan},
		{1, 1, nan, nan},
		{math.MaxFloat32, math.MaxFloat32, -inf, -inf},
		{math.MaxFloat32, 2, 0, inf},
	} {
		if got := fma(x.a, x.b, x.c); got != x.want && (got == got || x.want == x.want) {
			t.Errorf("%g·%g + %g: got %g, want %g", x.a, x.b, x.c, got, x.want)
		}
	}
}
