package conversation

import (
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// A prompt waits for room until a conversation is put back, which one that is idle never is: a copy may have
// been made when room was no longer looked for.
func TestNobodyWaitsForRoomThatNobodyGivesBack(t *testing.T) {
	s, idle, busy := &Store{}, &Conversation{}, &Conversation{busy: true}
	for _, tt := range []struct {
		all  []*Conversation
		want bool
	}{{nil, false}, {[]*Conversation{idle}, false}, {[]*Conversation{idle, busy}, true}} {
		s.all = tt.all
		if found := (Found{}); s.waitForRoom(&found) != tt.want || found.Waits != tt.want || tt.want && found.Soon() {
			t.Errorf("beside %d conversations: %+v; want a prompt to wait: %v", len(tt.all), found, tt.want)
		}
	}
}

// Where a step has no room, and no conversation is idle, a copy that is under way ends, and not a request.
func TestACopyIsStoppedBeforeARequest(t *testing.T) {
	s := &Store{}
	full := s.Batch(ebb.BatchOptions{}).Full
	if made, err := full(t.Context(), nil, kv.ErrFull); made || err != nil {
		t.Errorf("without a copy: %v, %v", made, err)
	}
	stops := 0
	c := &copying{done: make(chan struct{})}
	c.stop = func() {
		stops++
		c.failed, s.copying = true, nil
		close(c.done)
	}
	s.copying = []*copying{c}
	if made, err := full(t.Context(), nil, nil); made || err != nil || stops > 0 {
		t.Errorf("for a request that has not begun: %v, %v, and %d copies stopped", made, err, stops)
	}
	if made, err := full(t.Context(), nil, kv.ErrFull); !made || err != nil || stops != 1 {
		t.Errorf("for a step: %v, %v, and %d copies stopped", made, err, stops)
	}
}

// Where there is no room for a copy, neither what it is made from nor a copy that waits for its prompt is given up
// for it: the prompt goes on with a fork.
func TestACopyDisplacesNeitherItsSourceNorAnotherCopy(t *testing.T) {
	for trees := range 2 { // for which there is room beside the first conversation
		e, err := ebb.Open("../testdata/models/tiny-gqa.gguf", ebb.Options{Context: 512, Cache: kv.Static})
		if err != nil {
			t.Fatal(err)
		}
		bytes := e.Stats().Cache.TokenBytes * 512 * int64(trees+1)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if e, err = ebb.Open("../testdata/models/tiny-gqa.gguf", ebb.Options{Context: 512, Cache: kv.Static, KVMemory: bytes}); err != nil {
			t.Fatal(err)
		}
		s, err := New(e, Options{})
		if err != nil {
			t.Fatal(err)
		}
		talk := make([]int32, 300)
		for i := range talk {
			talk[i] = int32(10 + i%20)
		}
		c, _, err := s.Take(t.Context(), Prompt{Tokens: talk})
		if err == nil {
			_, err = e.Prefill(t.Context(), c.Seq(), talk, 1)
		}
		if err := errors.Join(err, s.Put(t.Context(), c, nil)); err != nil {
			t.Fatal(err)
		}
		take := func(p Prompt) (*Conversation, Found) {
			c, found, err := s.Take(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if found.Copied() {
				<-found.copy.done
			}
			return c, found
		}
		prompt := func(from int) Prompt {
			return Prompt{Tokens: append(slices.Clone(talk[:from]), make([]int32, 100)...), More: 200}
		}
		for i := range trees + 1 {
			if _, found := take(prompt(200 + 50*i)); !found.Copied() || found.NoCopy() != (i == trees) {
				t.Errorf("copy %d: %+v; want one more than there is room for to fail", i, found)
			}
		}
		var busy []*Conversation
		for i := range trees + 1 {
			p := prompt(200 + 50*i)
			p.NoCopy = i == trees
			c, found := take(p)
			if c == nil || found.Cached != 200+50*i {
				t.Fatalf("prompt %d beside %d copies: %+v; want %d tokens of it", i, trees, found, 200+50*i)
			}
			busy = append(busy, c)
		}
		if stats := s.Stats(); stats.GivenUp != 0 || stats.Copied != trees || stats.Forked != 1 {
			t.Errorf("%+v; want %d copies and a fork, and nothing given up", stats, trees)
		}
		for _, c := range busy {
			if err := s.Put(t.Context(), c, nil); err != nil {
				t.Error(err)
			}
		}
		if made, err := s.MakeRoom(t.Context(), nil); !made || err != nil {
			t.Errorf("when nothing is copied: room was made: %v, %v", made, err)
		}
		if err := errors.Join(s.Close(), e.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// A copy that has ended before it is stopped is given up as other conversations are: whoever takes steps does not
// wait until it is written.
func TestACopyThatHasEndedIsWrittenBesideTheSteps(t *testing.T) {
	e, s := withFiles(t, 512)
	made, _, err := s.Take(t.Context(), Prompt{Tokens: []int32{10, 11, 12}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Prefill(t.Context(), made.Seq(), []int32{10, 11, 12}, 1); err != nil {
		t.Fatal(err)
	}
	c := &copying{done: make(chan struct{})}
	c.stop = func() {
		s.copying = nil
		if err := s.Put(t.Context(), made, nil); err != nil {
			t.Error(err)
		}
		close(c.done)
	}
	s.copying = []*copying{c}
	s.writer.lock.Lock() // as while something else is written
	full := s.Batch(ebb.BatchOptions{}).Full
	room, err := full(t.Context(), nil, kv.ErrFull)
	coming := s.coming()
	s.writer.lock.Unlock()
	if room || err != nil || coming == nil {
		t.Fatalf("%v, %v; want room that is on its way", room, err)
	}
	<-coming
	if stats := s.Stats(); stats.GivenUp != 1 || stats.Lost != 0 {
		t.Errorf("%+v; want the copy to be written and given up", stats)
	}
}

// While a conversation is written to a slow disk, others are put back and given up.
func TestAWriteHoldsNobodyUp(t *testing.T) {
	e, err := ebb.Open("../testdata/models/tiny-gqa.gguf", ebb.Options{Context: 512, Cache: kv.Offloaded, ForcedCopies: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(e, Options{Dir: t.TempDir(), DirBytes: 1 << 30, HostBytes: 2 * kv.Block * e.Stats().Cache.TokenBytes})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(s.Close(), e.Close()); err != nil {
			t.Error(err)
		}
	}()
	compute := func(token int32) {
		tokens := []int32{token, 11, 12}
		c, _, err := s.Take(t.Context(), Prompt{Tokens: tokens})
		if err == nil {
			_, err = e.Prefill(t.Context(), c.Seq(), tokens, 1)
		}
		if err = errors.Join(err, s.Put(t.Context(), c, nil)); err != nil {
			t.Fatal(err)
		}
	}
	compute(20)
	compute(21)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.writer.lock.Lock() // as while one is written
	if made, err := s.MakeRoom(t.Context(), nil); !made || err != nil || s.Stats().Conversations != 1 {
		t.Errorf("room was made: %v, %v; want one of two conversations given up", made, err)
	}
	compute(22)
	compute(23)
	if n := s.Stats().Conversations; n != 3 {
		t.Errorf("there are %d conversations; want three", n)
	}
	s.writer.lock.Unlock()
	for s.Stats().Conversations > 2 {
		runtime.Gosched()
	}
	if n := s.Stats().Lost; n > 0 {
		t.Errorf("%d conversations were lost", n)
	}
}
