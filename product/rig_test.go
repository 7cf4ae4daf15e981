package product

import (
	"math/rand/v2"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
)

func seeded(parts ...int) *rand.Rand {
	h := uint64(1)
	for _, p := range parts {
		h = h*1099511628211 + uint64(p)
	}
	return rand.New(rand.NewPCG(h, 7))
}

// normal returns n numbers.
func normal(rng *rand.Rand, n int, size float64) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(rng.NormFloat64() * size)
	}
	return s
}

// quantized returns rows of a type as they are in a file.
func quantized(t testing.TB, typ ggml.Type, x []float32, in int) []byte {
	t.Helper()
	rows, err := ggml.Quantize(typ, x, int64(in))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
