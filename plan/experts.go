package plan

import "fmt"

// Experts are the weights of experts that the CPU computes beside a device, in host memory.
type Experts struct {
	Layers  int   // of which the CPU computes the experts, the last ones; 0: of none
	Weights int64 // bytes that they take
	Read    int64 // bytes of them that a step of one token reads
}

// assumedHost is the rate at which the CPU reads weights where a machine does not say it: two channels
// of DDR4.
const assumedHost = 20e9

// hostRate returns the bytes a second at which the CPU reads host memory.
func (m Machine) hostRate() float64 {
	if m.HostRate > 0 {
		return m.HostRate
	}
	return assumedHost
}

// expertSeconds returns how long a step computes experts on the CPU.
func (r Request) expertSeconds(m Machine) float64 { return float64(r.CPUExperts.Read) / m.hostRate() }

// validate reports numbers of experts that make no sense.
func (e Experts) validate(r Request) error {
	if e.Layers < 0 || e.Layers > len(r.Layers) || e.Weights < 0 || e.Weights > r.Model.Weights || e.Read < 0 || e.Read > min(e.Weights, r.StepWeights) {
		return fmt.Errorf("plan: experts of %d layers take %d bytes on the CPU, and a step reads %d: want a part of %d layers, of %d bytes of weights and of the %d that a step reads",
			e.Layers, e.Weights, e.Read, len(r.Layers), r.Model.Weights, r.StepWeights)
	}
	return nil
}
