package conversation

import (
	"errors"
	"runtime"
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
