// Package isa names the instruction sets with which ebb's kernels compute on the CPU, and finds
// those that this processor has.
package isa

import (
	"fmt"
	"slices"
	"strings"
)

// ISA is an instruction set. A kernel that has no code for one uses the best one below it.
type ISA int

// The instruction sets. Each includes those between Go and itself, but for AVXVNNI: it includes AVX2,
// and those above it do not include it.
const (
	// Best is the best one that this processor has, which is GGML if it has no vectors that a kernel
	// uses.
	Best ISA = iota
	// GGML leaves everything to ggml.
	GGML
	// Go is plain Go for any processor. It is slow, and serves as a reference for the others.
	Go
	// AVX2 needs AVX2, FMA, F16C, BMI1 and BMI2.
	AVX2
	// AVXVNNI needs AVX-VNNI beside AVX2. It is for processors that have no AVX-512.
	AVXVNNI
	// AVX512 needs AVX-512 F, DQ, VL and BW.
	AVX512
	// VNNI needs AVX-512 VNNI.
	VNNI
	// AMX needs tiles with their products of bytes and of bf16, and that the system lets the process
	// use them.
	AMX
)

var names = [...]string{"best", "ggml", "go", "avx2", "avxvnni", "avx512", "vnni", "amx"}

var titles = [...]string{"the best one", "ggml's", "plain Go", "AVX2", "AVX-VNNI", "AVX-512", "AVX-512 VNNI", "AMX"}

// Variable is the environment variable that names the instruction set: see [Parse].
const Variable = "EBB_ISA"

// Names returns the names of all instruction sets.
func Names() []string { return slices.Clone(names[:]) }

// String returns the name that [Parse] takes.
func (i ISA) String() string { return names[i] }

// Title returns the name that people know: "AVX-512 VNNI".
func (i ISA) Title() string { return titles[i] }

// Parse returns the instruction set of that name: best, amx, vnni, avx512, avxvnni, avx2, go, or ggml
// for no kernels. The empty name stands for best. The error names what this processor has if it lacks
// the instruction set.
func Parse(name string) (ISA, error) {
	if name == "" {
		return Best, nil
	}
	n := slices.Index(names[:], name)
	if n < 0 {
		return 0, fmt.Errorf("isa: unknown instruction set %q: want one of %s", name, strings.Join(names[:], ", "))
	}
	all := All()
	if i := ISA(n); i <= GGML || slices.Contains(all, i) {
		return i, nil
	}
	var has []string
	for _, i := range all {
		has = append(has, i.String())
	}
	return 0, fmt.Errorf("isa: this processor has no %s, or there is no kernel for it on this system: want best, ggml, or one of %s", name, strings.Join(has, ", "))
}

// All returns the instruction sets of this processor for which there are kernels, the best one last.
func All() []ISA { return append([]ISA{Go}, vectors()...) }

// Resolved returns which instruction set [Best] stands for on this processor, and any other as it is.
func (i ISA) Resolved() ISA {
	if i != Best {
		return i
	}
	all := All()
	if best := all[len(all)-1]; best != Go {
		return best
	}
	return GGML
}
