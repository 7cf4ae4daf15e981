package ggml

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Backend is an opened device. Several goroutines may make buffers, graphs and scratches and copy
// tensors at once; one Compute may run at a time.
type Backend struct {
	dev      *Device
	ptr      uintptr
	threads  atomic.Int64
	most     atomic.Int64 // threads so far
	pool     *threadpool  // of a CPU
	plans    plans
	account  *account
	measures bool      // nothing on it has memory: see Measure
	yielded  time.Time // when Compute last let the scheduler run

	retiredMu sync.Mutex
	retired   []func() // frees memory when the backend closes

	buffers  atomic.Int64
	graphs   atomic.Int64
	computes atomic.Int64
	planned  atomic.Int64
	close    sync.Once
}

// Device returns the device that was opened.
func (b *Backend) Device() *Device { return b.dev }

// Compute runs the graph and waits for it. It allocates no Go memory, but for a plan that is kept
// ([Graph.KeepPlan]). It panics if the backend is closed, or if the graph belongs to another backend,
// was not allocated by a Scratch, or was allocated before its Scratch moved.
func (b *Backend) Compute(g *Graph) error {
	g.checkReady(b)
	b.computes.Add(1)
	compute, what := c.GraphCompute, g.ptr
	if plan := b.planOf(g); plan != 0 {
		compute, what = c.PlanCompute, plan
	}
	if status := int32(call(compute, b.ptr, what, 0, 0, 0, 0, 0)); status != 0 {
		return fmt.Errorf("ggml: compute on %s: status %d; %s", b.dev.name, status, b.dev.lib.log.last())
	}
	b.yield()
	return nil
}

// yieldAfter is half of the 10 ms after which Go's scheduler preempts a goroutine.
const yieldAfter = 5 * time.Millisecond

// yield calls the scheduler before it preempts. A goroutine that spends nearly all of its time in C
// cannot be preempted: after 10 ms the runtime's monitor retakes its processor in each call, and
// wakes every 20 µs to do so. With Go 1.26 the monitor interrupted the computing threads 3000 times
// a second, and a step took 5 % longer.
func (b *Backend) yield() {
	if now := time.Now(); now.Sub(b.yielded) > yieldAfter {
		b.yielded = now
		runtime.Gosched()
	}
}

// Stats counts what a backend did since it was opened.
type Stats struct {
	Buffers  int64 // buffers allocated, growth of a Scratch included
	Graphs   int64 // graphs built, parts included
	Computes int64 // graphs computed
	Plans    int64 // plans made that are kept
}

// Plus returns the counters of two backends together.
func (s Stats) Plus(o Stats) Stats {
	return Stats{Buffers: s.Buffers + o.Buffers, Graphs: s.Graphs + o.Graphs, Computes: s.Computes + o.Computes, Plans: s.Plans + o.Plans}
}

// Stats returns the counters.
func (b *Backend) Stats() Stats {
	return Stats{Buffers: b.buffers.Load(), Graphs: b.graphs.Load(), Computes: b.computes.Load(), Plans: b.planned.Load()}
}

// Usage returns the bytes in use and their peaks.
func (b *Backend) Usage() Usage { return b.account.usage() }

// retire frees device memory: at once, or on a software Vulkan device when the backend closes.
// Mesa's driver still writes to memory that was freed between computations, which corrupts the heap
// (seen with 22.3.6: a scratch that grows from one prompt to the next crashes nearly every run).
func (b *Backend) retire(free func()) {
	if !b.dev.Software() {
		free()
		return
	}
	b.retiredMu.Lock()
	defer b.retiredMu.Unlock()
	if b.ptr == 0 {
		free()
		return
	}
	b.retired = append(b.retired, free)
}

// Close frees the device and its threads. If buffers are still open it returns an error that names
// their purposes; they remain valid until closed, but must not be computed with. Further calls do
// nothing.
func (b *Backend) Close() error {
	var err error
	b.close.Do(func() {
		b.retiredMu.Lock()
		defer b.retiredMu.Unlock()
		for _, free := range b.retired {
			free()
		}
		if b.ptr != 0 {
			b.plans.freeAll(b.ptr)
			c.BackendFree(b.ptr)
		}
		b.ptr, b.retired = 0, nil
		if b.pool != nil {
			b.pool.free()
		}
		if open := b.account.open(); open != "" {
			err = fmt.Errorf("ggml: close %s: still in use: %s", b.dev.name, open)
		}
	})
	return err
}
