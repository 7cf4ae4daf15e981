package ggml

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"
)

// threadpool holds the threads with which a CPU backend computes. They live as long as their number
// stays the same: without them each Compute starts threads of its own, which makes a graph of one
// layer several times slower. Threads that are not needed are ended, because the pool wakes all of
// its threads for every graph, and they would spin.
type threadpool struct {
	backend uintptr
	pool    uintptr // 0: none
	starts  int     // how often the threads were started

	// functions of the CPU library
	setThreads, newPool, setPool, freePool uintptr
}

func newThreadpool(b *Backend) (*threadpool, error) {
	t := &threadpool{
		backend:    b.ptr,
		setThreads: b.dev.proc("ggml_backend_set_n_threads"),
		newPool:    b.dev.proc("ggml_threadpool_new"),
		setPool:    b.dev.proc("ggml_backend_cpu_set_threadpool"),
		freePool:   b.dev.proc("ggml_threadpool_free"),
	}
	if t.setThreads == 0 || t.newPool == 0 || t.setPool == 0 || t.freePool == 0 {
		return nil, errors.New("the CPU library offers no thread pool")
	}
	return t, nil
}

// start replaces the threads by n new ones.
func (t *threadpool) start(n int) error {
	t.stop()
	t.starts++
	params := new(threadpoolParams)
	c.ThreadpoolParamsInit(params, int32(n))
	t.pool = call(t.newPool, uintptr(unsafe.Pointer(params)), 0, 0, 0, 0, 0, 0)
	if t.pool == 0 {
		return fmt.Errorf("cannot start %d threads", n)
	}
	call(t.setThreads, t.backend, uintptr(n), 0, 0, 0, 0, 0)
	call(t.setPool, t.backend, t.pool, 0, 0, 0, 0, 0)
	return nil
}

// stop takes the threads from the backend and ends them.
func (t *threadpool) stop() {
	if t.pool == 0 {
		return
	}
	call(t.setPool, t.backend, 0, 0, 0, 0, 0, 0)
	t.free()
}

// free ends the threads of a backend that was freed.
func (t *threadpool) free() {
	if t.pool != 0 {
		call(t.freePool, t.pool, 0, 0, 0, 0, 0, 0)
		t.pool = 0
	}
}

// startThreads starts the threads of a CPU backend.
func (b *Backend) startThreads(n int) (err error) {
	if b.pool, err = newThreadpool(b); err != nil {
		return err
	}
	b.computesWith(n)
	return b.pool.start(n)
}

// SetThreads makes a CPU backend compute with n threads from the next Compute on. It takes some
// tenths of a millisecond, and must not run during a Compute. ggml divides some work by the number
// of threads, so results may change in their last bits. Other devices ignore it.
func (b *Backend) SetThreads(n int) error {
	most := MostThreads()
	switch {
	case b.ptr == 0:
		return fmt.Errorf("ggml: threads of %s: it is closed", b.dev.name)
	case n < 1 || n > most:
		return fmt.Errorf("ggml: threads of %s: %d: want 1 to %d", b.dev.name, n, most)
	case b.pool == nil || n == b.Threads():
		return nil
	}
	if err := b.pool.start(n); err != nil {
		return fmt.Errorf("ggml: threads of %s: %w", b.dev.name, err)
	}
	b.computesWith(n)
	return nil
}

// computesWith keeps the number of threads.
func (b *Backend) computesWith(n int) {
	b.threads.Store(int64(n))
	b.most.Store(max(b.most.Load(), int64(n)))
}

// Threads returns the number of threads with which a CPU backend computes, and 0 for other
// backends.
func (b *Backend) Threads() int { return int(b.threads.Load()) }

// MostThreads returns the largest number of threads that the graph's backend has had so far: that of
// Options, unless SetThreads was given a larger one. An operation that needs memory for each thread
// has it for so many, and must leave the work to them if there are more later.
func (g *Graph) MostThreads() int { return int(g.backend.most.Load()) }

// MostThreads returns the largest number of threads with which a CPU backend can compute.
func MostThreads() int { return threadsPerCore * runtime.NumCPU() }
