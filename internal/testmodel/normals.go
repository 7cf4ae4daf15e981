package testmodel

import (
	"hash/fnv"
	"math/rand/v2"
)

// normals returns n numbers with mean 0 and the given standard deviation, nearly normally
// distributed.
//
// They are sums of four 16-bit integers (Irwin and Hall) and not rand.NormFloat64: that one calls
// math.Exp and math.Log, whose last bits differ between platforms, while these sums are exact and
// rounded once for float64 and once for float32.
func normals(seed uint64, name string, n int, deviation float64) []float32 {
	const (
		mean  = 4 * 65535 / 2      // of the sum
		sigma = 37837.227201239956 // of the sum: √(4 · (65536² − 1) / 12)
	)
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	r := rand.New(rand.NewPCG(seed, h.Sum64()))
	scale := deviation / sigma
	x := make([]float32, n)
	for i := range x {
		u := r.Uint64()
		sum := int64(u&0xffff) + int64(u>>16&0xffff) + int64(u>>32&0xffff) + int64(u>>48)
		x[i] = float32(float64(sum-mean) * scale)
	}
	return x
}
