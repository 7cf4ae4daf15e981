//go:build amd64 && !windows

package product

// callOp calls an operation as one of ggml's threads does. Only tests use it.
//
//go:noescape
func callOp(fn uintptr, dst *tensor, thread, threads int32)
