package attend

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ebitengine/purego"
)

// ISA is the instruction set with which the kernel computes. The results of two instruction sets
// agree within float error.
type ISA int

// The instruction sets.
const (
	// BestISA is the best one that this processor has, which is NoKernel if it has neither AVX2 nor
	// AVX512.
	BestISA ISA = iota
	// NoKernel leaves attention to ggml.
	NoKernel
	// Go is a kernel in plain Go for any processor. It is slow, and serves as a reference for the
	// others.
	Go
	// AVX2 needs AVX2, FMA, F16C, BMI1 and BMI2.
	AVX2
	// AVX512 needs AVX-512 F, DQ, VL and BW, and what AVX2 needs.
	AVX512
)

var isaNames = [...]string{"best", "ggml", "go", "avx2", "avx512"}

// String returns the name that [ParseISA] takes.
func (i ISA) String() string { return isaNames[i] }

// ParseISA returns the instruction set of that name: best, avx2, avx512, go, or ggml for no kernel.
// The empty name stands for best. The error names what this processor has if it lacks the
// instruction set.
func ParseISA(name string) (ISA, error) {
	if name == "" {
		return BestISA, nil
	}
	n := slices.Index(isaNames[:], name)
	if n < 0 {
		return 0, fmt.Errorf("attend: unknown instruction set %q: want one of %s", name, strings.Join(isaNames[:], ", "))
	}
	all := ISAs()
	if i := ISA(n); i <= NoKernel || slices.Contains(all, i) {
		return i, nil
	}
	var has []string
	for _, i := range all {
		has = append(has, i.String())
	}
	return 0, fmt.Errorf("attend: this processor has no %s, or there is no kernel for it on this system: want best, ggml, or one of %s", name, strings.Join(has, ", "))
}

// ISAs returns the instruction sets of this processor for which there are kernels, the best one
// last.
func ISAs() []ISA { return append([]ISA{Go}, vectorISAs()...) }

// resolved returns what the best one is.
func (i ISA) resolved() ISA {
	if i != BestISA {
		return i
	}
	all := ISAs()
	if best := all[len(all)-1]; best != Go {
		return best
	}
	return NoKernel
}

// op returns the address of the kernel's op for ggml's threads.
func (i ISA) op() uintptr {
	if i == Go {
		return goOp()
	}
	return vectorOp(i)
}

// goOp returns the address of reference for C. It is made once, because callbacks are never freed.
var goOp = sync.OnceValue(func() uintptr {
	return purego.NewCallback(func(dst *tensor, thread, threads int32, _ uintptr) uintptr {
		reference(dst, int(thread), int(threads))
		return 0 // ggml takes no result; a callback on Windows must have one
	})
})
