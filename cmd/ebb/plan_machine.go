package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/internal/rehearsal"
	"github.com/seed4d217819/ebb/plan"
)

//go:embed machines/*.json
var machineFiles embed.FS

// machineNames are the machines that --machine knows by name.
func machineNames() (names []string) {
	files, err := fs.Glob(machineFiles, "machines/*.json")
	if err != nil {
		panic(err) // the pattern is right
	}
	for _, file := range files {
		names = append(names, strings.TrimSuffix(path.Base(file), ".json"))
	}
	return names
}

// namedMachine returns a machine that ebb knows by name, or the one that a JSON file describes.
func namedMachine(name string) (m plan.Machine, err error) {
	var file fs.File
	if file, err = machineFiles.Open("machines/" + name + ".json"); err != nil {
		if file, err = os.Open(name); errors.Is(err, fs.ErrNotExist) {
			return m, misusef("--machine %s: there is no such file; want a JSON file or one of %s", name, strings.Join(machineNames(), ", "))
		}
	}
	if err != nil {
		return m, err
	}
	defer func() { _ = file.Close() }() // it was only read
	if m, err = plan.ReadMachine(file); err != nil {
		err = fmt.Errorf("--machine %s: %s", name, strings.ReplaceAll(err.Error(), "plan: machine: ", ""))
	}
	return m, err
}

// Rates in bytes a second of what is not measured.
const (
	assumedDevice = 200e9 // of a GPU's memory: a small one's
	assumedLink   = 12e9  // of PCIe 3.0 x16
	assumedDisk   = 2e9   // of a slow NVMe drive
	assumedMemory = 20e9  // of two channels of DDR4
)

const (
	readBytes = 128 << 20 // of memory whose reading is timed: more than most caches hold
	readTime  = 100 * time.Millisecond
)

// machineReader gathers what a plan knows of this machine.
type machineReader struct {
	plan.Machine
	device   string // its name
	diskFree int64  // bytes; 0: no disk was named
}

// thisMachine reads what memory and room on a disk is free here, and measures how fast memory is read
// and reached. The device is the first GPU that the libraries list; without libraries or GPUs it is
// the CPU. What is not measured is assumed; Sources says what is.
func thisMachine(ctx context.Context, root fs.FS, disk string) (machineReader, error) {
	machine := doctor.ReadMachine(root)
	m := machineReader{Machine: plan.Machine{Name: "this machine, " + machine.CPU, HostMemory: machine.Room(), DiskRate: assumedDisk}}
	if m.HostMemory == 0 {
		return m, errors.New("how much memory is free is not known on this system: describe the machine with --machine FILE")
	}
	m.source("host memory: %s are free", bytesize.Format(m.HostMemory))
	if gpu := firstGPU(ctx, root); gpu.Name == "" {
		m.measureMemory()
	} else {
		m.Name += ", " + gpu.Description
		m.device, m.DeviceMemory, m.LinkRate = gpu.Name, gpu.Free, gpu.To
		m.source("device memory: %s are free on %s", bytesize.Format(gpu.Free), gpu.Name)
		m.rate("device memory", &m.DeviceRate, assumedDevice)
		m.rate("link", &m.LinkRate, assumedLink)
	}
	if disk == "" {
		return m, ctx.Err()
	}
	var err error
	if m.diskFree, err = freeIn(disk); err != nil {
		return m, fmt.Errorf("--disk %s: %w", disk, err)
	}
	return m, ctx.Err()
}

// freeIn returns how many bytes are free in a folder, which has to be one.
func freeIn(dir string) (int64, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, errors.New("there is no such folder")
	case err != nil:
		return 0, err
	case !info.IsDir():
		return 0, errors.New("it is not a folder")
	}
	return doctor.FreeDisk(dir)
}

// rehearse measures how fast the device computes steps of the model.
func (m *machineReader) rehearse(ctx context.Context, h *rehearsal.Rehearsal) error {
	c, err := h.Compute(ctx)
	if err != nil {
		m.source("computing: assumed, because it could not be tried: %v", err)
		return ctx.Err()
	}
	m.Compute = c
	m.DeviceRate = max(m.DeviceRate, c.WeightRate, c.KVRate, c.HeadRate) // a bound of all
	kv := ""
	if c.KVRate > 0 { // 0: no layer reads more K/V in a longer context
		kv = " and K/V at " + formatRate(c.KVRate)
	}
	m.source("computing: layers with random weights read theirs at %s%s, measured", formatRate(c.WeightRate), kv)
	return nil
}

// rehearseCopies measures the copies of layers that stream, from host memory if rows may lie there and
// from a disk if one is named.
func (m *machineReader) rehearseCopies(ctx context.Context, h *rehearsal.Rehearsal, fromHost bool, disk string) error {
	if m.WeightRate == 0 {
		return nil // nothing could be rehearsed
	}
	var places []string
	if fromHost {
		places = append(places, "")
	}
	if disk != "" {
		places = append(places, disk)
	}
	for _, place := range places {
		name, rate := "copies from host memory", &m.LinkRate
		if place != "" {
			name, rate = "disk", &m.DiskRate
		}
		measured, err := h.Copies(ctx, m.Machine, place)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			m.source("%s: %s, assumed, because they could not be tried: %v", name, formatRate(*rate), err)
		default:
			m.Machine = measured
			m.source("%s: rows reach a slot at %s while layers are computed, measured", name, formatRate(*rate))
		}
	}
	return nil
}

// firstGPU returns the first GPU that computes, with the rate of copies to it.
func firstGPU(ctx context.Context, root fs.FS) (r doctor.Device) {
	library, err := ggml.Load()
	if err != nil {
		return r
	}
	for _, d := range library.Devices() {
		if free, _ := d.Memory(); d.Type().String() == "cpu" || d.Software() || free == 0 {
			continue
		}
		r = doctor.Device{Name: d.Name(), Description: d.Description()}
		r.Free, r.Total = d.Memory()
		_ = measureCopies(ctx, root, d, &r) // a rate that is not measured is assumed
		return r
	}
	return r
}

// measureMemory makes the CPU the device, and measures how fast it reads memory.
func (m *machineReader) measureMemory() {
	m.device, m.Unified, m.DeviceMemory = "cpu", true, m.HostMemory
	if m.HostMemory > 8*readBytes {
		m.DeviceRate = readRate()
	}
	m.rate("memory", &m.DeviceRate, assumedMemory)
	m.LinkRate = m.DeviceRate / 2
	m.source("copies in memory: %s, half of that, as they read and write", formatRate(m.LinkRate))
}

// readRate returns the bytes a second at which all threads read memory; 0 if that fails.
func readRate() float64 {
	memory := make([]byte, readBytes)
	for i := range memory {
		memory[i] = 1 // touched, and not zero, as ReadAll wants it
	}
	threads, best := min(runtime.NumCPU(), runtime.GOMAXPROCS(0)), 0.0
	for start := time.Now(); best == 0 || time.Since(start) < readTime; {
		began := time.Now()
		if measure.ReadAll(memory, threads) != nil {
			return 0
		}
		best = max(best, readBytes/time.Since(began).Seconds())
	}
	return best
}

func (m *machineReader) source(format string, args ...any) {
	m.Sources = append(m.Sources, fmt.Sprintf(format, args...))
}

// rate says whether a rate was measured, and assumes one if not.
func (m *machineReader) rate(of string, rate *float64, assumed float64) {
	how := "measured"
	if *rate <= 0 {
		*rate, how = assumed, "assumed"
	}
	m.source("%s: %s, %s", of, formatRate(*rate), how)
}
