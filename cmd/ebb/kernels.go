package main

import (
	"os"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/isa"
)

// readKernels says with which instruction set ebb's own kernels compute on this processor.
func readKernels() doctor.Kernels {
	k := doctor.Kernels{Named: os.Getenv(isa.Variable), Has: []string{}}
	for _, set := range slices.Backward(isa.All()) {
		if set != isa.Go {
			k.Has = append(k.Has, set.String())
		}
	}
	set, err := isa.Parse(k.Named)
	if err != nil {
		k.Error = strings.TrimPrefix(err.Error(), "isa: ")
		return k
	}
	k.Set = set.Resolved().String()
	return k
}

// cpuInstructionSet returns the instruction set with which an engine's CPU computes; "" if it has none.
func cpuInstructionSet(s ebb.Stats) string {
	for _, d := range s.Devices {
		if d.ISA != isa.Best {
			return d.ISA.String()
		}
	}
	return ""
}

// describeKernels names, for people, the instruction set of attention and products on the CPU. It says
// whether EBB_ISA has chosen it, and which others the processor has.
func describeKernels(k doctor.Kernels) string {
	if k.Error != "" {
		return "none: EBB_ISA names no instruction set that can be used"
	}
	set, others := titleOf(k.Set), []string{}
	for _, name := range k.Has {
		if name != k.Set {
			others = append(others, titleOf(name))
		}
	}
	if k.Named != "" && k.Named != isa.Best.String() {
		set += ", as EBB_ISA says"
	}
	switch {
	case len(others) > 0:
		return set + " (this processor also has " + strings.Join(others, ", ") + ")"
	case len(k.Has) == 0:
		return set + " (ebb has none of its own for this processor and system)"
	}
	return set
}

// titleOf returns the name that people know of an instruction set.
func titleOf(name string) string {
	i := slices.Index(isa.Names(), name)
	if i < 0 {
		return name
	}
	return isa.ISA(i).Title()
}
