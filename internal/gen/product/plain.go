package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// plainFrame is the state of a product with weights of plain floats. It lies on the thread's stack.
var plainFrame = Structure{Name: "plainFrame", Doc: "plainFrame is the state of a product with weights of plain floats, on the stack of the thread.", Fields: []Field{
	{"sp", 1, "the stack pointer before it"},
	{"texts", 1, "the functions for the weights' type: for 1 to 6 tokens"},
	{"most", 1, "tokens at a time"},
	{"set", 1, "0: AVX2, 1: AVX-512"},
	{"w", 1, "the first row of weights"},
	{"wRow", 1, "bytes"},
	{"wLast", 1, "and the last row"},
	{"x", 1, "the first token"},
	{"xRow", 1, "bytes from one token to the next"},
	{"c", 1, "the result for row 0 of token 0"},
	{"cRow", 1, "bytes from one token's results to the next's"},
	{"rowEnd", 1, "past the thread's last row"},
	{"token0", 1, "the thread's first token"},
	{"tokenEnd", 1, "and past its last one"},
	{"blockRows", 1, "rows that all tokens are multiplied by before the next ones"},
	{"block", 1, "the first of them"},
	{"blockEnd", 1, ""},
	{"token", 1, "the first one at hand"},
	{"n", 1, "and how many"},
	{"row", 1, "the first one at hand"},
	{"r", 1, "and how many"},

	{"rows", 4, "addresses of the rows at hand, of which the last may stand several times"},
	{"tokens", 1, "address of the tokens at hand"},
	{"wBytes", 1, "of a row's values"},
	{"ahead", 1, "bytes from a row at hand to the one that comes next"},
	{"result", 1, "address of the result for the first of them"},
	{"mask", 2, "[4] i32: -1 for each row that has a result"},
}}

// p is a field of a plain frame in memory.
func p(name string) Mem { return plainFrame.InFrame(name) }

// plainType is a type of weights that are numbers.
type plainType struct {
	name   string
	number int // in ggml
	bytes  int
}

var plainTypes = []plainType{{"F32", 0, 4}, {"F16", 1, 2}, {"BF16", 30, 2}}

// plainSets are the instruction sets of products with plain floats.
var plainSets = []set{{Set{Name: "AVX2", Lanes: 8}}, {Set{Name: "AVX512", Lanes: 16}}}

// plainMost returns how many tokens are multiplied at a time.
func (s set) plainMost() int {
	if s.Wide() {
		return 6
	}
	return 3
}

// plainRows returns by how many rows n tokens are multiplied at a time.
func (s set) plainRows(n int) int {
	if s.Wide() || n == 1 {
		return 4
	}
	return 2
}

// plain emits the products with plain floats, and for each instruction set and type a table of them.
func plain() {
	for _, s := range plainSets {
		for _, t := range plainTypes {
			m := GLOBL("plain"+t.name+s.Name, NOPTR)
			for n := range 6 {
				if n < s.plainMost() {
					DATA(8*n, symbol(fmt.Sprintf("plain%d%s%s", n+1, t.name, s.Name)))
				} else {
					DATA(8*n, U64(0))
				}
			}
			plainTables[t.name+s.Name] = m
		}
	}
	choosePlain()
	for _, s := range plainSets {
		for _, t := range plainTypes {
			for n := 1; n <= s.plainMost(); n++ {
				s.plain(t, n)
			}
		}
	}
}

// plainTables are the functions of each type and instruction set.
var plainTables = map[string]Mem{}

// choosePlain finds the functions for a type: its number is in AX. It uses AX and BX alone.
func choosePlain() {
	Text("choosePlain", "choosePlain sets texts and most for weights of the type AX.")
	for i, s := range plainSets {
		other := NewLabel("other")
		CMPQ(p("set"), Int(i))
		JNE(LabelRef(other))
		MOVQ(U32(uint32(s.plainMost())), p("most"))
		for _, t := range plainTypes {
			next := NewLabel("next")
			CMPL(reg.EAX, Int(t.number))
			JNE(LabelRef(next))
			LEAQ(plainTables[t.name+s.Name], reg.RBX)
			MOVQ(reg.RBX, p("texts"))
			Label(next)
		}
		Label(other)
	}
	Ret()
}

