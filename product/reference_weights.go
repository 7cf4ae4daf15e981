package product

import (
	"encoding/binary"
	"math"

	"github.com/seed4d217819/ebb/ggml"
)

// rowUnit is a row's unit of weights. The numbers of a block of 32 values are codes, from -128 to
// 127, and from 2·block on its scales and minimums: one, or two of 16 values each. A weight is
// d·code + m.
type rowUnit struct {
	codes [256]int8
	d, m  [16]float32
}

// readers read a row's unit from its bytes in the file.
var readers = map[ggml.Type]func(u *rowUnit, file []byte){
	ggml.Q4_0: func(u *rowUnit, file []byte) {
		u.d[0] = float16(file)
		u.nibbles(0, file[2:], func(code byte) int8 { return int8(code) - 8 })
	},
	ggml.Q4_1: func(u *rowUnit, file []byte) {
		u.d[0], u.m[0] = float16(file), float16(file[2:])
		u.nibbles(0, file[4:], func(code byte) int8 { return int8(code) })
	},
	ggml.Q5_0: func(u *rowUnit, file []byte) {
		u.d[0] = float16(file)
		u.nibbles(0, file[6:], func(code byte) int8 { return int8(code) - 16 })
		u.fifthBits(file[2:])
	},
	ggml.Q5_1: func(u *rowUnit, file []byte) {
		u.d[0], u.m[0] = float16(file), float16(file[2:])
		u.nibbles(0, file[8:], func(code byte) int8 { return int8(code) })
		u.fifthBits(file[4:])
	},
	ggml.Q8_0: func(u *rowUnit, file []byte) {
		u.d[0] = float16(file)
		for i, code := range file[2:34] {
			u.codes[i] = int8(code)
		}
	},
	ggml.IQ4_NL: func(u *rowUnit, file []byte) {
		u.d[0] = float16(file)
		u.nibbles(0, file[2:], func(code byte) int8 { return iq4Values[code] })
	},
	ggml.MXFP4: func(u *rowUnit, file []byte) {
		u.d[0] = float32(math.Ldexp(1, int(file[0])-128))
		u.nibbles(0, file[1:], func(code byte) int8 { return fp4Values[code] })
	},
	ggml.Q4_K:   func(u *rowUnit, file []byte) { u.q45K(file, file[16:], nil) },
	ggml.Q5_K:   func(u *rowUnit, file []byte) { u.q45K(file, file[48:], file[16:]) },
	ggml.Q6_K:   readQ6K,
	ggml.Q2_K:   readQ2K,
	ggml.Q3_K:   readQ3K,
	ggml.IQ4_XS: readIQ4XS,
}

// The values of the codes of the types that have tables of them. MXFP4's are doubled, for which its
// scale is halved (OCP Microscaling Formats 1.0).
var (
	iq4Values = [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}
	fp4Values = [16]int8{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}
)

// nibbles reads a block of 16 bytes: the low nibbles are its first half.
func (u *rowUnit) nibbles(block int, src []byte, value func(code byte) int8) {
	codes := u.codes[32*block:]
	for i, b := range src[:16] {
		codes[i], codes[16+i] = value(b&15), value(b>>4)
	}
}

// fifthBits adds bit j of src to code j.
func (u *rowUnit) fifthBits(src []byte) {
	bits := binary.LittleEndian.Uint32(src)
	for j := range 32 {
		u.codes[j] += int8(bits>>j&1) << 4
	}
}

// q45K reads Q4_K, or Q5_K if there are high bits.
func (u *rowUnit) q45K(file, low, high []byte) {
	d, dmin, scales := float16(file), float16(file[2:]), file[4:16]
	for b := range 8 {
		var scale, least byte // 6 bits each: of the last four blocks, the upper two are those of the first four's bytes
		if b < 4 {
			scale, least = scales[b]&63, scales[b+4]&63
		} else {
			scale, least = scales[b+4]&15|scales[b-4]>>6<<4, scales[b+4]>>4|scales[b]>>6<<4
		}
		u.d[2*b], u.m[2*b] = d*float32(scale), -(dmin * float32(least))
		for i := range 32 {
			code := low[32*(b/2)+i] >> (4 * (b % 2)) & 15
			if high != nil {
				code |= high[i] >> b & 1 << 4
			}
			u.codes[32*b+i] = int8(code)
		}
	}
}

func readQ6K(u *rowUnit, file []byte) {
	low, high, scales, d := file[:128], file[128:192], file[192:208], float16(file[208:])
	for j, scale := range scales {
		u.d[j] = d * float32(int8(scale))
	}
	for b := range 8 {
		for i := range 32 {
			half := b / 4
			code := low[64*half+32*(b%2)+i] >> (4 * (b % 4 / 2)) & 15
			code |= high[32*half+i] >> (2 * (b % 4)) & 3 << 4
			u.codes[32*b+i] = int8(code) - 32
		}
	}
}

func readQ2K(u *rowUnit, file []byte) {
	scales, low, d, dmin := file[:16], file[16:80], float16(file[80:]), float16(file[82:])
	for j, scale := range scales {
		u.d[j], u.m[j] = d*float32(scale&15), -(dmin * float32(scale>>4))
	}
	for b := range 8 {
		for i := range 32 {
			u.codes[32*b+i] = int8(low[32*(b/4)+i] >> (2 * (b % 4)) & 3)
		}
	}
}

func readQ3K(u *rowUnit, file []byte) {
	high, low, scales, d := file[:32], file[32:96], file[96:108], float16(file[108:])
	for j := range 16 {
		scale := scales[j%8]>>(4*(j/8))&15 | scales[8+j%4]>>(2*(j/4))&3<<4
		u.d[j] = d * float32(int(scale)-32)
	}
	for b := range 8 {
		for i := range 32 {
			code := low[32*(b/4)+i]>>(2*(b%4))&3 | high[i]>>b&1<<2
			u.codes[32*b+i] = int8(code) - 4
		}
	}
}

func readIQ4XS(u *rowUnit, file []byte) {
	d, high, low := float16(file), binary.LittleEndian.Uint16(file[2:]), file[4:8]
	for b := range 8 {
		scale := int(low[b/2]>>(4*(b%2))&15) | int(high>>(2*b)&3)<<4
		u.d[2*b] = d * float32(scale-32)
		u.nibbles(b, file[8+16*b:], func(code byte) int8 { return iq4Values[code] })
	}
}

// float16 converts a half-precision number.
func float16(src []byte) float32 {
	h := binary.LittleEndian.Uint16(src)
	sign, exponent, fraction := uint32(h&0x8000)<<16, uint32(h>>10)&31, uint32(h&1023)
	switch exponent {
	case 0:
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)/(1<<24)))
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	default:
		return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
	}
}
