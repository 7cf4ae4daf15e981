package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// columnDims are the keys' sizes for which scores of columns have functions without a loop over the
// numbers of a key. The function for 0 takes all sizes.
var columnDims = []int{0, 64, 128}

// columnName is the name of the function of a stage for keys of some size.
func (i isa) columnName(stage string, dims int) string {
	if dims == 0 {
		return fmt.Sprintf("opColumn%s%s", stage, i.Name)
	}
	return fmt.Sprintf("opColumn%sOf%d%s", stage, dims, i.Name)
}

// keys are some of the tile's keys, which are multiplied with a column's queries at the same time.
type keys struct {
	isa  isa
	dims int             // numbers of a key, or 0: as many as the frame says
	at   []reg.GPVirtual // where each key is; with dims, where the first one is
	row  reg.GPVirtual   // bytes of a key
	sums reg.GPVirtual   // where the scores go
}

const keysAtATime = 4

// columnScores computes the products of the tile's keys with a column's queries, as [cells][16]: some
// cells at a time, each number of a key with a row of the queries.
func (i isa) columnScores(dims int) {
	name := i.columnName("Scores", dims)
	Text(name, name+" multiplies the tile's keys with a column's queries.")
	k := keys{isa: i, dims: dims, at: []reg.GPVirtual{load("kt")}, row: load("dkb"), sums: load("scores")}
	for c := 1; c < keysAtATime && dims == 0; c++ {
		next := Copied(k.at[c-1])
		ADDQ(k.row, next)
		k.at = append(k.at, next)
	}
	left := load("tn")
	loop := Mark("cells")
	k.multiply()
	ADDQ(Int(keysAtATime*columnBytes), k.sums)
	step := Copied(k.row)
	SHLQ(Imm(2), step)
	for _, p := range k.at {
		ADDQ(step, p)
	}
	SUBQ(Int(keysAtATime), left)
	JG(LabelRef(loop))
	Ret()
}

// laneSums are sums of products, one of each key.
type laneSums [keysAtATime]reg.VecVirtual

// multiply stores the keys' products with the queries.
//
// A group sums the products of a vector in 16 lanes, and then adds these up: the two halves, the halves
// of that, and the last four in pairs of neighbours. Here the same sums are taken one after the other,
// and two are added as soon as both are there.
func (k keys) multiply() {
	first := add(k.everyFourth(0), k.everyFourth(1))
	for c, s := range add(first, add(k.everyFourth(2), k.everyFourth(3))) {
		VMOVUPS(s, At(k.sums, c*columnBytes))
	}
}

// everyFourth returns the sum of the lanes l, l+4, l+8 and l+12.
func (k keys) everyFourth(l int) laneSums {
	first := add(k.lane(l), k.lane(l+8))
	return add(first, add(k.lane(l+4), k.lane(l+12)))
}

// add adds b to a.
func add(a, b laneSums) laneSums {
	for c := range a {
		VADDPS(b[c], a[c], a[c])
	}
	return a
}

// lane returns the sums of the products of the numbers l, l+16, ….
func (k keys) lane(l int) (sums laneSums) {
	q := load("qp")
	product := func(d int) {
		queries := k.isa.Loaded(At(q, d*columnBytes))
		for c, s := range sums {
			x := At(k.at[0], 4*(c*k.dims+d))
			if k.dims == 0 {
				x = At(k.at[c], 4*d)
			}
			if s == nil {
				sums[c] = k.isa.Vec()
				VMULPS_BCST(x, queries, sums[c])
			} else {
				VFMADD231PS_BCST(x, queries, s)
			}
		}
	}
	product(l)
	if k.dims > 0 {
		for d := l + 16; d < k.dims; d += 16 {
			product(d)
		}
		return sums
	}
	n := Copied(k.row)
	SUBQ(Imm(64), n)
	for _, steps := range []int{4, 1} {
		more, fewer := NewLabel("more"), NewLabel("fewer")
		Label(more)
		SUBQ(Int(64*steps), n)
		JLT(LabelRef(fewer))
		for step := range steps {
			product(l + 16*(step+1))
		}
		for _, p := range k.at {
			ADDQ(Int(64*steps), p)
		}
		ADDQ(Int(16*columnBytes*steps), q)
		JMP(LabelRef(more))
		Label(fewer)
		ADDQ(Int(64*steps), n)
	}
	back := Copied(k.row)
	SUBQ(Imm(64), back)
	for _, p := range k.at {
		SUBQ(back, p)
	}
	return sums
}
