package model

import "github.com/seed4d217819/ebb/ggml"

// State is what a recurrent layer carries of a sequence from token to token, in numbers of f32 values.
// It is as large after one token as after a million.
type State struct {
	Memory int // what the tokens have written: matrices, one a head
	Inputs int // the last inputs of a causal convolution: [kernel-1, channels]
}

// Values returns how many f32 values the state has.
func (s State) Values() int { return s.Memory + s.Inputs }

// States are the states of some sequences in one layer, f32. A part that the layer does not have is nil.
type States struct {
	Memory *ggml.Tensor // [State.Memory, sequences]
	Inputs *ggml.Tensor // [State.Inputs, sequences]
}

// Recur takes the tokens of each sequence through a recurrence, in order.
//
//	inputs  [features, tokens] each, f32: what the recurrence reads of each token
//	result  [features of y, tokens]
//
// It calls mix for sequences that have equally many tokens, once or more often.
type Recur func(inputs []*ggml.Tensor, mix Mix) *ggml.Tensor

// Mix computes a recurrence for sequences that have equally many tokens.
//
//	from    the states before the first token; both parts are contiguous
//	inputs  [features, tokens, sequences] each
//	keep    how many states are wanted of each sequence: 1 to all tokens
//	y       [features, tokens × sequences]
//	to      the states after the last token, after the one before it, and so on. Their parts may have
//	        any strides, and more dimensions than those of from, but the same values in the same order
type Mix func(from States, inputs []*ggml.Tensor, keep int) (y *ggml.Tensor, to []States)
