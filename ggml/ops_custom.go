package ggml

import (
	"fmt"
	"unsafe"
)

// CustomParams is room for parameters of a custom operation in its tensor, from
// byte 108 of it on. They are the operation's own.
type CustomParams [10]int32

// customParams is where they begin in Tensor.params: ggml keeps the function, the
// number of tasks and the user data before them.
const customParams = 6

// Custom adds an operation that ggml does not have: [ne] of type t, computed by
// the C function
//
//	void fn(struct ggml_tensor *dst, int thread, int threads, void *unused)
//
// at address fn, which every thread of a CPU backend calls once a computation and
// at the same time. ggml's threads are not Go's: fn is machine code that does not
// know of Go, or a purego callback. It must stay valid as long as the graph, and
// read no memory but that of its tensors, which it finds in dst.
//
// It panics if the backend is not the CPU.
func (g *Graph) Custom(t Type, ne [4]int64, fn uintptr, params CustomParams, operands ...*Tensor) *Tensor {
	const op = "Custom"
	present(op, operands...)
	if g.backend.dev.typ != CPU {
		misuse(op, g.backend.dev.name+" runs no functions of the program", operands...)
	}
	check(fn != 0 && t.known() && len(operands) >= 1 && len(operands) <= maxOperands, op,
		fmt.Sprintf("a function, a known type and 1 to %d operands", maxOperands), operands...)
	for _, n := range ne {
		check(n >= 1 && n <= 1<<40, op, fmt.Sprintf("dimensions from 1, not %d,", ne), operands...)
	}
	const anyThreads = -1
	args := append([]*Tensor(nil), operands...)
	r := c.Custom4D(g.next(op), t, ne[0], ne[1], ne[2], ne[3], unsafe.SliceData(args), int32(len(args)), fn, anyThreads, 0)
	copy(r.params[customParams:], params[:])
	return r
}
