package conversation

import (
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
