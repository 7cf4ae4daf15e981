package main

import (
	"fmt"

	"github.com/seed4d217819/ebb/internal/bytesize"
)

// packed returns how many bytes of the weights are packed, where this machine's CPU is the device.
func (p planned) packed() int64 {
	if p.flags.machine != "" || !p.machine.Unified {
		return 0
	}
	return p.model.Packed
}

// printDevice says what the device's memory is for, and what of the model host memory has beside K/V.
func (p planned) printDevice(line planLine) {
	f, r := p.forecast, p.request
	kinds := r.Kinds()
	states := f.Placement.StatesBytes() * int64(f.Sequences)
	rings := f.Placement.RingBytes() * int64(f.Sequences)
	resident := f.Placement.TreeBytes*int64(f.Sequences) - rings - states
	slots := int64(f.Placement.Slots) * f.Placement.SlotBytes
	step := f.Footprint.Total() - f.Footprint.Weights - f.Footprint.Draft
	line.place("device", r.DeviceMemory, barPart{'W', f.Footprint.Weights}, barPart{'S', step}, barPart{'D', f.Footprint.Draft}, barPart{'V', slots}, barPart{'r', states}, barPart{'w', rings}, barPart{'R', resident})
	weights := fmt.Sprintf("%10s", bytesize.Format(f.Footprint.Weights))
	if packed := p.packed(); packed > 0 {
		weights += fmt.Sprintf("  %s of them packed, in private memory; the others stay in the file", bytesize.Format(packed))
	}
	line("  W weights", "%s", weights)
	line("  S a step", "%10s  inputs, masks, activations and scratch", bytesize.Format(step))
	if r.Drafts > 0 {
		line("  D drafts", "%10s  K/V of the block that drafts", bytesize.Format(f.Footprint.Draft))
	}
	if slots > 0 {
		line("  V slots", "%10s  %s at a time", bytesize.Format(slots), count(f.Placement.Slots, "layer"))
	}
	if f.HostStates > 0 {
		line("  r states", "%10s  one layer at a time: a step reads one and writes another", bytesize.Format(states))
	} else if states > 0 {
		line("  r states", "%10s  %s, whatever the context: a step reads one and writes another", bytesize.Format(states), count(kinds.Recurrent, "layer"))
	}
	if rings > 0 {
		line("  w windows", "%10s  %s, whatever the context", bytesize.Format(rings), count(kinds.Windowed, "layer"))
	}
	line("  R resident", "%10s  %d of %d layers", bytesize.Format(resident), kinds.Full-f.Placement.Streamed, kinds.Full)
	line("  . free", "%10s", bytesize.Format(r.DeviceMemory-f.Device()))
	if e := r.CPUExperts; e.Layers > 0 {
		line("experts", "%10s  in host memory, of %s; a token reads %s", bytesize.Format(e.Weights), count(e.Layers, "layer"), bytesize.Format(e.Read))
	}
	if f.HostStates > 0 {
		line("states", "%10s  in host memory, of %s, which visit the device", bytesize.Format(f.HostStates), count(kinds.Recurrent, "layer"))
	}
}

// printOffDevice says what is off the device, and where.
func (p planned) printOffDevice(line planLine) {
	f, r := p.forecast, p.request
	kinds := r.Kinds()
	line("layers", "%12s%s  %s", "", p.layers(), p.legend(kinds))
	if f.HostMemory > 0 {
		line.place("host memory", f.HostMemory, barPart{'K', f.Host - f.HostPast}, barPart{'w', f.HostPast})
		if f.Placement.Streamed > 0 {
			line("  K K/V", "%10s  %s of %d tokens", bytesize.Format(f.Host-f.HostPast), count(f.Placement.Streamed, "layer"), min(f.HostCells, f.Context))
		}
		if kinds.Windowed > 0 {
			line("  w windows", "%10s  what is behind them: %s", bytesize.Format(f.HostPast), p.past(kinds))
		}
	}
	if r.DiskMemory >= anyDisk {
		line("disk", "no bound")
	} else if r.DiskMemory > 0 {
		line.place("disk", r.DiskMemory, barPart{'K', f.Disk - f.DiskPast}, barPart{'w', f.DiskPast})
	}
	if r.DiskMemory > 0 && f.Placement.Streamed > 0 {
		line("  K K/V", "%10s  %s", bytesize.Format(f.Disk-f.DiskPast), p.onDisk())
	}
	if r.DiskMemory > 0 && kinds.Windowed > 0 {
		line("  w windows", "%10s  the rest of what is behind them", bytesize.Format(f.DiskPast))
	}
}
