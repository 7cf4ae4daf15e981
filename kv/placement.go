package kv

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Placement says which layers of a device stay there and how much memory that
// and the slots take.
type Placement struct {
	Cells       int    // capacity of a sequence tree, a multiple of Block
	Resident    []bool // by layer of the device
	Streamed    int    // layers that are not resident
	Slots       int
	SlotBytes   int64 // one slot
	DeviceBytes int64 // slots, and the resident layers of Trees trees
}

// Place decides the placement of a cache on one device. Resident layers are spread evenly
// between the streamed ones, and as many as Memory allows; if not even the
// slots fit, the error names the least that would do.
func Place(o Options) (Placement, error) {
	o = o.withDefaults()
	least, most := o.choices()
	for r := most; r >= least; r-- {
		p := o.place(r)
		if o.Memory == 0 || p.DeviceBytes <= o.Memory {
			return p, nil
		}
	}
	need := o.smallest(least, most)
	resident := len(o.Layers) - need.Streamed
	what := fmt.Sprintf("%d resident layers", resident)
	if need.Slots > 0 {
		what = fmt.Sprintf("%d slots and %d resident layers", need.Slots, resident)
	}
	err := noMemory("kv: %d bytes of device memory are too few for %s of %d cells: the least that works is %d bytes",
		o.Memory, what, need.Cells, need.DeviceBytes)
	if cells := MostCells(o); cells > 0 {
		return Placement{}, fmt.Errorf("%w, or a context of at most %d", err, cells)
	}
	return Placement{}, err
}

// Streamed returns, by layer, whether its rows leave its device. Options for
// which memory does not suffice stream no layer.
func Streamed(o Options) []bool {
	o = o.withDefaults()
	streamed := make([]bool, len(o.Layers))
	for n := range o.devices() {
		p, err := Place(o.on(n))
		if err != nil {
			continue
		}
		for i, l := range o.layersOn(n) {
			streamed[l] = !p.Resident[i]
		}
	}
	return streamed
}

// MostCells returns the largest capacity, in whole blocks and not above Cells,
// for which each device's memory suffices; 0 if none does.
func MostCells(o Options) int {
	o = o.withDefaults()
	most := pad(o.Cells)
	for n := range o.devices() {
		most = min(most, o.on(n).mostCells())
	}
	return most
}

// mostCells is MostCells for one device.
func (o Options) mostCells() int {
	if o.Memory == 0 || len(o.Layers) == 0 {
		return pad(o.Cells)
	}
	least, most := o.choices()
	full := o.smallest(least, most)
	perCell := max(full.DeviceBytes/int64(full.Cells), 1) // exact: all memory is proportional to cells
	blocks := o.Memory / perCell / Block
	return int(min(blocks*Block, int64(full.Cells)))
}

// devices returns how many devices the layers are on.
func (o Options) devices() int {
	if len(o.On) == 0 {
		return 1
	}
	return slices.Max(o.On) + 1
}

// layersOn returns the layers of a device in order.
func (o Options) layersOn(device int) (layers []int) {
	for l := range o.Layers {
		if on := o.deviceOf(l); on == device {
			layers = append(layers, l)
		}
	}
	return layers
}

func (o Options) deviceOf(layer int) int {
	if o.On == nil {
		return 0
	}
	return o.On[layer]
}

// memory returns what K/V may take on a device; 0: no limit.
func (o Options) memory(device int) int64 {
	if o.Memories != nil {
		return o.Memories[device]
	}
	return o.Memory
}

// on returns the options of the cache of one device: its layers, its memory, and
// its share of the resident layers.
func (o Options) on(device int) Options {
	one := o
	one.On, one.Memories, one.Memory = nil, nil, o.memory(device)
	if o.On == nil {
		return one
	}
	resident := spread(o.ResidentLayers, len(o.Layers))
	one.Layers, one.ResidentLayers, one.counted = nil, 0, o.ResidentLayers > 0
	for _, l := range o.layersOn(device) {
		one.Layers = append(one.Layers, o.Layers[l])
		if resident[l] {
			one.ResidentLayers++
		}
	}
	return one
}

