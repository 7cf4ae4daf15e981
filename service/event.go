package service

import (
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/generate"
)

// EventKind says what an event of an answer is.
type EventKind int

// The kinds of events.
const (
	// Prefill says that more of the prompt is computed: Progress.
	Prefill EventKind = iota
	// Part is a part of a text: Part, and the Tokens that have come since the part before.
	Part
	// Finished says that a text has ended: Finish, and the Tokens that have come since its last part.
	Finished
	// Beat says that for a time no part of a text has come: the prompt is long, or what the model
	// writes is not known to be a call or text yet.
	Beat
)

// Event is what has happened to an answer.
type Event struct {
	Kind     EventKind
	Text     int // number of the text, from 0, of Part and Finished
	Part     chat.Event
	Tokens   []generate.Token
	Finish   generate.Finish
	Progress Progress // of Prefill and Beat
}

// Text is a whole text of an answer.
type Text struct {
	Message chat.Message // of a chat; otherwise Content alone
	Tokens  []generate.Token
	Finish  generate.Finish
}
