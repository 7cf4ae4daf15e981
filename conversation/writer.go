package conversation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/seed4d217819/ebb/kv"
)

// What conversations have computed is written to files beside the steps, soon after it is there. So nothing
// is to be written any more when a conversation is given up, or when the process is killed.

// job is a conversation that is to be written, or whose files are to be removed.
type job struct {
	of      *Conversation
	fork    *kv.Seq  // what is to be written of a busy one; nil: all that the conversation has then
	cuts    int      // those of the conversation when it was forked
	removes *removal // nil: it is to be written
}

// writer is the goroutine that writes, and what it is to write.
type writer struct {
	lock sync.Mutex // held while a conversation is written; it is taken before the store's mu
	jobs []job
	wake chan struct{} // has an element when there are some
	said string        // what went wrong last

	done chan struct{} // closed when the goroutine has ended
}

// writeAll writes until ctx ends.
func (s *Store) writeAll(ctx context.Context) {
	defer close(s.writer.done)
	for ctx.Err() == nil {
		if more, err := s.writeNext(ctx); more {
			s.report(err)
			s.report(s.bound(ctx))
			continue
		}
		select {
		case <-s.writer.wake:
		case <-ctx.Done():
		}
	}
}

// writeNext does the next job, and reports whether there was one.
func (s *Store) writeNext(ctx context.Context) (more bool, err error) {
	s.writer.lock.Lock() // before the job is taken: whoever has the lock knows all that is to be written
	defer s.writer.lock.Unlock()
	j, ok := s.nextJob()
	if !ok {
		return false, nil
	}
	if j.removes != nil {
		return true, s.remove(j.removes)
	}
	return true, s.write(ctx, j)
}

// nextJob takes the next job.
func (s *Store) nextJob() (j job, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.writer.jobs) == 0 {
		return j, false
	}
	j, s.writer.jobs = s.writer.jobs[0], s.writer.jobs[1:]
	return j, true
}

// later has a conversation written. mu is held.
func (s *Store) later(j job) {
	s.writer.jobs = append(s.writer.jobs, j)
	select {
	case s.writer.wake <- struct{}{}:
	default:
	}
}

// write writes a conversation, unless it is busy or gone. The caller has the writer's lock.
func (s *Store) write(ctx context.Context, j job) (err error) {
	c := j.of
	s.mu.Lock()
	fork, cuts, written := j.fork, j.cuts, c.written
	if fork == nil && !c.busy && slices.Contains(s.all, c) && len(c.tokens) > written {
		cuts = c.cuts
		fork, err = c.seq.Fork()
	}
	s.mu.Unlock()
	if fork == nil {
		return err
	}
	tokens, err := s.files.write(ctx, c.salt, fork, written)
	if err == nil && tokens > 0 {
		s.report(s.remember(c, cuts, fork.Tokens()[:tokens]))
	}
	err = errors.Join(err, fork.Close())
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && c.cuts == cuts {
		c.written = max(c.written, tokens)
	}
	return err
}

// report says that something could not be written, unless the same was said before.
func (s *Store) report(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	s.mu.Lock()
	s.stats.Unwritten++
	again := err.Error() == s.writer.said
	s.writer.said = err.Error()
	s.mu.Unlock()
	if !again {
		s.options.Notify(fmt.Sprintf("what conversations have computed cannot be written, and is lost when memory is short or the process ends: %v", err))
	}
}

// keepEvery is after how many tokens what a busy conversation has computed is written.
const keepEvery = 4096

// Keep has what a busy conversation has computed written beside the steps, if there are files and that has
// become much, or with now in any case. Whoever has taken the conversation calls it between two steps.
func (s *Store) Keep(c *Conversation, now bool) error {
	if s.files == nil {
		return nil
	}
	n := c.seq.Len() - c.seq.PendingLen()
	if n == c.queued || !now && n < c.queued+keepEvery {
		return nil
	}
	fork, err := c.seq.Fork()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.queued = n
	s.later(job{of: c, fork: fork, cuts: c.cuts})
	return nil
}

// Flush writes all idle conversations to files, if there are some, and removes what is to be removed.
func (s *Store) Flush(ctx context.Context) error {
	if s.files == nil {
		return nil
	}
	for more := true; more && ctx.Err() == nil; {
		var err error
		more, err = s.writeNext(ctx)
		s.report(err)
	}
	s.mu.Lock()
	all := slices.Clone(s.all)
	s.mu.Unlock()
	var errs []error
	for _, c := range all {
		s.writer.lock.Lock()
		errs = append(errs, s.write(ctx, job{of: c}))
		s.writer.lock.Unlock()
	}
	return errors.Join(errs...)
}

// forget drops the jobs of a conversation. mu is held.
func (s *Store) forget(c *Conversation) (errs error) {
	s.writer.jobs = slices.DeleteFunc(s.writer.jobs, func(j job) bool {
		if j.of == c && j.fork != nil {
			errs = errors.Join(errs, j.fork.Close())
		}
		return j.of == c
	})
	return errs
}
