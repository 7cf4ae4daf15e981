package ggml

import (
	"sync"

	"github.com/ebitengine/purego"
)

// arguments keeps argument lists for call, as a variadic call allocates one.
var arguments = sync.Pool{New: func() any { return new([7]uintptr) }}

// call calls the C function at fn, which takes up to seven words, and returns its result. It
// allocates nothing. A pointer converted to uintptr in the call expression stays valid until call
// returns.
//
//go:uintptrescapes
func call(fn, a1, a2, a3, a4, a5, a6, a7 uintptr) uintptr {
	args := arguments.Get().(*[7]uintptr)
	*args = [7]uintptr{a1, a2, a3, a4, a5, a6, a7}
	r, _, _ := purego.SyscallN(fn, args[:]...)
	arguments.Put(args)
	return r
}
