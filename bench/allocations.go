package bench

import (
	"fmt"

	"github.com/seed4d217819/ebb/ggml"
)

// cpu returns the CPU as a device.
func cpu() (*ggml.Device, error) {
	library, err := ggml.Load()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	device, err := library.Device("cpu")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return device, nil
}

// allocations are what graphs without a model compute with.
type allocations struct {
	backend *ggml.Backend
	frees   []func() // in the order of allocation
}

// place allocates memory of a kind for tensors, one behind the other.
func (a *allocations) place(kind ggml.BufferType, tensors ...*ggml.Tensor) (*ggml.Buffer, error) {
	at, size := make([]int64, len(tensors)), int64(0)
	for i, t := range tensors {
		at[i] = size
		size += (kind.AllocSize(t) + kind.Alignment() - 1) / kind.Alignment() * kind.Alignment()
	}
	b, err := a.backend.Alloc(kind, size, ggml.Scratches)
	if err != nil {
		return nil, err
	}
	a.frees = append(a.frees, b.Close)
	for i, t := range tensors {
		b.Place(t, at[i])
	}
	return b, nil
}

// freeFrom frees what was allocated after the first n allocations, the last first.
func (a *allocations) freeFrom(n int) {
	for i := len(a.frees) - 1; i >= n; i-- {
		a.frees[i]()
	}
	a.frees = a.frees[:n]
}

// Close frees what was allocated.
func (a *allocations) Close() error {
	a.freeFrom(0)
	return a.backend.Close()
}
