package kv

import (
	"context"
	"runtime"
	"sync"
)

// mover is a goroutine that makes copies in one direction. Pinned, it is locked to its thread:
// devices keep a stream a thread, and blocking copies on it pass the one that computes. A CPU has
// no streams, but threads that compute: there each wake-up of a locked goroutine would take their
// core twice.
type mover struct {
	jobs chan func()
	done sync.WaitGroup // jobs given and not finished
	end  sync.WaitGroup
}

func newMover(pinned bool) *mover {
	m := &mover{jobs: make(chan func(), 1)}
	m.end.Go(func() {
		if pinned {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
		}
		for job := range m.jobs {
			job()
			m.done.Done()
		}
	})
	return m
}

// start queues a job behind those already given.
func (m *mover) start(job func()) {
	m.done.Add(1)
	m.jobs <- job
}

// drain waits until every job given has finished.
func (m *mover) drain() { m.done.Wait() }

// close waits for the jobs and ends the goroutine.
func (m *mover) close() {
	close(m.jobs)
	m.end.Wait()
}

// cancels end the copies of steps. Those of a closed step may go on, as they are fetches ahead for
// the next one, so the copies of two steps can be under way.
type cancels struct{ last, before context.CancelFunc }

// next returns the context of another step's copies.
func (c *cancels) next() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	c.last, c.before = cancel, c.last
	return ctx
}

// all ends all copies that are under way.
func (c *cancels) all() {
	for _, cancel := range [...]context.CancelFunc{c.last, c.before} {
		if cancel != nil {
			cancel()
		}
	}
}
