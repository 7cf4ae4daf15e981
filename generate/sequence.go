package generate

import "context"

// Sequence is tokens that can be continued. It is used by one goroutine at a time.
type Sequence interface {
	// Forward appends tokens, of which there is at least one, and returns the logits of the token that follows them
	// [vocab]. The logits are read before the next call and not changed. After an error, a cancelled ctx included,
	// the sequence is as it was before the call.
	Forward(ctx context.Context, tokens []int32) ([]float32, error)
}
