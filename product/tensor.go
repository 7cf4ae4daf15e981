package product

import "unsafe"

// tensor is struct ggml_tensor as an operation sees it. It lies in C memory.
type tensor struct {
	typ      int32
	_        int32
	buffer   uintptr
	ne       [4]int64
	nb       [4]uint64
	op       int32
	_        [24]byte // ggml's own parameters of a custom operation
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

// params are an operation's parameters, which follow ggml's own. It reads whatever else it needs
// from its tensors.
type params struct {
	tokens    int32   // of the activations that the operation reads or writes
	in        int32   // values of a token of those that it reads; Quantise, NormQuantise: of x
	counter   int16   // Product, GateUp: by which counter of those that it reads it takes panels
	glu       GLU     // GateUp
	frames    int32   // where the threads' frames begin, in 64 bytes from the base of the activations that Product reads, and the others write
	frameSize int32   // of one thread, in 64 bytes
	threads   int32   // for how many there are frames
	gateRow   int32   // GateUp: the first row of the gate in its weights
	upRow     int32   // GateUp: and of up
	rows      int32   // GateUp: of each
	eps       float32 // NormQuantise
}
