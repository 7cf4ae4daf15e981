package product

import (
	"math"
	"unsafe"
)

// activations are quantised tokens in memory: see layout.go.
type activations struct {
	base       unsafe.Pointer
	in, tokens int
}

func activationsIn(t *tensor, in, tokens int32) activations {
	past := uintptr(t.data) & 63
	return activations{unsafe.Add(t.data, (64-past)&63), int(in), int(tokens)}
}

// reset sets the counters to zero, for thread 0.
func (a activations) reset(thread int) {
	if thread == 0 {
		*(*[counters]int32)(a.base) = [counters]int32{}
	}
}

// block is 32 values of a token.
type block struct {
	tile  unsafe.Pointer // the block of all its tokens
	n, at int            // tokens of the tile, and which one it is
}

func (a activations) block(token, b int) block {
	tile := token / tileTokens * tileTokens // first token
	n := min(tileTokens, a.tokens-tile)
	return block{unsafe.Add(a.base, tilesOffset+(a.in/blockValues*tile+b*n)*tokenBlock), n, token - tile}
}

func (b block) codes() *[blockValues]int8 {
	return (*[blockValues]int8)(unsafe.Add(b.tile, blockValues*b.at))
}

// number returns the address of the i-th number behind the codes.
func (b block) number(i int) unsafe.Pointer {
	return unsafe.Add(b.tile, (blockValues+4*i)*b.n+4*b.at)
}

func (b block) scale() *float32 { return (*float32)(b.number(0)) }
func (b block) all() *int32     { return (*int32)(b.number(1)) }
func (b block) low() *int32     { return (*int32)(b.number(2)) }
func (b block) sum() *float32   { return (*float32)(b.number(3)) }

// quantise quantises a token's values.
func (a activations) quantise(token int, x []float32) {
	for b := range a.in / blockValues {
		a.block(token, b).quantise(x[b*blockValues:][:blockValues])
	}
}

// quantise writes 32 values, in units of the largest one over 127. It is NaN if a value is not
// finite, and 0 if all are smaller than 2^-100, where units would lose bits.
func (b block) quantise(x []float32) {
	const infinite = 0x7f800000
	most := uint32(0) // bits of the largest |x|; those of NaN are larger than any number's
	for _, v := range x {
		most = max(most, math.Float32bits(v)&^(1<<31))
	}
	d, inverse := float32(0), float32(0)
	switch mx := math.Float32frombits(most); {
	case most >= infinite:
		d = float32(math.NaN())
	case mx >= 0x1p-100:
		d, inverse = mx/127, 127/mx
	}
	q, low, all := b.codes(), int32(0), int32(0)
	for i, v := range x {
		c := int32(0)
		if inverse != 0 {
			c = int32(math.RoundToEven(float64(v * inverse)))
		}
		q[i] = int8(c)
		all += c
		if i < blockValues/2 {
			low += c
		}
	}
	*b.scale(), *b.all(), *b.low(), *b.sum() = d, -all, -low, d*float32(all)
}
