package exec

import (
	"sync"
	"time"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// freeMemory says how much memory K/V may take under the policy auto, beside what they have: what is
// free on a device, or in host memory, without what steps will still need there.
type freeMemory struct {
	devices  []*device // by their numbers in the cache
	hostRoom func() (bytes int64, known bool)
	mapped   func() int64        // bytes of host memory that weights take where their file is mapped
	pending  func(*device) int64 // bytes that steps will need beside what they have
	usual    bool                // steps are no longer than the default

	mu   sync.Mutex
	host hostReading
}

// hostReading is how much host memory was free at a time.
type hostReading struct {
	at    time.Time
	bytes int64
	known bool
}

// freshness is how long a reading of the host's memory is used. Reading takes a part of a
// millisecond, and one growth asks several times.
const freshness = 20 * time.Millisecond

// plenty is more than the steps of any model take that are not longer than the default: there is no
// need to measure them.
const plenty = 2 << 30

// What is left free: for drivers, and for what other programs take meanwhile.
const (
	leastLeft = 32 << 20
	mostLeft  = 1 << 30
	shareLeft = 32 // of what is free in host memory, or of all the memory of a GPU
)

// process is about how much memory a process takes beside weights, K/V and what large steps need.
const process = 64 << 20

// left returns how many bytes of some are left free.
func left(bytes int64) int64 { return min(max(bytes/shareLeft, leastLeft), mostLeft) }

// newFreeMemory returns the free memory of the devices of a cache.
func (r *Runner) newFreeMemory(o Options, c kv.Options, backends []*ggml.Backend) *freeMemory {
	f := &freeMemory{hostRoom: o.HostRoom, mapped: r.mapped, usual: c.StepTokens <= kv.DefaultStepTokens && c.ChunkTokens <= kv.DefaultChunkTokens}
	for _, b := range backends {
		for _, d := range r.devices.all {
			if d.backend == b {
				f.devices = append(f.devices, d)
			}
		}
	}
	steps := map[*device]int64{} // what the largest take
	f.pending = func(d *device) int64 {
		most, ok := steps[d]
		if !ok {
			footprint, err := r.footprint(o, c, d, c.Cells)
			if err != nil {
				return 0 // the steps themselves say what is wrong
			}
			most = footprint.Total() - footprint.Weights
			steps[d] = most
		}
		now := footprintOf(d.backend)
		return max(0, most-(now.Total()-now.Weights))
	}
	return f
}

// mapped returns how many bytes of weights the devices use where their file is mapped.
func (r *Runner) mapped() (bytes int64) {
	for _, d := range r.devices.opened() {
		bytes += d.backend.Usage().Mapped
	}
	return bytes
}

// room is what [kv.Options.Room] asks for.
func (f *freeMemory) room(device int, enough int64) (bytes int64, known bool) {
	if device == kv.HostMemory {
		return f.inHost(0)
	}
	d := f.devices[device]
	if bytes, known = f.onDevice(d.backend); !known || f.usual && bytes-plenty > enough {
		return bytes, known
	}
	if d.backend.Device().Type() == ggml.CPU {
		return f.inHost(f.pending(d))
	}
	return max(0, bytes-f.pending(d)), true
}

// onDevice returns how many bytes K/V and steps may take on a device.
func (f *freeMemory) onDevice(b *ggml.Backend) (bytes int64, known bool) {
	if b.Device().Type() == ggml.CPU {
		return f.inHost(0)
	}
	bytes, total := b.Device().Memory()
	if total <= 0 {
		return 0, false
	}
	usage := b.Usage()
	bytes = min(bytes, total-usage.Total()+usage.Current[ggml.HostRows]) // some drivers never lower what is free
	if host, ok := f.inHost(0); ok && b.Device().Software() {
		bytes = min(bytes, host)
	}
	return max(0, bytes-left(total)), true
}

// inHost returns how many bytes of host memory K/V may take beside what steps still need there. Weights
// that are used where their file is mapped should stay in memory, and the system counts their pages as
// free. Where little is left beside them, or nothing, K/V may take a quarter all the same: the system
// then reads some weights again with each step, as it must with a model that is larger than the memory.
func (f *freeMemory) inHost(steps int64) (bytes int64, known bool) {
	if f.hostRoom == nil {
		return 0, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.host.at) > freshness {
		bytes, known := f.hostRoom()
		f.host = hostReading{now, bytes - left(bytes), known}
	}
	bytes = max(0, f.host.bytes-steps)
	return max(bytes-f.mapped(), bytes/4), f.host.known
}
