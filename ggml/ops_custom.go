package ggml

import (
	"fmt"
	"unsafe"
)

// CustomParams is the number of bytes, from byte 108 of its tensor on, in which a custom operation
// may keep parameters of its own.
type CustomParams [10]int32

// customParams is the offset of those bytes in Tensor.params, after the function, the number of
// tasks and the user data, which ggml keeps.
const customParams = 6

// Custom adds an operation that ggml does not have: [ne] of type t, computed by the C function
//
//	void fn(struct ggml_tensor *dst, int thread, int threads, void *unused)
//
// at address fn, which all threads of a CPU backend call at the same time, once per computation.
// ggml's threads are not Go's, so fn is machine code that does not depend on Go, or a purego
// callback. It must stay valid as long as the graph, and may only access memory of its tensors,
// which it finds in dst.
//
// It panics if the backend is not the CPU.
func (g *Graph) Custom(t Type, ne [4]int64, fn uintptr, params CustomParams, operands ...*Tensor) *Tensor {
	const op = "Custom"
	present(op, operands...)
	if g.backend.dev.typ != CPU {
		misuse(op, g.backend.dev.name+" runs no functions of the program", operands...)
	}
	const most = 6 // operands
	check(fn != 0 && t.known() && len(operands) >= 1 && len(operands) <= most, op,
		fmt.Sprintf("a function, a known type and 1 to %d operands", most), operands...)
	for _, n := range ne {
		check(n >= 1 && n <= 1<<40, op, fmt.Sprintf("dimensions from 1, not %d,", ne), operands...)
	}
	const anyThreads = -1
	args := append([]*Tensor(nil), operands...)
	r := c.Custom4D(g.next(op), t, ne[0], ne[1], ne[2], ne[3], unsafe.SliceData(args), int32(len(args)), fn, anyThreads, 0)
	copy(r.params[customParams:], params[:])
	return r
}
