//go:build amd64 && !windows

package attend

// call runs the op as one of some threads.
func (i ISA) call(dst *tensor, thread, threads int) {
	if i == Go {
		reference(dst, thread, threads)
		return
	}
	callOp(vectorOp(i), dst, int32(thread), int32(threads))
}
