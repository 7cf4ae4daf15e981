//go:build amd64 && !windows

package product

// ggml's threads call the operations; Go only uses their addresses.

// vnniAddresses returns where the operations with AVX-512 and VNNI are, in the order of the type
// operation.
//
//go:noescape
func vnniAddresses() (quantise, normQuantise, product, gateUp uintptr)

// tile is a function of tables: see entry_amd64.s.
//
//go:noescape
func tile()

//go:noescape
func opQuantiseVNNI()

//go:noescape
func opNormQuantiseVNNI()

//go:noescape
func opProductVNNI()

//go:noescape
func opGateUpVNNI()
