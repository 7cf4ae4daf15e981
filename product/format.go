package product

import "github.com/seed4d217819/ebb/ggml"

// format is how the weights of a type lie in a panel.
//
// A panel is 32 rows; it consists of units, one behind the other, each of which holds the rows' next
// 32 values, or 256 of the K-quants. A unit has exactly the bits that the rows have in the file, in
// another order: first the codes, then planes of further bits, then scales.
//
// A vector is 64 bytes: for each of 16 rows one word of 4 bytes of that row. Vectors come in pairs:
// the first is rows 0 to 15, the second rows 16 to 31. Below, "codes [n]" are n pairs, "words [n]"
// n times 32 words of 4 bytes, "halves" 32 numbers of 2 bytes and "bytes" 32 of one, by row.
//
//	Q4_0    codes [4], halves d
//	Q4_1    codes [4], halves d, halves m
//	Q5_0    codes [4], words [1] qh, halves d
//	Q5_1    codes [4], words [1] qh, halves d, halves m
//	IQ4_NL  like Q4_0
//	MXFP4   codes [4], bytes e
//	  Pair g holds bytes 4g to 4g+3 of qs, as in the file: low nibbles are values 4g to 4g+3, high
//	  nibbles values 16+4g to 16+4g+3. Bit j of qh belongs to value j.
//	Q8_0    codes [8], halves d
//	  Pair g holds values 4g to 4g+3, plus 128: their highest bits are flipped.
//	Q4_K    codes [4][8], words [3] scales, halves d, halves dmin
//	Q5_K    codes [4][8], codes [8] qh, words [3] scales, halves d, halves dmin
//	  Pair [c][g] holds bytes 32c+4g to 32c+4g+3 of qs: low nibbles are values 4g to 4g+3 of block 2c,
//	  high nibbles those of block 2c+1. Bit b of the bytes of qh belongs to block b.
//	Q6_K    codes [2][2][8], codes [2][8] qh, words [4] scales, halves d
//	  Pair [h][q][g] holds bytes 64h+32q+4g to 64h+32q+4g+3 of ql: low nibbles are of block 4h+q, high
//	  nibbles of block 4h+q+2. Bits 2b and 2b+1 of the bytes of qh [h] belong to block 4h+b.
//	Q2_K    codes [2][8], words [4] scales, halves d, halves dmin
//	Q3_K    codes [2][8], codes [8] hmask, words [3] scales, halves d
//	  Bits 2b and 2b+1 of the bytes of pair [h][g] are values 4g to 4g+3 of block 4h+b.
//	IQ4_XS  codes [8][4], words [1] scales_l, halves scales_h, halves d
//	  Each block of 32 like Q4_0.
type format struct {
	kind   kind
	values int64 // of a unit
	bytes  int64 // of a row's unit
	offset int32 // weights are d·(code - offset), and codes are 0 to 255
	fields []field
}

// kind says which numbers belong to 32 values of a row.
type kind int

const (
	symmetric   kind = iota // a scale
	minimum                 // a scale and a minimum
	symmetric16             // two scales, of 16 values each
	minimum16               // two scales and two minimums
)

// field is a part of a row's unit: n numbers, one behind the other in the file. In a unit of a panel
// the first number of all rows is followed by the second of all rows, and so on.
type field struct {
	at   int64 // in the file's block
	n    int64
	size int64  // bytes of a number: 1, 2 or 4
	flip uint32 // bits of the numbers that are flipped
}

// formats are the types that there are kernels for.
var formats = map[ggml.Type]format{
	ggml.Q4_0:   small(symmetric, 18, 8, words(2, 4), half(0)),
	ggml.Q4_1:   small(minimum, 20, 0, words(4, 4), half(0), half(2)),
	ggml.Q5_0:   small(symmetric, 22, 16, words(6, 4), words(2, 1), half(0)),
	ggml.Q5_1:   small(minimum, 24, 0, words(8, 4), words(4, 1), half(0), half(2)),
	ggml.Q8_0:   small(symmetric, 34, 128, field{at: 2, n: 8, size: 4, flip: 0x80808080}, half(0)),
	ggml.IQ4_NL: small(symmetric, 18, 128, words(2, 4), half(0)), // codes are of the table of values
	ggml.MXFP4:  small(symmetric, 17, 16, words(1, 4), field{at: 0, n: 1, size: 1}),

	ggml.Q4_K:   large(minimum, 144, 0, words(16, 32), words(4, 3), half(0), half(2)),
	ggml.Q5_K:   large(minimum, 176, 0, words(48, 32), words(16, 8), words(4, 3), half(0), half(2)),
	ggml.Q6_K:   large(symmetric16, 210, 32, words(0, 32), words(128, 16), words(192, 4), half(208)),
	ggml.Q2_K:   large(minimum16, 84, 0, words(16, 16), words(0, 4), half(80), half(82)),
	ggml.Q3_K:   large(symmetric16, 110, 4, words(32, 16), words(0, 8), words(96, 3), half(108)),
	ggml.IQ4_XS: large(symmetric, 136, 128, words(8, 32), words(4, 1), half(2), half(0)),
}

// small is the format of a type whose units are 32 values.
func small(k kind, bytes int64, offset int32, fields ...field) format {
	return format{k, 32, bytes, offset, fields}
}

// large is the format of a type whose units are 8 blocks of 32 values.
func large(k kind, bytes int64, offset int32, fields ...field) format {
	return format{k, 256, bytes, offset, fields}
}

func words(at, n int64) field { return field{at: at, n: n, size: 4} }
func half(at int64) field     { return field{at: at, n: 1, size: 2} }
