//go:build !amd64 || windows

package attend

// call runs the op as one of some threads.
func (i ISA) call(dst *tensor, thread, threads int) { reference(dst, thread, threads) }
