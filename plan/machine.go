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
	LinkRate     float64 `json:"link_rate"` // from host memory to the device
	DiskRate     float64 `json:"disk_rate"` // at which the disk is read

	// Unified says that the device computes in host memory, as a CPU does: DeviceMemory is a part
	// of HostMemory, and copies between them take bandwidth from computing.
	Unified bool `json:"unified,omitempty"`

	Sources []string `json:"sources,omitempty"` // where the figures come from
}

// maxMachine bounds the bytes of a machine's JSON.
const maxMachine = 1 << 20

// ReadMachine reads a machine from JSON, and reports every figure that is missing or impossible.
func ReadMachine(r io.Reader) (Machine, error) {
	var m Machine
	decoder := json.NewDecoder(io.LimitReader(r, maxMachine))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
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
		}
	}
	return errors.Join(errs...)
}