// choices returns the bounds of how many layers may be resident.
func (o Options) choices() (least, most int) {
	switch {
	case !o.Policy.streams():
		return len(o.Layers), len(o.Layers)
	case o.ResidentLayers > 0 || o.counted || o.Memory == 0:
		return o.ResidentLayers, o.ResidentLayers
	default:
		return 0, len(o.Layers)
	}
}

// smallest returns the placement that takes the least memory. Where layers
// differ that may not be the one with the fewest resident: slots are as large
// as the largest streamed layer.
func (o Options) smallest(least, most int) Placement {
	smallest := o.place(least)
	for r := least + 1; r <= most; r++ {
		if p := o.place(r); p.DeviceBytes < smallest.DeviceBytes {
			smallest = p
		}
	}
	return smallest
}

// place computes the placement with a number of resident layers.
func (o Options) place(resident int) Placement {
	layers := len(o.Layers)
	p := Placement{Cells: pad(o.Cells), Resident: spread(resident, layers), Streamed: layers - resident}
	p.Slots = min(o.Slots, p.Streamed)
	var kept int64
	for l, s := range o.Layers {
		bytes := s.layout(o.TypeK, o.TypeV).RowBytes() * int64(p.Cells)
		if p.Resident[l] {
			kept += bytes
		} else {
			p.SlotBytes = max(p.SlotBytes, bytes)
		}
	}
	p.DeviceBytes = int64(p.Slots)*p.SlotBytes + kept*int64(o.Trees)
	return p
}

// spread chooses n of the layers, as evenly as they go.
func spread(n, layers int) []bool {
	chosen := make([]bool, layers)
	for l := range chosen {
		chosen[l] = (l+1)*n/layers > l*n/layers
	}
	return chosen
}

// validate reports every fault of options that make no cache on that many devices.
func (o Options) validate(devices int) error {
	var errs []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("kv: "+format, args...))
		}
	}
	fault(o.Policy < 0 || int(o.Policy) >= len(policyNames), "unknown cache policy %d", int(o.Policy))
	fault(len(o.Layers) == 0, "a cache needs at least one layer")
	fault(devices == 0, "a cache needs at least one device")
	fault(o.On != nil && len(o.On) != len(o.Layers), "devices are given for %d layers: the model has %d", len(o.On), len(o.Layers))
	for l, d := range o.On {
		fault(d < 0 || d >= devices, "layer %d is on device %d: there are %d, from 0", l, d, devices)
	}
	fault(o.AtHost != nil && len(o.AtHost) != len(o.Layers), "attention at the host is given for %d layers: the model has %d", len(o.AtHost), len(o.Layers))
	fault(o.Memories != nil && len(o.Memories) != devices, "memory is given for %d devices: there are %d", len(o.Memories), devices)
	fault(slices.ContainsFunc(o.Memories, func(n int64) bool { return n < 0 }), "sizes must not be negative")
	fault(o.Cells < 1 || o.Cells > math.MaxInt32/2, "context of %d tokens: want 1 to %d", o.Cells, math.MaxInt32/2)
	fault(o.ResidentLayers < 0 || o.ResidentLayers > len(o.Layers), "%d resident layers: the model has %d", o.ResidentLayers, len(o.Layers))
	fault(o.ResidentLayers > 0 && !o.Policy.streams(), "resident layers are chosen under the policies offloaded and offloaded_static; %v keeps all of them", o.Policy)
	fault(o.Memory < 0 || o.Slots < 0 || o.Trees < 0 || o.HostTokens < 0 || o.HostDepth < 0 || o.ChunkTokens < 0 || o.StepTokens < 0, "sizes must not be negative")
	fault(o.Link < 0 || math.IsNaN(o.Link) || math.IsInf(o.Link, 0), "link of %v bytes a second: want a positive rate", o.Link)
	for l, s := range o.Layers {
		if err := s.validate(o.TypeK, o.TypeV); err != nil {
			errs = append(errs, fmt.Errorf("kv: layer %d: %w", l, err))
			break // the others are mostly alike
		}
	}
	return errors.Join(errs...)
}
