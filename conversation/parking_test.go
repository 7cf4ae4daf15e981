package conversation

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
)

// crowd is a batch of three requests in a memory for three blocks of 256 tokens. The first one needs one, and
// the others two each.
type crowd struct {
	store *Store
	batch *ebb.Batch
	dir   string
	taken []*Conversation
	going []*ebb.Generation
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	o := ebb.Options{Context: 512, Cache: kv.Offloaded, ForcedCopies: true, KVType: "f32", Threads: 1}
	e, err := ebb.Open("../testdata/models/tiny-gqa.gguf", o)
	if err != nil {
		t.Fatal(err)
	}
	var want [][]int32
	for i := range crowdPrompts {
		c, err := e.Complete(t.Context(), crowdPrompts[i], crowdConfig(i))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, c[0].IDs)
	}
	o.Tier = stack.New(host.NewExact, nil, 3*kv.Block*e.Stats().Cache.TokenBytes).New
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if e, err = ebb.Open("../testdata/models/tiny-gqa.gguf", o); err != nil {
		t.Fatal(err)
	}
	c := &crowd{dir: t.TempDir()}
	if c.store, err = New(e, Options{Dir: c.dir, DirBytes: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	c.batch = e.NewBatch(c.store.Batch(ebb.BatchOptions{}))
	t.Cleanup(func() {
		for i, g := range c.going {
			if err := g.Err(); err != nil || !slices.Equal(g.Completions()[0].IDs, want[i]) {
				t.Errorf("request %d: %v, or other tokens than alone", i, err)
			}
		}
		if err := errors.Join(c.batch.Close(), c.store.Close(), e.Close()); err != nil {
			t.Error(err)
		}
	})
	for i, prompt := range crowdPrompts {
		taken, _, err := c.store.Take(t.Context(), Prompt{Tokens: prompt})
		if err != nil {
			t.Fatal(err)
		}
		g, err := c.batch.Add(ebb.Request{Seq: taken.Seq(), Keep: true, Prompt: prompt, Config: crowdConfig(i)})
		if err != nil {
			t.Fatal(err)
		}
		c.taken, c.going = append(c.taken, taken), append(c.going, g)
	}
	return c
}

var crowdPrompts = [][]int32{slices.Repeat([]int32{20}, 20), slices.Repeat([]int32{21, 30}, 120), slices.Repeat([]int32{22, 31}, 122)}

func crowdConfig(i int) ebb.GenerationConfig {
	return ebb.GenerationConfig{MaxNewTokens: 60 - 15*i, EOSTokenID: []int32{-1}}
}

// step takes steps while a condition holds, and puts back what has ended.
func (c *crowd) step(t *testing.T, while func() bool) {
	t.Helper()
	for while() {
		if _, err := c.batch.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, g := range c.going {
			if g.Done() && c.taken[i].busy {
				if err := c.store.Put(t.Context(), c.taken[i], nil); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// settle waits until nothing is written for which somebody waits: steps of this model are faster than disks.
func (c *crowd) settle() {
	for coming := c.store.coming(); coming != nil; coming = c.store.coming() {
		<-coming
	}
}

// run takes steps until all have ended.
func (c *crowd) run(t *testing.T) {
	t.Helper()
	c.step(t, func() bool {
		return slices.ContainsFunc(c.going, func(g *ebb.Generation) bool { return !g.Done() })
	})
}

// While one request is parked, however long it takes to write it, others go on.
func TestParkingHoldsNobodyUp(t *testing.T) {
	c := newCrowd(t)
	c.store.writer.lock.Lock() // as while something is written
	c.step(t, func() bool { return !c.going[0].Done() })
	if got := c.batch.Stats(); got.Parked != 1 || c.going[1].Done() || c.going[2].Done() {
		t.Errorf("%+v; want one parked and none of the long ones to have ended", got)
	}
	c.store.writer.lock.Unlock()
	c.run(t)
	if got := c.batch.Stats(); got.Again > 0 {
		t.Errorf("%d tokens were computed again", got.Again)
	}
}

// A prompt may ask whether the beginning of a request is there while that is being parked. It is not until the
// request has come back or ended.
func TestAPromptWaitsForARequestThatIsParked(t *testing.T) {
	c := newCrowd(t)
	_, found, err := c.store.Take(t.Context(), Prompt{Tokens: append(slices.Clone(crowdPrompts[2]), 1, 2)})
	if err != nil || !found.Waits {
		t.Fatalf("%+v, %v; want a prompt to wait for the one that begins like it", found, err)
	}
	var coming <-chan struct{}
	c.step(t, func() bool {
		coming = c.store.coming()
		return coming == nil
	})
	for !isClosed(coming) {
		found.Soon()
	}
	c.step(t, func() bool { return c.taken[2].busy })
	if !found.Soon() {
		t.Error("a prompt waits for a request that has ended")
	}
	c.run(t)
}

// A disk on which nothing can be written costs a request time, and nothing else.
func TestARequestThatCannotBeWrittenIsComputedAgain(t *testing.T) {
	c := newCrowd(t)
	if err := os.RemoveAll(c.dir); err != nil {
		t.Fatal(err)
	}
	c.step(t, func() bool {
		c.settle()
		return c.batch.Stats().Parked == 0
	})
	c.settle()
	c.run(t)
	if got, s := c.batch.Stats(), c.store.Stats(); got.Parked == 0 || got.Again == 0 || s.Unwritten == 0 {
		t.Errorf("%+v, %+v; want tokens to be computed again", got, s)
	}
}

// A parked request whose files are damaged goes on, token for token.
func TestAParkedRequestOutlivesItsFiles(t *testing.T) {
	c := newCrowd(t)
	parked := func() *Conversation {
		c.settle()
		for i, g := range c.going {
			if g.Phase() == generate.Parked {
				c.store.mu.Lock()
				defer c.store.mu.Unlock()
				if c.taken[i].away > 0 {
					return c.taken[i]
				}
			}
		}
		return nil
	}
	c.step(t, func() bool { return parked() == nil })
	names, err := filepath.Glob(filepath.Join(c.dir, "*.rows"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[8200] ^= 1
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.run(t)
	if got, s := c.batch.Stats(), c.store.Stats(); got.Lost == 0 || got.Again == 0 || s.Damaged == 0 {
		t.Errorf("%+v, %+v; want rows to be lost and computed again", got, s)
	}
}

// A request that is parked, or was emptied, has its conversation deleted with all files.
func TestAParkedConversationThatIsDeletedLeavesNoFiles(t *testing.T) {
	c := newCrowd(t)
	var parked *Conversation
	c.step(t, func() bool {
		c.settle()
		c.store.mu.Lock()
		defer c.store.mu.Unlock()
		for _, taken := range c.taken {
			if taken.away > 0 {
				parked = taken
			}
		}
		return parked == nil
	})
	for i, taken := range c.taken {
		if err := errors.Join(c.store.Delete("", taken.ID), c.batch.Remove(c.going[i])); err != nil {
			t.Fatal(err)
		}
		if taken.busy {
			if err := c.store.Put(t.Context(), taken, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.going = nil
	if err := c.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"*.rows", "conversations/*"} {
		if names, err := filepath.Glob(filepath.Join(c.dir, pattern)); err != nil || len(names) > 0 {
			t.Errorf("%d files are left of conversations that were deleted, %v: %q", len(names), err, names)
		}
	}
}
