package attend

import "unsafe"

// tensor is struct ggml_tensor as the kernel sees it. It lies in C memory.
type tensor struct {
	typ      int32
	_        int32
	buffer   uintptr
	ne       [4]int64
	nb       [4]uint64
	op       int32
	_        [24]byte // ggml's own parameters of a custom op
	params   params
	flags    int32
	src      [10]*tensor
	viewSrc  *tensor
	viewOffs uint64
	data     unsafe.Pointer
	name     [64]byte
	extra    uintptr
	_        [8]byte
}

// params are the op's parameters, which follow ggml's own. The op reads whatever else it needs from
// its tensors.
type params struct {
	scale     float32 // of q, so that scores are powers of two
	cap       float32 // of the scores' powers; 0: none
	tile      int32   // cells
	pass      int32   // rows at most
	frames    int32   // where the threads' frames begin, in 64 bytes of the scratch
	frameSize int32   // of one thread, in 64 bytes
	parts     int32   // where the ranges' results begin, in 64 bytes of the scratch
	partSize  int32   // of one, in 64 bytes
	threads   int32   // for how many there are frames
	lanes     int32   // of 16 lanes, how many must have a vector where a pass is computed by columns; 0: none is
}
