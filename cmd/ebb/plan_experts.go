package main

import (
	"fmt"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/plan"
)

// expertsOnCPU returns the experts of the last n layers of a model.
func expertsOnCPU(f *gguf.File, n int) (e plan.Experts, err error) {
	if n == 0 {
		return e, nil
	}
	whole, read := model.ExpertBytes(f)
	all := int64(0)
	for l, bytes := range whole {
		if all += bytes; bytes > 0 && l >= len(whole)-n {
			e.Layers, e.Weights, e.Read = e.Layers+1, e.Weights+bytes, e.Read+read[l]
		}
	}
	if all == 0 {
		return e, misusef("--%s: the model has no experts, its layers are dense; leave the flag out", cpuExpertsFlag)
	}
	return e, nil
}

// leaveExperts plans for experts on the CPU, as the flag says, and notes where that changes nothing.
func (f *planFlags) leaveExperts(file *gguf.File, p *planned, m *plan.Machine) (err error) {
	e, err := expertsOnCPU(file, f.cpuExperts)
	switch {
	case err != nil || e.Layers == 0:
		return err
	case m.Unified:
		m.Sources = append(m.Sources, fmt.Sprintf("experts: the CPU computes all, so that --%s changes nothing", cpuExpertsFlag))
		return nil
	case e.Weights > m.HostMemory:
		return fmt.Errorf("the experts of %s take %s, and host memory has room for %s: leave those of fewer layers to the CPU, or choose a model with fewer bits per weight",
			count(e.Layers, "layer"), bytesize.Format(e.Weights), bytesize.Format(m.HostMemory))
	}
	p.request.CPUExperts = e
	return nil
}

// expertsFlag returns the flag that leaves these experts to the CPU.
func (p planned) expertsFlag() string {
	if n := p.flags.cpuExperts; n < len(p.request.Layers) {
		return fmt.Sprintf("--%s %d", cpuExpertsFlag, n)
	}
	return "--" + cpuExpertsFlag
}
