package model

import "sync"

// loaded is how many bytes of weights are ready.
type loaded struct {
	report      func(done, total int64) // nil: nobody wants to know
	lock        sync.Mutex
	done, total int64
}

// add adds bytes that are ready.
func (l *loaded) add(bytes int64) {
	if l.report == nil {
		return
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	l.done += bytes
	l.report(l.done, l.total)
}
