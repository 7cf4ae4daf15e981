package product

import (
	"encoding/binary"
	"math"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/seed4d217819/ebb/ggml"
)

// goPlainOp returns the address of plain for C. It is made once, because callbacks are never freed.
var goPlainOp = sync.OnceValue(func() uintptr {
	return purego.NewCallback(func(dst *tensor, thread, threads int32, _ uintptr) uintptr {
		plain(dst, int(thread), int(threads))
		return 0 // ggml takes no result; a callback on Windows must have one
	})
})

// plain computes Plain. Each thread computes every threads-th row of weights.
func plain(dst *tensor, thread, threads int) {
	w, x := dst.src[0], dst.src[1]
	in, tokens := int(w.ne[0]), int(x.ne[1]*x.ne[2]*x.ne[3])
	weights := make([]float32, in)
	for r := thread; r < int(w.ne[1]); r += threads {
		w.plainRow(weights, r)
		for t := range tokens {
			dst.token(t, int(dst.ne[0]))[r] = plainSum(weights, x.token(t, in))
		}
	}
}

// plainRow reads a row of weights.
func (t *tensor) plainRow(dst []float32, row int) {
	typ := ggml.Type(t.typ)
	size := int(typ.RowSize(1))
	src := unsafe.Slice((*byte)(unsafe.Add(t.data, row*int(t.nb[1]))), len(dst)*size)
	for i := range dst {
		switch typ {
		case ggml.F16:
			dst[i] = float16(src[2*i:])
		case ggml.BF16:
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		default:
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	}
}

// plainSum returns the product of a row of weights and a token.
func plainSum(w, x []float32) float32 {
	var sums [plainLanes]float32
	for i, v := range w {
		sums[i%plainLanes] = fma(v, x[i], sums[i%plainLanes])
	}
	for n := plainLanes / 2; n > 0; n /= 2 {
		for j := range n {
			sums[j] += sums[j+n]
		}
	}
	return sums[0]
}
