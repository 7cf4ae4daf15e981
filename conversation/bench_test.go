package conversation_test

import (
	"errors"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/conversation"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

// BenchmarkFirstTokenFromFiles goes on with a conversation of 4,100 tokens that only files have, as after a
// restart, with 8 more tokens. first-ms is until the next token is known, read-ms until all rows are in the
// cache if nothing is computed meanwhile, and step-ms what the 8 tokens take then.
func BenchmarkFirstTokenFromFiles(b *testing.B) {
	const tokens, more = 4100, 8
	e, err := ebb.Open(testmodel.Real(b, testmodel.SmolLM2), ebb.Options{Context: 8192, Threads: 2})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	o := conversation.Options{Dir: b.TempDir(), DirBytes: 1 << 30}
	prompt := make([]int32, tokens+more)
	for i := range prompt {
		prompt[i] = int32(100 + i*i%40000)
	}
	// use opens the files, takes the conversation and gives it up again.
	use := func(do func(*conversation.Store, *conversation.Conversation, conversation.Found, time.Time) error) {
		s, err := conversation.New(e, o)
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		c, found, err := s.Take(b.Context(), conversation.Prompt{Tokens: prompt})
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(do(s, c, found, start), s.Close()); err != nil {
			b.Fatal(err)
		}
	}
	use(func(s *conversation.Store, c *conversation.Conversation, _ conversation.Found, _ time.Time) error {
		_, err := e.Prefill(b.Context(), c.Seq(), prompt[:tokens], 0)
		return errors.Join(err, s.Put(b.Context(), c, nil), s.Flush(b.Context()))
	})
	var first, read, step time.Duration
	since := func(sum *time.Duration, start time.Time) time.Time {
		now := time.Now()
		*sum += now.Sub(start)
		return now
	}
	for b.Loop() {
		for _, waits := range []bool{false, true} {
			use(func(_ *conversation.Store, c *conversation.Conversation, found conversation.Found, start time.Time) error {
				if found.Cached != tokens {
					b.Fatalf("files have %d tokens; want %d", found.Cached, tokens)
				}
				sum := &first
				if waits {
					if err := c.Seq().Wait(b.Context()); err != nil {
						return err
					}
					start, sum = since(&read, start), &step
				}
				_, err := e.Prefill(b.Context(), c.Seq(), prompt[tokens:], 1)
				since(sum, start)
				return err
			})
		}
	}
	for name, sum := range map[string]time.Duration{"first-ms": first, "read-ms": read, "step-ms": step} {
		b.ReportMetric(float64(sum.Microseconds())/1e3/float64(b.N), name)
	}
}
