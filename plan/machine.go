package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// Machine is what a plan knows of a machine. Sizes are in bytes, and rates in bytes a second.
type Machine struct {
	Name         string  `json:"name"`
	DeviceMemory int64   `json:"device_memory_bytes"`
	DeviceRate   float64 `json:"device_memory_rate"` // at which the device reads its memory
	HostMemory   int64   `json:"host_memory_bytes"`
	HostRate     float64 `json:"host_memory_rate,omitempty"` // at which the CPU beside a device reads it; 0: assumed
	LinkRate     float64 `json:"link_rate"`                  // from host memory to the device
	DiskRate     float64 `json:"disk_rate"`                  // at which the disk is read

	// Unified says that the device computes in host memory, as a CPU does: DeviceMemory is a part
	// of HostMemory, and copies between them take bandwidth from computing.
	Unified bool `json:"unified,omitempty"`

	Compute // what is not stated is assumed: see [Machine.Assumed]

	// Paced says that a stated link brings the rows, which are used in place: see [Pipeline].
	Paced bool `json:"-"`

	Sources []string `json:"sources,omitempty"` // where the figures come from
}

// Compute is how fast a device computes decode steps, by what they read. Rates are in bytes a second,
// whatever it is that limits them. They belong to a type of weights and of K/V, and to a number of
// tokens in a step.
type Compute struct {
	WeightRate   float64 `json:"weight_rate,omitempty"`   // at which layers read their weights
	KVRate       float64 `json:"kv_rate,omitempty"`       // at which attention reads K/V
	HeadRate     float64 `json:"head_rate,omitempty"`     // at which the output matrix is read
	LayerSeconds float64 `json:"layer_seconds,omitempty"` // that a layer takes besides: starting kernels, waking threads
	StepSeconds  float64 `json:"step_seconds,omitempty"`  // that a step takes besides its layers: a token is chosen and looked up
	FetchSeconds float64 `json:"fetch_seconds,omitempty"` // that a fetch takes besides its bytes, and that a store of new rows takes

	// CopyCost and DiskCost are by how many seconds computing gets longer for each byte that is copied
	// in host memory and read from disk meanwhile, where that takes the processor's time.
	CopyCost float64 `json:"copy_cost,omitempty"`
	DiskCost float64 `json:"disk_cost,omitempty"`
}

// What is assumed where a machine does not say it: shares of the rate at which the device reads its
// memory, and seconds. The first two agree within 2 % with what llama.cpp reports for a model of 32
// layers and 12.55 GiB in f16 on a GPU that reads 1008 GB/s: 61.0 tokens a second (pull request 4766).
const (
	assumedShare  = 0.85
	assumedLayer  = 25e-6 // about ten kernels that follow each other on a GPU
	assumedStep   = 100e-6
	assumedFetch  = 20e-6 // a copy that is started and waited for
	assumedSteals = 0.5   // of the time of copies in memory is lost to computing, where both use one memory
)

// Assumed returns the machine's figures of computing, with what is assumed for those that it does not
// state.
func (m Machine) Assumed() Compute {
	c := m.Compute
	or := func(value *float64, assumed float64) {
		if *value == 0 {
			*value = assumed
		}
	}
	if c.WeightRate == 0 { // a stated rate has all that a layer takes
		or(&c.LayerSeconds, assumedLayer)
	}
	or(&c.WeightRate, assumedShare*m.DeviceRate)
	or(&c.KVRate, assumedShare*m.DeviceRate)
	or(&c.HeadRate, c.WeightRate)
	or(&c.StepSeconds, assumedStep)
	or(&c.FetchSeconds, assumedFetch)
	if m.Unified {
		or(&c.CopyCost, assumedSteals/m.LinkRate)
	}
	return c
}

// What no machine passes: bytes or bytes a second, and seconds that something takes besides its bytes.
// With these no time of a step is infinite.
const (
	mostMachine = 1e18
	mostSeconds = 3600
)

// maxMachine bounds the bytes of a machine's JSON.
const maxMachine = 1 << 20

// ReadMachine reads a machine from JSON, and reports every figure that is missing or impossible.
func ReadMachine(r io.Reader) (Machine, error) {
	var m Machine
	decoder := json.NewDecoder(io.LimitReader(r, maxMachine))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
		return Machine{}, errors.New("plan: machine: nothing is there: want a JSON object")
	} else if err != nil {
		return Machine{}, fmt.Errorf("plan: machine: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Machine{}, errors.New("plan: machine: text follows the JSON object: want one object")
	}
	if err := m.Validate(); err != nil {
		return Machine{}, err
	}
	return m, nil
}

// Validate reports every figure that is missing or impossible.
func (m Machine) Validate() error {
	var errs []error
	for _, f := range []struct {
		field string
		value float64
		unit  string
	}{
		{"device_memory_bytes", float64(m.DeviceMemory), "bytes"},
		{"device_memory_rate", m.DeviceRate, "bytes a second"},
		{"host_memory_bytes", float64(m.HostMemory), "bytes"},
		{"link_rate", m.LinkRate, "bytes a second"},
		{"disk_rate", m.DiskRate, "bytes a second"},
	} {
		if !(f.value > 0) || math.IsInf(f.value, 1) { // NaN too
			errs = append(errs, fmt.Errorf("plan: machine: %s is %g: want %s above 0", f.field, f.value, f.unit))
		} else if f.value < 1 || f.value > mostMachine {
			errs = append(errs, fmt.Errorf("plan: machine: %s is %g: want 1 to %g %s", f.field, f.value, mostMachine, f.unit))
		}
	}
	for _, f := range []struct {
		field       string
		value       float64
		least, most float64
	}{
		{"host_memory_rate", m.HostRate, 1, mostMachine},
		{"weight_rate", m.WeightRate, 1, mostMachine},
		{"kv_rate", m.KVRate, 1, mostMachine},
		{"head_rate", m.HeadRate, 1, mostMachine},
		{"layer_seconds", m.LayerSeconds, 0, mostSeconds},
		{"step_seconds", m.StepSeconds, 0, mostSeconds},
		{"fetch_seconds", m.FetchSeconds, 0, mostSeconds},
		{"copy_cost", m.CopyCost, 0, 1},
		{"disk_cost", m.DiskCost, 0, 1},
	} {
		if f.value != 0 && !(f.value >= f.least && f.value <= f.most) { // NaN too
			errs = append(errs, fmt.Errorf("plan: machine: %s is %g: want %g to %g, or leave it out", f.field, f.value, f.least, f.most))
		}
	}
	return errors.Join(errs...)
}
