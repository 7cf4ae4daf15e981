package service

import (
	"context"

	"github.com/seed4d217819/ebb/tokenizer"
)

// Answerer answers the requests for one model: a [Service], or one whose answers a test has written.
type Answerer interface {
	Model() Model
	Tokenizer() *tokenizer.Tokenizer
	Render(*Chat) (string, error)
	Count(Request) (int, error)
	Answer(context.Context, Request) (*Answer, error)
}

var _ Answerer = (*Service)(nil)

// Models are those that clients may name.
type Models interface {
	// List describes them, the one that answers requests without a name first.
	List() []Model
	// Find describes the one with a name, without loading it. A name that is not listed is the first one's
	// where there is one alone: programs name the models of others in requests beside a conversation.
	// Otherwise it is an [UnknownModelError].
	Find(name string) (Model, error)
	// Use returns the one with a name, as Find has it. It may wait until the model is loaded. It begins no
	// answers when done was called; those that it has begun go on, and can be read until their Close.
	Use(ctx context.Context, name string) (a Answerer, done func(), err error)
}

// Only is the one model of a server.
func Only(a Answerer) Models { return only{a} }

type only struct{ Answerer }

func (o only) List() []Model { return []Model{o.Model()} }

func (o only) Find(string) (Model, error) { return o.Model(), nil }

func (o only) Use(context.Context, string) (Answerer, func(), error) {
	return o.Answerer, func() {}, nil
}