// plain emits the product of some rows of weights and n tokens. A result is the sum of 16 numbers, of
// which number j is the sum over the values 16i + j in their order, by FMA.
func (s set) plain(t plainType, n int) {
	rows := s.plainRows(n)
	name := fmt.Sprintf("plain%d%s%s", n, t.name, s.Name)
	Text(name, fmt.Sprintf("%s computes the results of %d rows of weights and %d tokens.", name, rows, n))
	Comment("all addresses are those of the ends")
	var w, x []reg.GPVirtual
	i := GP64()
	MOVQ(p("wBytes"), i)
	for r := range rows {
		a := GP64()
		MOVQ(p("rows").Offset(8*r), a)
		ADDQ(i, a)
		w = append(w, a)
	}
	scale := 4 / t.bytes // of values to weights, in bytes
	for k := range n {
		a := GP64()
		if k == 0 {
			MOVQ(p("tokens"), a)
			LEAQ(Indexed(a, i, uint8(scale), 0), a)
		} else {
			MOVQ(x[k-1], a)
			ADDQ(p("xRow"), a)
		}
		x = append(x, a)
	}
	NEGQ(i)
	ahead := GP64()
	MOVQ(i, ahead)
	ADDQ(p("ahead"), ahead)

	parts := 16 / s.Lanes // vectors of 16 values
	sums := make([][][]reg.VecVirtual, n)
	for k := range sums {
		sums[k] = make([][]reg.VecVirtual, rows)
		for r := range sums[k] {
			for range parts {
				sums[k][r] = append(sums[k][r], s.Zero())
			}
		}
	}
	loop := Mark("loop")
	for part := range parts {
		var weights []reg.VecVirtual
		for r := range rows {
			weights = append(weights, s.plainWeights(t, Indexed(w[r], i, 1, part*s.Lanes*t.bytes)))
		}
		for k := range n {
			v := s.Loaded(Indexed(x[k], i, uint8(scale), part*s.bytes()))
			for r := range rows {
				VFMADD231PS(v, weights[r], sums[k][r][part])
			}
		}
	}
	for r := range rows {
		PREFETCHT0(Indexed(w[r], ahead, 1, 0))
	}
	ADDQ(Int(16*t.bytes), ahead)
	ADDQ(Int(16*t.bytes), i)
	JNZ(LabelRef(loop))

	c := GP64()
	MOVQ(p("result"), c)
	for k := range n {
		s.plainStore(s.plainSum(sums[k]), c)
		if k < n-1 {
			ADDQ(p("cRow"), c)
		}
	}
	Ret()
}

// plainWeights returns weights as f32.
func (s set) plainWeights(t plainType, m Mem) reg.VecVirtual {
	v := s.Vec()
	switch t.name {
	case "F16":
		VCVTPH2PS(m, v)
	case "BF16":
		VPMOVZXWD(m, v)
		VPSLLD(Imm(16), v, v)
	default:
		VMOVUPS(m, v)
	}
	return v
}

// plainSum returns the sums of up to 4 rows in the lanes of one vector. Lanes are added that are 8
// apart, then 4, 2 and 1.
func (s set) plainSum(rows [][]reg.VecVirtual) reg.VecVirtual {
	var four []reg.VecVirtual
	for _, parts := range rows {
		v := parts[0]
		high := s.Vec()
		if s.Wide() {
			VEXTRACTF64X4(Imm(1), v, high.AsY())
			VADDPS(high.AsY(), v.AsY(), v.AsY())
			VEXTRACTF32X4(Imm(1), v.AsY(), high.AsX())
		} else {
			VADDPS(parts[1], v, v)
			VEXTRACTF128(Imm(1), v, high.AsX())
		}
		VADDPS(high.AsX(), v.AsX(), v.AsX())
		four = append(four, v)
	}
	pair := func(a, b reg.VecVirtual) reg.VecVirtual { // a0+a2, b0+b2, a1+a3, b1+b3
		low, high := s.Vec(), s.Vec()
		VUNPCKLPS(b.AsX(), a.AsX(), low.AsX())
		VUNPCKHPS(b.AsX(), a.AsX(), high.AsX())
		VADDPS(high.AsX(), low.AsX(), low.AsX())
		return low
	}
	first, second := pair(four[0], four[1]), four[0]
	if len(four) == 4 {
		second = pair(four[2], four[3])
	} else {
		second = first
	}
	low, high := s.Vec(), s.Vec()
	VMOVLHPS(second.AsX(), first.AsX(), low.AsX())
	VMOVHLPS(first.AsX(), second.AsX(), high.AsX()) // the first's high half, then the second's
	VADDPS(high.AsX(), low.AsX(), low.AsX())
	return low
}

// plainStore stores the sums of those rows that have a result.
func (s set) plainStore(sums reg.VecVirtual, c reg.GPVirtual) {
	mask := s.Vec()
	VMOVUPS(p("mask"), mask.AsX())
	if s.Wide() {
		k := K()
		VPMOVD2M(mask.AsX(), k)
		VMOVUPS(sums.AsX(), k, At(c, 0))
		return
	}
	VMASKMOVPS(sums.AsX(), mask.AsX(), At(c, 0))
}
