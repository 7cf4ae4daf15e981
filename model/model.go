// Package model defines what an architecture is, finds one by name, and holds the pieces that
// architectures share.
//
// An architecture builds graphs, one layer at a time, and leaves to its caller what goes from token to
// token: attention, and the states of recurrent layers. It never sees a cache.
package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/ggml"
)

// Attend computes attention of each token over the tokens before it and itself.
//
//	q      [headDim, heads, tokens]
//	k, v   [headDim, kvHeads, tokens], after RoPE; nil in a layer that shares another's
//	result [headDim × heads, tokens]
type Attend func(q, k, v *ggml.Tensor) *ggml.Tensor

// Tokens are the tokens of a graph.
type Tokens struct {
	IDs       *ggml.Tensor // [tokens] i32
	Positions *ggml.Tensor // [tokens] i32: each token's position in its sequence
	Hidden    *ggml.Tensor // [hidden, tokens] f32: of the token before each, where Config.ReadsHidden; otherwise nil
}

// Model is an opened model: weights on a device, and how to compute with them. Its methods add to a
// graph and compute nothing; they panic on misuse. They may be called from one goroutine at a time.
type Model interface {
	Config() Config
	// Embed returns the input of the first layer. ids [tokens] i32; result [hidden, tokens].
	Embed(g *ggml.Graph, ids *ggml.Tensor) *ggml.Tensor
	// Layer returns the output of layer l. x [hidden, tokens]; result like x.
	// It calls attend or recur once, as its Config says what the layer keeps, or neither.
	Layer(g *ggml.Graph, l int, x *ggml.Tensor, tokens Tokens, attend Attend, recur Recur) *ggml.Tensor
	// Logits returns the scores of the next token. x [hidden, tokens]; result [vocab, tokens].
	Logits(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor
	// Close frees the weights.
	Close() error
}

// Tables is a model that looks rows up in tables, such as the tokens' embeddings, where its file is
// mapped: they take memory until they are released.
type Tables interface {
	Model
	// ReleaseRows gives the memory of all rows back. They are read again when they are wanted again.
	ReleaseRows() error
}

// ByContext is a model that computes otherwise in long contexts.
type ByContext interface {
	Model
	// InContext returns the model for contexts of some tokens. Both have the same weights, so one of
	// them is closed.
	InContext(tokens int) Model
}

// WithSinks is a model whose layers have attention sinks (Xiao et al., 2024): a score for each head
// that takes a share of its weights and has no value.
type WithSinks interface {
	Model
	// Sinks returns those of layer l on the layer's device, [heads] f32; nil: it has none.
	Sinks(l int) *ggml.Tensor
}

// Config describes a model to the packages that run it.
type Config struct {
	Architecture string
	Name         string
	Vocab        int
	Hidden       int
	Context      int // tokens that the model was made for
	Layers       []Layer
	RoPE         string // how positions are encoded, where that depends on the context; "" where it does not
	ReadsHidden  bool   // it is a block that drafts tokens: see [Drafter]
}

// Layer is what one layer has of the tokens before: attention to their keys and values, or a state. A
// layer with neither has no KV heads and no state.
type Layer struct {
	Heads    int
	KVHeads  int
	KeyDim   int
	ValueDim int
	Scale    float32 // of the scores
	SoftCap  float32 // 0: none

	// Window is how many tokens a token sees, itself and those before it; 0: all. It is the sliding
	// window of Beltagy et al. (2020).
	Window int
	// SharesKV says that the layer has no keys and values of its own: it attends to those of an
	// earlier layer, KVOf (Brandon et al., 2024).
	SharesKV bool
	KVOf     int

	// State is what a recurrent layer carries of each sequence. It has no keys and values then.
	State State

	ExpertsUsed int // experts that each token goes through after attention; 0: the layer has none
}

// Recurrent reports whether the layer carries a state, and has no keys and values.
func (l Layer) Recurrent() bool { return l.State != State{} }

// Architecture opens models of a family.
type Architecture struct {
	Names []string // values of general.architecture
	Open  func(*Loader) (Model, error)

	// Attention returns the attention of each layer, from a file's metadata alone. nil: that is what
	// [Loader.Attention] returns.
	Attention func(l *Loader, hidden, layers int) []Layer

	// Drafts says that the block behind a file's layers can draft tokens: see [Drafter].
	Drafts bool

	// InterleavedRoPE says that RoPE turns neighbouring values of queries and keys, because the files
	// have the rows of these matrices in that order. Otherwise it turns values half a head apart, as
	// in Hugging Face's models.
	InterleavedRoPE bool
}

// Find returns the known architecture with a name.
func Find(name string, known []Architecture) (Architecture, error) {
	var names []string
	for _, a := range known {
		if slices.Contains(a.Names, name) {
			return a, nil
		}
		names = append(names, a.Names...)
	}
	if name == "" {
		return Architecture{}, fmt.Errorf("model: the file has no architecture in its metadata general.architecture: want one of %s", strings.Join(names, ", "))
	}
	return Architecture{}, fmt.Errorf("model: architecture %q is not supported: want one of %s", name, strings.Join(names, ", "))
}
