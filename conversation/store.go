package conversation

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/blockfile"
	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/kv"
)

// Options say where a store keeps what does not fit into the cache. The zero value keeps nothing.
type Options struct {
	// Dir is a folder for what conversations have computed, so that it is found again when they were
	// given up, and by the next process. "": there is none.
	Dir string
	// DirBytes is what files may take there. 0: half of what is free.
	DirBytes int64
	// HostBytes is how much host memory the rows of streamed layers may take while conversations are idle:
	// beyond it these are given up. 0: half of the memory that is free when the store is made, if that is
	// known. What rows that stay where they are computed with may take is the engine's to say.
	HostBytes int64
	// Notify receives a line when something cannot be written or read. It may be called from several
	// goroutines, and must not use the store. nil: nobody hears of it.
	Notify func(string)
	// Copied is called when a beginning was copied, or room was made beside the steps, for which [Found.Soon]
	// may say now that it is there. It is called from several goroutines, and must not use the store. nil:
	// nobody hears of it.
	Copied func()
}

// Store keeps the conversations of an engine. One goroutine takes conversations and puts them back,
// between the steps that it computes; others may call what says so.
type Store struct {
	engine  *ebb.Engine
	options Options
	files   *files   // nil: there are none
	records *records // of the conversations that have files
	writer  writer

	mu    sync.Mutex
	all   []*Conversation
	uses  uint64
	puts  uint64 // of conversations that were put back
	stats Stats

	exports int               // under way
	copying []*copying        // under way
	lent    []<-chan struct{} // of sequences that were read from files for others; closed when they are given back
	life    context.Context   //nolint:containedctx // the store's, which Close ends
	end     context.CancelFunc
}

// Stats are what a store has, and its counters since it was made.
type Stats struct {
	Conversations int // in the cache, the busy ones among them
	Idle          int // of these, those for which nothing is computed
	Waiting       int // of these, those that have what files do not have yet
	InFiles       int // conversations that are in files alone
	Continued     int // prompts that went on with a conversation
	Forked        int // prompts that went on from the middle of one, with a fork
	Copied        int // beginnings of conversations that were copied for prompts
	Cut           int // conversations whose last answer a prompt has left out or replaced
	Restored      int // prompts that went on with what files had
	New           int // prompts of which nothing was there
	GivenUp       int // conversations that were closed to make room
	Lost          int // of these, those that files did not have whole
	Damaged       int // conversations that could not be used, because what files had was damaged
	Unwritten     int // times that something could not be written
	Parked        int // conversations of requests that had to wait, and gave their memory to others

	Files blockfile.Stats // zero where there are none
}

// New returns an empty store. The caller closes it, before the engine.
func New(e *ebb.Engine, o Options) (*Store, error) {
	s := &Store{engine: e, options: o}
	s.life, s.end = context.WithCancel(context.Background())
	if s.options.Copied == nil {
		s.options.Copied = func() {}
	}
	if o.HostBytes == 0 {
		if free, known := doctor.ReadRoom(os.DirFS("/")); known {
			s.options.HostBytes = free / 2
		}
	}
	if s.options.Notify == nil {
		s.options.Notify = func(string) {}
	}
	if o.Dir == "" {
		return s, nil
	}
	s.writer.wake, s.writer.done = make(chan struct{}, 1), make(chan struct{})
	var left int64
	s.records, left = newRecords(o.Dir, o.DirBytes, s.options.Notify)
	var err error
	if s.files, err = openFiles(e, o.Dir, blockfile.Options{Bytes: left, Notify: s.options.Notify, Held: s.records.read}); err != nil {
		s.end()
		return nil, err
	}
	s.records.kept, s.records.gone = s.hold, s.files.blocks.Free
	if err := errors.Join(removeExports(o.Dir), s.forgetAllLost()); err != nil {
		s.end()
		return nil, errors.Join(err, s.files.blocks.Close())
	}
	go s.writeAll(s.life)
	return s, nil
}

// Take finds what is there of a prompt, and returns a conversation whose sequence has that, and no more.
// The caller computes the rest and puts the conversation back. If it is worth waiting, Take returns none,
// and Found.Waits says so. To have room for what files have of the prompt, conversations that are less
// useful are given up.
func (s *Store) Take(ctx context.Context, p Prompt) (*Conversation, Found, error) {
	for files := s.files != nil; ; {
		c, found, err := s.take(ctx, p, files)
		if !errors.Is(err, kv.ErrFull) {
			return c, found, err
		}
		made, failed := s.askForRoom(ctx, err)
		if failed != nil {
			return nil, found, failed
		}
		if !made && (s.waitForComing(&found) || s.waitForRoom(&found)) {
			return nil, found, nil
		}
		files = files && made
	}
}

// waitForComing has a prompt wait for room that is on its way, if there is some.
func (s *Store) waitForComing(found *Found) bool {
	coming := s.coming()
	if coming == nil {
		return false
	}
	found.Waits, found.Full, found.soon = true, true, func() bool { return isClosed(coming) }
	return true
}

// isClosed reports whether a channel is closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// waitForRoom has a prompt wait until a busy conversation is put back, if there is one.
func (s *Store) waitForRoom(found *Found) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.ContainsFunc(s.all, func(c *Conversation) bool { return c.busy }) { // nobody would put one back
		return false
	}
	puts := s.puts
	found.Waits, found.Full, found.soon = true, true, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.puts != puts
	}
	return true
}

