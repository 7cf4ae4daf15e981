package conversation

import "testing"

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
