package kv

import (
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
