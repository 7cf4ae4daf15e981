package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// stepDims are the keys' sizes for which amxStep has functions.
var stepDims = []int{64, 128}

// The registers of amxStep beside those of functions that multiply tiles, as avo must not take these
// for its own.
var (
	stepScores  = reg.R8  // of the column
	stepWeights = reg.R9  // their pieces
	stepMost    = reg.R10 // maxima
	stepSums    = reg.R11 // sums
)

// amxStep does softmax of a column, with the pieces of its weights, and computes the scores of the next
// column into other: in a tile of 32 cells that all vectors see, of finite numbers, without a soft cap.
// The products of tiles and the instructions on vectors are spread among each other, because one after
// the other they take the sum of their times. The bits are those of the functions that do one of both.
func amxStep(pieces, dims int) {
	name := fmt.Sprintf("opColumnStepAMX%dOf%d", pieces, dims)
	Text(name, name+" does softmax of a column, and multiplies the tile's keys with the queries of the next one.")
	MOVQ(U32(64), amxRow)
	Comment("the next column's queries have 1.5 times the bytes in pieces")
	MOVQ(f("dkb"), amxB)
	SHLQ(Imm(4), amxB)
	ADDQ(f("qp"), amxB)
	SUBQ(f("qs"), amxB)
	MOVQ(amxB, amxN)
	SHRQ(Imm(1), amxN)
	ADDQ(amxN, amxB)
	ADDQ(f("qa"), amxB)
	MOVQ(f("ka"), amxA)
	MOVQ(f("other"), amxC)
	MOVQ(f("scores"), stepScores)
	MOVQ(f("pa"), stepWeights)
	MOVQ(f("mp"), stepMost)
	MOVQ(f("lp"), stepSums)
	Comment("softmax and products of tiles in turns")
	spread(stepProducts(pieces, dims), stepSoftmax())
	Ret()
}

// spread emits all of both, and those of the shorter list between those of the longer one.
func spread(few, many []func()) {
	done := 0
	for i, emit := range many {
		emit()
		for ; done < len(few)*(i+1)/len(many); done++ {
			few[done]()
		}
	}
}

// stepProducts are the products of amxScores.
func stepProducts(pieces, dims int) (emit []func()) {
	add := func(f func()) { emit = append(emit, f) }
	add(func() {
		ZeroTile(amxSums)
		ZeroTile(amxSums + 1)
	})
	all := terms(pieces)
	for _, products := range [][]term{all[:len(all)-1], all[len(all)-1:]} {
		for d := range dims / 32 {
			for i := range 3 {
				if i == 0 || len(products) > 1 {
					add(func() { loadAMX(amxRight+i, amxB, tileBytes*(3*d+i)) })
				}
			}
			for block := range 2 {
				for i, p := range products {
					disp := tileBytes * (pieces*(2*d+block) + p.a)
					if i == 0 || p.a != products[i-1].a {
						add(func() { loadAMX(amxLeft+(block+p.a)%3, amxA, disp) })
					}
					add(func() { MultiplyHalves(amxSums+block, amxLeft+(block+p.a)%3, amxRight+p.b) })
				}
			}
		}
	}
	add(func() {
		storeAMX(amxSums, amxC, 0)
		storeAMX(amxSums+1, amxC, tileBytes)
	})
	return emit
}

// stepSoftmax is columnSoftmax for 32 cells, and splitRows.
func stepSoftmax() (emit []func()) {
	add := func(f func()) { emit = append(emit, f) }
	i := isas[1]
	row := func(c int) Mem { return At(stepScores, c*columnBytes) }
	var m, upper reg.VecVirtual
	most, sums := make([]reg.VecVirtual, 4), make([]reg.VecVirtual, 4)
	add(func() {
		old := i.Loaded(At(stepMost, 0))
		for j := range most {
			most[j] = i.Vec()
			VMAXPS(row(j), old, most[j])
		}
	})
	for c := 4; c < 32; c += 4 {
		add(func() {
			for j, m := range most {
				VMAXPS(row(c+j), m, m)
			}
		})
	}
	add(func() {
		old := i.Loaded(At(stepMost, 0))
		VMAXPS(most[1], most[0], most[0])
		VMAXPS(most[3], most[2], most[2])
		m = most[0]
		VMAXPS(most[2], m, m)
		VMOVUPS(m, At(stepMost, 0))
		VSUBPS(m, old, old)
		i.exp2(old)
		VMOVUPS(old, At(stepWeights, 3*tileBytes))
		upper = i.Loaded(constants.upper)
		for j := range sums {
			sums[j] = i.Zero()
		}
	})
	for c := range 32 {
		add(func() {
			x := i.Loaded(row(c))
			VSUBPS(m, x, x)
			i.exp2(x)
			VMOVUPS(x, row(c))
			VADDPS(x, sums[c%4], sums[c%4])
			if c >= 16 {
				storePieces(i.Loaded(row(c-16)), x, upper, 3, At(stepWeights, 64*(c-16)))
			}
		})
	}
	add(func() {
		VADDPS(sums[2], sums[0], sums[0])
		VADDPS(sums[3], sums[1], sums[1])
		VADDPS(sums[1], sums[0], sums[0])
		l := i.Loaded(At(stepSums, 0))
		VFMADD213PS(sums[0], i.Loaded(At(stepWeights, 3*tileBytes)), l)
		VMOVUPS(l, At(stepSums, 0))
	})
	return emit
}
