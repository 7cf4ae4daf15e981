package ebb

import (
	"context"

	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/session"
)

// SessionHeader returns what has to be the same where rows and states of the engine's sequences are used
// again: model, types, and their sizes. It has no tokens. The first time that the model is asked for,
// its files are read for their digest, which is then remembered in the user's cache folder.
func (e *Engine) SessionHeader() (session.Header, error) { return e.sessionHeader() }

// Save writes rows and states of a sequence to a sink: [kv.Pool.SavePart].
func (e *Engine) Save(ctx context.Context, seq *kv.Seq, o kv.SaveOptions, to kv.Sink) error {
	return e.runner.Pool().SavePart(ctx, seq, o, to)
}

// Restore returns a new sequence with rows and states of a source: [kv.Pool.Restore].
func (e *Engine) Restore(ctx context.Context, tokens []int32, from kv.Source) (*kv.Seq, error) {
	return e.runner.Pool().Restore(ctx, tokens, from)
}

// Copy returns a sequence with the first n tokens of another one, and memory of its own: [kv.Pool.Copy].
func (e *Engine) Copy(ctx context.Context, seq *kv.Seq, n int) (*kv.Seq, error) {
	return e.runner.Pool().Copy(ctx, seq, n)
}
