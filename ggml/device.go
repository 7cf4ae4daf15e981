package ggml

import (
	"fmt"
	"runtime"
	"strings"
)

// DeviceType says what kind of processor a device is.
type DeviceType int32

// The device types, numbered as in ggml.
const (
	CPU   DeviceType = 0 // the processor the program runs on
	GPU   DeviceType = 1 // a GPU with memory of its own
	IGPU  DeviceType = 2 // a GPU that shares the host's memory
	Accel DeviceType = 3 // an accelerator used beside the CPU
)

// String returns "cpu", "gpu", "igpu" or "accel".
func (t DeviceType) String() string {
	switch t {
	case CPU:
		return "cpu"
	case GPU:
		return "gpu"
	case IGPU:
		return "igpu"
	case Accel:
		return "accel"
	default:
		return fmt.Sprintf("device type %d", int32(t))
	}
}

// Device is something that computes. It may be used from several goroutines.
type Device struct {
	lib         *Library
	ptr         uintptr
	name        string
	description string
	typ         DeviceType
	mappable    bool
}

func newDevice(l *Library, ptr uintptr) *Device {
	var p devProps
	c.DevGetProps(ptr, &p)
	return &Device{
		lib:         l,
		ptr:         ptr,
		name:        strings.ToLower(goString(p.name)),
		description: goString(p.description),
		typ:         p.typ,
		mappable:    p.caps.bufferFromHostPtr,
	}
}

// Name returns the name that selects the device, in lower case: "cpu", "vulkan0".
func (d *Device) Name() string { return d.name }

// Description returns the maker's name of the device.
func (d *Device) Description() string { return d.description }

// Type returns the kind of device.
func (d *Device) Type() DeviceType { return d.typ }

// Memory returns the device's free and total bytes as its driver reports them. Some drivers never
// lower the first.
func (d *Device) Memory() (free, total int64) {
	var p devProps
	c.DevGetProps(d.ptr, &p)
	return int64(p.memoryFree), int64(p.memoryTotal)
}

// Software reports whether the device is Mesa's software driver, which computes on the CPU.
func (d *Device) Software() bool { return strings.Contains(d.description, "llvmpipe") }

// Options are options of Open. The zero value is the default.
type Options struct {
	// Threads is the number of threads with which a CPU device computes, at most two per processor
	// core. 0 is one per core, but at most GOMAXPROCS, which a control group may limit further.
	// Other devices ignore it.
	Threads int

	// Limit is the number of bytes that the backend may allocate in all; 0 is no limit. Mapped
	// weights and HostRows do not count, as they are not in the device's memory. An allocation that
	// would exceed the limit fails with ErrNoMemory, as on a device that is full.
	Limit int64
}

// threadsPerCore bounds the threads: they wait for each other by spinning, and with many more than
// cores a step takes minutes.
const threadsPerCore = 2

// Open opens the device. The caller closes the backend.
func (d *Device) Open(o Options) (*Backend, error) {
	if o.Threads < 0 || o.Limit < 0 {
		return nil, fmt.Errorf("ggml: open %s: threads %d and limit %d must not be negative", d.name, o.Threads, o.Limit)
	}
	cores := runtime.NumCPU()
	if most := MostThreads(); o.Threads > most {
		return nil, fmt.Errorf("ggml: open %s: %d threads on %d cores: want at most %d, and for speed no more than there are cores", d.name, o.Threads, cores, most)
	}
	if o.Threads == 0 {
		o.Threads = min(cores, runtime.GOMAXPROCS(0))
	}
	ptr := c.DevInit(d.ptr, 0)
	if ptr == 0 {
		return nil, fmt.Errorf("ggml: open %s: %s", d.name, d.lib.log.last())
	}
	b := &Backend{dev: d, ptr: ptr, account: newAccount(d.name, o.Limit)}
	if d.typ == CPU {
		if err := b.startThreads(o.Threads); err != nil {
			c.BackendFree(ptr)
			return nil, fmt.Errorf("ggml: open %s: %w", d.name, err)
		}
	}
	return b, nil
}

// proc returns the address of a function that the device's library offers under name, or 0.
func (d *Device) proc(name string) uintptr {
	return c.RegGetProcAddress(c.DevBackendReg(d.ptr), name)
}
