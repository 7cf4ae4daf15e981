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
//	  Pair g holds values 4g to 4g+3, plus 128.
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
	values int64 // of a unit
	bytes  int64 // of a row's unit
}

// formats are the types that there are kernels for.
var formats = map[ggml.Type]format{}
