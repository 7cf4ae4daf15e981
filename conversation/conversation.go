package conversation

import (
	"time"

	"github.com/seed4d217819/ebb/kv"
)

// Conversation is a sequence of tokens that prompts may continue. Its fields but ID are the store's.
type Conversation struct {
	ID string // stays the same as long as the conversation is kept

	salt string
	name string // what its client calls it; "": nothing
	seq  *kv.Seq
	// tokens are those of the sequence while the conversation is idle, and those of the prompt while it is
	// busy.
	tokens []int32
	busy   bool
	// turn is where the last answer begins, as far as it is known: a prompt that has all tokens before it
	// goes on from there, whatever has become of the answer.
	turn int
	// replaced says that another conversation goes on where this one's last answer began.
	replaced bool
	pinned   bool
	copied   bool     // it is a copy that its prompt has not taken yet
	unwanted bool     // it is given up when it is put back
	written  int      // tokens that files have
	cuts     int      // times that it has lost tokens: what is written of it from before does not count
	queued   int      // tokens, of a busy one, that files have or will have soon
	away     int      // tokens that a busy one had when its sequence was parked in files; 0: it is here
	pending  int      // tokens, of an idle one, that are to be computed again, so that files never have them
	parking  *parking // of a busy one whose sequence is being parked; nil: it is not
	waits    bool     // of a busy one: its request waits for room
	used     uint64   // by the store's count of uses
	at       time.Time
}

// Seq returns the sequence, which belongs to whoever has taken the conversation until it is put back.
func (c *Conversation) Seq() *kv.Seq { return c.seq }

// Prompt is what is to be computed behind as much of it as is there.
type Prompt struct {
	Tokens []int32 // at least one
	// Salt is that of the conversations that may be used: those of others are never looked at.
	Salt string
	// Name is what the client calls the conversation, "" if it does not. It decides nothing but which of
	// two conversations is given up first, and which one Found.Left is about.
	Name string
	// Turn is how many of the tokens come before the assistant's turn. 0: that is not known.
	Turn int
	// NoCopy says that no beginning is copied for the prompt: there was no room for that.
	NoCopy bool
	// More is how many tokens are expected behind the prompt.
	More int
}

// Found says what was there of a prompt.
type Found struct {
	// Cached is how many of the prompt's tokens are not computed, because they are there.
	Cached int
	// Files says that they came from files.
	Files bool
	// Left is where the prompt has left a conversation: that of the same name, or otherwise the one that
	// has most of the prompt's beginning.
	Left Left
	// Waits says that nothing was taken, because it is worth waiting: for a conversation that has more of the
	// prompt soon, or, with Full, until there is room for what files have. Whoever asks again when
	// [Found.Soon] says so finds it.
	Waits, Full bool

	soon func() bool
	copy *copying // what is waited for; nil: something else
}

// NoCopy reports whether what was worth waiting for was a copy for which there is no room.
func (f Found) NoCopy() bool { return f.copy != nil && f.copy.ended() && f.copy.failed }

// Copied reports whether what was worth waiting for was a copy of a beginning.
func (f Found) Copied() bool { return f.copy != nil }

// Soon reports whether what was worth waiting for is there, or will not be.
func (f Found) Soon() bool { return f.soon != nil && f.soon() }

// Left says where a prompt and a conversation part.
type Left struct {
	Conversation string // its ID; "": no conversation has the prompt's first token
	Token        int    // the number of the first token that differs, or that only one of them has
	Of           int    // tokens of the conversation
}

// common returns how many tokens a and b begin with alike.
func common(a, b []int32) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
