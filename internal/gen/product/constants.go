package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/operand"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// constants are the words of what is 64 bytes in memory, by what they repeat. emitted are those of them
// that are in the file.
var (
	constants = map[string]func(i int) uint32{}
	emitted   = map[string]Mem{}
)

func words(name string, word func(i int) uint32) { constants[name] = word }

func floats(name string, v float32) { words(name, func(int) uint32 { return math.Float32bits(v) }) }

// newConstants says what the constants are.
func newConstants() {
	for _, b := range []int{1, 2, 3, 4, 8, 15, 16, 32, 48, 63, 128} {
		words(fmt.Sprintf("bytes%d", b), func(int) uint32 { return 0x01010101 * uint32(b) })
	}
	for _, w := range []int{1, 2, 15, 32, 48, 255} {
		words(fmt.Sprintf("words%d", w), func(int) uint32 { return uint32(w) })
	}
	words("magnitude", func(int) uint32 { return 0x7fffffff })
	words("sign", func(int) uint32 { return 0x80000000 })
	words("eighth", func(int) uint32 { return 0x00200000 }) // 2^-128 in f32: MXFP4's smallest scale
	floats("f127", 127)
	floats("f1", 1)
	floats("fMinus126", -126)
	gluConstants()
	narrowConstants()
	for i, v := range Exp2 {
		floats(fmt.Sprintf("exp%d", i), float32(v))
	}
	// The bits of the index, each 4 bits high in a byte of its own: 5th bits of 4 codes.
	words("spread", func(i int) uint32 {
		return uint32(i&1)<<4 | uint32(i>>1&1)<<12 | uint32(i>>2&1)<<20 | uint32(i>>3&1)<<28
	})
	table := func(name string, values [16]int, offset int) {
		words(name, func(i int) (w uint32) {
			for b := range 4 {
				w |= uint32(uint8(values[i%4*4+b]+offset)) << (8 * b)
			}
			return w
		})
	}
	table("iq4nl", [16]int{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}, 128)
	table("mxfp4", [16]int{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}, 16)
}

// con returns a constant, which it emits if it is not in the file yet.
func con(name string) Mem {
	if m, ok := emitted[name]; ok {
		return m
	}
	word, ok := constants[name]
	if !ok {
		panic("no constant " + name)
	}
	emitted[name] = Words(name, word)
	return emitted[name]
}
