//go:build amd64 && !windows

package attend

// ggml's threads call the ops; Go only uses their addresses.

//go:noescape
func opAVX2()

//go:noescape
func opAVX512()

//go:noescape
func opTiles()

//go:noescape
func opRead()

// opAddresses returns where opAVX2, opAVX512, opTiles and opRead are.
//
//go:noescape
func opAddresses() (avx2, avx512, tiles, read uintptr)

// callOp calls an op as one of ggml's threads does. Only tests use it.
//
//go:noescape
func callOp(fn uintptr, dst *tensor, thread, threads int32)
