//go:build amd64 && !windows

package product

import "unsafe"

// groupFrame is what a thread keeps in memory while it groups.
type groupFrame struct {
	tiles   uintptr // the first tile that is written
	from    uintptr // and the first one that is read
	groups  uintptr // of the table
	own     uintptr // the groups in the thread's scratch; then the one at hand
	order   uintptr // the pair of each position
	blocks  uintptr // of a token
	token   uintptr // bytes of one
	tokens  uintptr // of the activations that are read
	rows    uintptr // pairs of each
	threads uintptr
	low     uintptr // the thread's share: positions times threads, from here on
	high    uintptr // and up to here
	left    uintptr // tokens, or groups
	to      uintptr // the tile at hand
	n       uintptr // its tokens
	pairs   uintptr // their pairs
}

// mixtureFrame is what a thread keeps of a mixture, behind the struct frame.
type mixtureFrame struct {
	acts       uintptr // tiles of all groups that are read
	out        uintptr // and that are written
	groups     uintptr // of the table; QuantiseGrouped: how many are left
	group      uintptr // the one at hand
	most       uintptr // pairs of the largest group
	bias       uintptr // 0: none
	biasRow    uintptr // bytes of an expert's, or of the gate's
	upBiasRow  uintptr
	gateExpert uintptr // bytes of an expert's matrix
	upExpert   uintptr
	record     uintptr // where the record for the weights' type, or the gate's, is behind an instruction set's texts
	upRecord   uintptr
	large      uintptr // texts for groups of amxTokens pairs and more
	small      uintptr // and for the others
}

// mixtureAt is where it begins in a thread's frame.
const mixtureAt = 896

const (
	_ = uint(mixtureAt - unsafe.Sizeof(frame{}))
	_ = uint(1024 - mixtureAt - unsafe.Sizeof(mixtureFrame{}))
)

// ggml's threads call the operations; Go only uses their addresses.

//go:noescape
func opGroupPairs()

//go:noescape
func opMixPairs()

// pairAddresses returns where the operations on pairs are that all instruction sets have in common.
//
//go:noescape
func pairAddresses() (group, mix uintptr)

//go:noescape
func opExpertProductVNNI()

//go:noescape
func opExpertGateUpVNNI()

//go:noescape
func opQuantiseGroupedVNNI()

// vnniExpertAddresses returns where the products of mixtures with AVX-512 and VNNI are.
//
//go:noescape
func vnniExpertAddresses() (product, gateUp, quantise uintptr)

//go:noescape
func opExpertProductAVX2()

//go:noescape
func opExpertGateUpAVX2()

//go:noescape
func opQuantiseGroupedAVX2()

// avx2ExpertAddresses returns where the products of mixtures with AVX2 are.
//
//go:noescape
func avx2ExpertAddresses() (product, gateUp, quantise uintptr)

//go:noescape
func opExpertProductAVXVNNI()

//go:noescape
func opExpertGateUpAVXVNNI()

//go:noescape
func opQuantiseGroupedAVXVNNI()

// avxVNNIExpertAddresses returns where the products of mixtures with AVX2 and AVX-VNNI are.
//
//go:noescape
func avxVNNIExpertAddresses() (product, gateUp, quantise uintptr)

// amxExpertAddresses returns where those of them with AMX are that are not VNNI's.
//
//go:noescape
func amxExpertAddresses() (product, gateUp uintptr)

//go:noescape
func opExpertProductAMX()

//go:noescape
func opExpertGateUpAMX()

// What entry_amd64.s has for them.

//go:noescape
func openFrame()

//go:noescape
func itemBuffers()

//go:noescape
func gatedUnit()

//go:noescape
func readActivations()

//go:noescape
func writtenActivations()

//go:noescape
func recordOf()

//go:noescape
func shareOf()

//go:noescape
func panelTimesTokens()