// take is Take, or an error that is [kv.ErrFull] where there is no room for what files have.
func (s *Store) take(ctx context.Context, p Prompt, files bool) (*Conversation, Found, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, soon := s.find(p)
	found := Found{Left: s.left(p, now)}
	has, match := now.has, (*blockfile.Match)(nil)
	if files {
		if match = s.files.find(p.Salt, p.Tokens[:len(p.Tokens)-1]); match.Tokens >= now.has+granule {
			has = match.Tokens
		} else if err := match.Close(); err != nil {
			return nil, found, err
		} else {
			match = nil
		}
	}
	if soon.common-has >= granule {
		found.Waits, found.soon = true, func() bool { return s.come(soon) }
		var err error
		if soon.of.away == 0 {
			err = soon.of.seq.SnapshotAt(soon.common)
		}
		if match != nil {
			err = errors.Join(err, match.Close())
		}
		return nil, found, err
	}
	if match == nil && now.of != nil && !now.whole && s.wayFrom(p, now) == copies {
		c, err := s.copy(now, p.Salt)
		if err != nil {
			return nil, found, err
		}
		found.Waits, found.soon, found.copy = true, c.ended, c
		return nil, found, nil
	}
	c, err := s.continued(ctx, p, now, match)
	if err != nil {
		return nil, found, err
	}
	if match != nil {
		s.adopt(c, p)
	}
	found.Files, found.Cached = match != nil, c.seq.Len()-c.seq.PendingLen()
	if c.name == "" {
		c.name = p.Name
	}
	c.busy, c.tokens, c.turn, c.replaced, c.copied, c.queued = true, p.Tokens, p.Turn, false, false, c.written
	s.use(c)
	if err := s.wantSnapshots(c, now.common); err != nil {
		return nil, found, errors.Join(err, s.drop(c))
	}
	return c, found, nil
}

// come reports whether a conversation has what was waited for, or will not have it.
func (s *Store) come(what share) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !what.of.busy || what.of.away == 0 && what.of.seq.Len() >= what.common
}

// continued returns the conversation that a prompt continues: with what files have, if match is not nil.
func (s *Store) continued(ctx context.Context, p Prompt, now share, match *blockfile.Match) (*Conversation, error) {
	if match == nil {
		return s.continues(p, now)
	}
	n := match.Tokens
	seq, err := s.engine.Restore(ctx, p.Tokens[:n], match)
	if err != nil {
		return nil, err
	}
	s.stats.Restored++
	c := s.add(seq, p)
	c.written = n
	return c, nil
}

// continues returns the conversation that a prompt continues with what is in the cache.
func (s *Store) continues(p Prompt, from share) (*Conversation, error) {
	if from.whole {
		s.stats.Continued++
		return from.of, nil
	}
	how := anew
	if from.of != nil {
		how = s.wayFrom(p, from)
	}
	switch how {
	case cuts:
		s.stats.Cut++
		from.of.written = min(from.of.written, from.here)
		from.of.cuts++
		return from.of, from.of.seq.Truncate(from.here)
	case forks:
		s.stats.Forked++
		return s.fork(p, from)
	}
	s.stats.New++
	return s.add(s.engine.NewSeq(), p), nil
}

// fork returns a fork of the beginning of a conversation.
func (s *Store) fork(p Prompt, from share) (*Conversation, error) {
	s.use(from.of)
	from.of.replaced = from.of.replaced || s.replaces(p, from)
	fork, err := from.of.seq.Fork()
	if err != nil {
		return nil, err
	}
	if err := fork.Truncate(from.here); err != nil {
		return nil, errors.Join(err, fork.Close())
	}
	c := s.add(fork, p)
	c.written = min(from.of.written, from.here)
	return c, nil
}

// add keeps a new conversation.
func (s *Store) add(seq *kv.Seq, p Prompt) *Conversation {
	c := &Conversation{ID: "conv_" + strings.ToLower(rand.Text()[:16]), seq: seq, salt: p.Salt}
	s.all = append(s.all, c)
	return c
}

// use notes that a conversation was used.
func (s *Store) use(c *Conversation) {
	s.uses++
	c.used, c.at = s.uses, time.Now()
}

// wantSnapshots asks for the states of recurrent layers where later prompts are likely to leave this one:
// where it has left another, and where the assistant's turn begins.
func (s *Store) wantSnapshots(c *Conversation, shared int) error {
	for _, at := range [...]int{shared, c.turn} {
		if at >= c.seq.Len() && at > 0 {
			if err := c.seq.SnapshotAt(at); err != nil {
				return err
			}
		}
	}
	return nil
}

// Stats returns the counters. Any goroutine may call it.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Conversations = len(s.all)
	for _, c := range s.all {
		if !c.busy {
			stats.Idle++
		}
		if s.files != nil && !c.busy && c.unwritten() > 0 {
			stats.Waiting++
		}
	}
	if s.files != nil {
		stats.InFiles = s.inFiles()
		stats.Files = s.files.blocks.Stats()
	}
	return stats
}

// Close closes all conversations. What is not written yet is lost: see [Store.Flush].
func (s *Store) Close() error {
	s.end()
	s.waitForCopies()
	if s.files != nil {
		<-s.writer.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for len(s.all) > 0 {
		errs = append(errs, s.drop(s.all[0]))
	}
	if s.files != nil {
		errs = append(errs, s.dropJobs(func(job) bool { return true })) // those of conversations that are gone
		errs = append(errs, s.files.blocks.Close())
	}
	return errors.Join(errs...)
}
