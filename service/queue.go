package service

import "sync"

// queue has the requests that have come since the goroutine that computes last looked.
type queue struct {
	mu     sync.Mutex
	come   []*Answer
	closed bool
	news   chan struct{} // has an element when there is something to look at
}

// put adds a request. It returns false if the queue is closed.
func (q *queue) put(a *Answer) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.come = append(q.come, a)
	q.wake()
	return true
}

// wake has whoever waits for requests look again.
func (q *queue) wake() {
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// take returns the requests that have come, in their order.
func (q *queue) take() []*Answer {
	q.mu.Lock()
	defer q.mu.Unlock()
	come := q.come
	q.come = nil
	return come
}

// close has no more requests come, and returns those that have.
func (q *queue) close() []*Answer {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	return q.take()
}
