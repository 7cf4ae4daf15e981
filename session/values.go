package session

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// valueType is a type that K/V are kept in. Its values come in blocks: one value each, or for the
// quantised types 32 with a scale in front.
type valueType struct {
	name   string // as in [Header]
	dtype  string // in safetensors; "": the format has no such type
	values int    // of a block
	bytes  int    // of a block
	decode func(to []float32, from []byte)
	encode func(to []byte, from []float32) (fit bool) // rounds to the nearest; whether all values are in range
}

func valueTypes() []valueType {
	return []valueType{
		{"f32", "F32", 1, 4, decodeF32, encodeF32},
		{"f16", "F16", 1, 2, decodeF16, encodeF16},
		{"bf16", "BF16", 1, 2, decodeBF16, encodeBF16},
		{"q8_0", "", quantised, 2 + quantised, decodeQ8, encodeQ8},
		{"q4_0", "", quantised, 2 + quantised/2, decodeQ4, encodeQ4},
	}
}

// quantised is how many values share a scale.
const quantised = 32

func findValueType(is func(valueType) bool) (valueType, bool) {
	for _, t := range valueTypes() {
		if is(t) {
			return t, true
		}
	}
	return valueType{}, false
}

// typeNamed returns the K/V type of that name.
func typeNamed(name string) (valueType, error) {
	t, ok := findValueType(func(t valueType) bool { return t.name == name })
	if !ok {
		var names []string
		for _, t := range valueTypes() {
			names = append(names, t.name)
		}
		return t, fmt.Errorf("session: unknown K/V type %q: want one of %s", name, strings.Join(names, ", "))
	}
	return t, nil
}

// dim returns how many values n bytes are.
func (t valueType) dim(n int64) int { return int(n) / t.bytes * t.values }

// size returns the bytes of n values, a multiple of a block.
func (t valueType) size(n int) int { return n / t.values * t.bytes }

// Exact reports whether every value of one K/V type is a value of another.
func Exact(from, to string) bool { return from == to || to == "f32" }

func decodeF32(to []float32, from []byte) {
	for i := range to {
		to[i] = math.Float32frombits(binary.LittleEndian.Uint32(from[4*i:]))
	}
}

func encodeF32(to []byte, from []float32) bool {
	for i, x := range from {
		binary.LittleEndian.PutUint32(to[4*i:], math.Float32bits(x))
	}
	return true
}

func decodeF16(to []float32, from []byte) {
	for i := range to {
		to[i] = fromHalf(binary.LittleEndian.Uint16(from[2*i:]))
	}
}

func encodeF16(to []byte, from []float32) bool {
	fit := true
	for i, x := range from {
		h := half(x)
		fit = fit && !infinite(h)
		binary.LittleEndian.PutUint16(to[2*i:], h)
	}
	return fit
}

func decodeBF16(to []float32, from []byte) {
	for i := range to {
		to[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(from[2*i:])) << 16)
	}
}

func encodeBF16(to []byte, from []float32) bool {
	const infinity = 0x7f80
	fit := true
	for i, x := range from {
		b := math.Float32bits(x)
		if x != x {
			b |= 1 << 22 // stays NaN
		} else {
			b += 0x7fff + b>>16&1 // to the nearest, ties to even
		}
		fit = fit && b>>16&0x7fff != infinity
		binary.LittleEndian.PutUint16(to[2*i:], uint16(b>>16))
	}
	return fit
}

// decodeQ8 reads blocks of a scale in f16 and 32 signed bytes.
func decodeQ8(to []float32, from []byte) {
	for ; len(to) > 0; to, from = to[quantised:], from[2+quantised:] {
		scale := fromHalf(binary.LittleEndian.Uint16(from))
		for i := range quantised {
			to[i] = float32(int8(from[2+i])) * scale
		}
	}
}

func encodeQ8(to []byte, from []float32) bool {
	fit := true
	for ; len(from) > 0; to, from = to[2+quantised:], from[quantised:] {
		scale, inverse := scaleOf(abs(largest(from[:quantised])), 127)
		binary.LittleEndian.PutUint16(to, half(scale))
		fit = fit && !infinite(half(scale))
		for i, x := range from[:quantised] {
			to[2+i] = byte(int8(math.Round(float64(x * inverse))))
		}
	}
	return fit
}

// decodeQ4 reads blocks of a scale in f16 and 32 numbers of 4 bits, 8 more than their value: the first
// 16 are the low halves of the bytes.
func decodeQ4(to []float32, from []byte) {
	const n = quantised / 2
	for ; len(to) > 0; to, from = to[quantised:], from[2+n:] {
		scale := fromHalf(binary.LittleEndian.Uint16(from))
		for i := range n {
			to[i], to[i+n] = float32(int(from[2+i]&15)-8)*scale, float32(int(from[2+i]>>4)-8)*scale
		}
	}
}

func encodeQ4(to []byte, from []float32) bool {
	const n = quantised / 2
	fit := true
	for ; len(from) > 0; to, from = to[2+n:], from[quantised:] {
		scale, inverse := scaleOf(largest(from[:quantised]), -8)
		binary.LittleEndian.PutUint16(to, half(scale))
		fit = fit && !infinite(half(scale))
		bits := func(x float32) byte { return byte(min(15, int(x*inverse+8.5))) }
		for i := range n {
			to[2+i] = bits(from[i]) | bits(from[i+n])<<4
		}
	}
	return fit
}

// scaleOf returns the scale with which a value becomes a whole number, and its inverse.
func scaleOf(value, whole float32) (scale, inverse float32) {
	if scale = value / whole; scale != 0 {
		inverse = 1 / scale
	}
	return scale, inverse
}

// largest returns the value that is farthest from 0.
func largest(values []float32) (most float32) {
	for _, x := range values {
		if abs(x) > abs(most) {
			most = x
		}
	}
	return most
}

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// half returns the number of 16 bits that is nearest to x, of two the even one.
func half(x float32) uint16 {
	b := math.Float32bits(x)
	sign, b := uint16(b>>16)&0x8000, b&^(1<<31)
	switch {
	case x != x:
		return sign | 0x7e00
	case b >= 0x47800000: // 65536
		return sign | 0x7c00
	case b >= 0x38800000: // 2^-14, the least normal one; rounding may carry to infinity
		return sign | uint16((b+0xfff+b>>13&1-112<<23)>>13)
	default:
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(b))*(1<<24)))
	}
}

func infinite(h uint16) bool { return h&0x7fff == 0x7c00 }

func fromHalf(h uint16) float32 {
	sign, exponent, fraction := uint32(h&0x8000)<<16, uint32(h>>10&31), uint32(h&0x3ff)
	switch exponent {
	case 0:
		return math.Float32frombits(math.Float32bits(float32(fraction)/(1<<24)) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	default:
		return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
	}
}
