//go:build amd64 && !windows

package product

// ggml's threads call the operations; Go only uses their addresses.

// vnniAddresses returns where the operations with AVX-512 and VNNI are, in the order of the type
// operation.
//
//go:noescape
func vnniAddresses() (quantise, normQuantise, product, gateUp uintptr)

// avx2Addresses returns where the operations with AVX2 are.
//
//go:noescape
func avx2Addresses() (quantise, normQuantise, product, gateUp uintptr)

// avxVNNIAddresses returns where the operations with AVX2 and AVX-VNNI are.
//
//go:noescape
func avxVNNIAddresses() (quantise, normQuantise, product, gateUp uintptr)

// amxAddresses returns where those of them with AMX are that are not VNNI's.
//
//go:noescape
func amxAddresses() (product, gateUp uintptr)

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

//go:noescape
func opQuantiseAVX2()

//go:noescape
func opNormQuantiseAVX2()

//go:noescape
func opProductAVX2()

//go:noescape
func opGateUpAVX2()

//go:noescape
func opQuantiseAVXVNNI()

//go:noescape
func opNormQuantiseAVXVNNI()

//go:noescape
func opProductAVXVNNI()

//go:noescape
func opGateUpAVXVNNI()

//go:noescape
func opProductAMX()

//go:noescape
func opGateUpAMX()
