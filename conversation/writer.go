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

	// For those that wait for room:
	parks   *parking      // the sequence that is to be parked; nil: none
	givesUp bool          // the conversation is given up when it is written
	done    chan struct{} // closed when that is so, or will not be; nil: nobody waits
}

// writer is the goroutine that writes, and what it is to write.
type writer struct {
	lock sync.Mutex // held while a conversation is written; it is taken before the store's mu
	jobs []job
	wake chan struct{} // has an element when there are some
	said string        // what went wrong last

	frees chan struct{} // done, of the job that is under way; nil: that makes no room

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
	defer s.endJob(j)
	switch {
	case j.removes != nil:
		return true, s.remove(j.removes)
	case j.parks != nil:
		return true, s.writeParked(ctx, j.parks)
	}
	err = s.write(ctx, j)
	if j.givesUp && ctx.Err() == nil {
		_, failed := s.giveUp(j.of)
		err = errors.Join(err, failed)
	}
	return true, err
}

// nextJob takes the next job.
func (s *Store) nextJob() (j job, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.writer.jobs) == 0 {
		return j, false
	}
	j, s.writer.jobs = s.writer.jobs[0], s.writer.jobs[1:]
	s.writer.frees = j.done
	return j, true
}

// endJob tells those that wait for a job that it has ended.
func (s *Store) endJob(j job) {
	if j.done == nil {
		return
	}
	s.mu.Lock()
	s.writer.frees = nil
	s.mu.Unlock()
	close(j.done)
	s.options.Copied()
}

// coming returns a channel that is closed when there may be more room, because something is being written
// for that, or is lent; nil: nothing is.
func (s *Store) coming() <-chan struct{} {
	if making := s.making(); making != nil {
		return making
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lent = slices.DeleteFunc(s.lent, isClosed)
	if len(s.lent) > 0 {
		return s.lent[0]
	}
	return nil
}

// making is coming for what is being written.
func (s *Store) making() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writer.frees != nil {
		return s.writer.frees
	}
	for _, j := range s.writer.jobs {
		if j.done != nil {
			return j.done
		}
	}
	return nil
}

// soon has a job done for which somebody waits: before all others. mu is held.
func (s *Store) soon(j job) {
	j.done = make(chan struct{})
	n := 0
	for n < len(s.writer.jobs) && s.writer.jobs[n].done != nil {
		n++
	}
	s.writer.jobs = slices.Insert(s.writer.jobs, n, j)
	s.wake()
}

// later has a conversation written. mu is held.
func (s *Store) later(j job) {
	s.writer.jobs = append(s.writer.jobs, j)
	s.wake()
}

// wake has the goroutine look for jobs.
func (s *Store) wake() {
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
	if fork == nil && !c.busy && slices.Contains(s.all, c) && c.unwritten() > 0 {
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
	all := fork.Len()
	err = errors.Join(err, fork.Close())
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && c.cuts == cuts {
		c.written = max(c.written, tokens)
		if !c.busy && j.fork == nil && len(c.tokens) == all { // states that could not be read may have made more tokens pending
			c.pending = all - tokens
		}
	}
	return err
}

// unwritten returns how many tokens of an idle conversation files do not have, and may.
func (c *Conversation) unwritten() int { return len(c.tokens) - c.pending - c.written }

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
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.parking != nil || c.away > 0 {
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
	return s.dropJobs(func(j job) bool { return j.of == c })
}

// dropJobs drops some jobs. mu is held.
func (s *Store) dropJobs(which func(job) bool) (errs error) {
	s.writer.jobs = slices.DeleteFunc(s.writer.jobs, func(j job) bool {
		if !which(j) {
			return false
		}
		if j.fork != nil {
			errs = errors.Join(errs, j.fork.Close())
		}
		if j.parks != nil {
			errs = errors.Join(errs, j.parks.fork.Close())
			if j.parks.of == nil && !j.parks.back {
				errs = errors.Join(errs, j.parks.seq.Close())
			}
		}
		if j.done != nil {
			close(j.done)
			s.options.Copied()
		}
		return true
	})
	return errs
}
