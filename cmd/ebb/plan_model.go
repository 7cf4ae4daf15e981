package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/rehearsal"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/plan"
)

// Bounds of what a header may claim. They are far above all models, and keep sums within 64 bits.
const (
	maxLayers = 1 << 16
	maxWidth  = 1 << 24   // of a layer, a head or the vocabulary
	maxTokens = 1<<30 - 1 // of a context, as for an engine
)

// kvTypes are the types of kv.TypeNames.
var kvTypes = []gguf.Type{gguf.F32, gguf.F16, gguf.BF16, gguf.Q8_0, gguf.Q4_0}

// planRequest returns what a model's header says that a plan needs: shapes, weights, and the K/V of
// each layer in a type.
func planRequest(f *gguf.File, kvType string) (plan.Request, summary, error) {
	s := summarize(f)
	var errs []error
	for _, n := range []struct {
		what        string
		value, most int64
	}{
		{"block_count", int64(s.Layers), maxLayers},
		{"embedding_length", int64(s.Hidden), maxWidth},
		{"context_length", int64(s.Context), maxTokens},
		{"attention.key_length", s.KeyDim, maxWidth},
		{"attention.value_length", s.ValueDim, maxWidth},
		{"tokens in the vocabulary", int64(s.vocabulary), maxWidth},
	} {
		if n.value < 1 || n.value > n.most {
			errs = append(errs, fmt.Errorf("%s is %d: want 1 to %d", n.what, n.value, n.most))
		}
	}
	fewest := int64(1)
	if s.layers != nil {
		fewest = 0 // of layers without attention, or without a feed-forward
	}
	for _, list := range []struct {
		what   string
		values []int64
	}{{"attention.head_count_kv", s.KVHeads}, {"feed_forward_length", s.FeedForward}} {
		if n := len(list.values); n == 0 || n != 1 && n != s.Layers {
			errs = append(errs, fmt.Errorf("%s has %d numbers: want one, or one a layer", list.what, n))
		} else if least, most := slices.Min(list.values), slices.Max(list.values); least < fewest || most < 1 || most > maxWidth {
			errs = append(errs, fmt.Errorf("%s is %d to %d: want 1 to %d", list.what, least, most, int64(maxWidth)))
		}
	}
	if s.fault != nil {
		errs = append(errs, s.fault)
	}
	if len(errs) > 0 {
		return plan.Request{}, s, fmt.Errorf("the model's header does not say what its K/V take: %w", errors.Join(errs...))
	}
	typ := kvTypes[slices.IndexFunc(kvTypes, func(t gguf.Type) bool { return t.String() == kvType })]
	layers, ok := planLayers(s.layers, typ)
	if !ok {
		return plan.Request{}, s, misusef("--kv-type %s: heads of %d and %d values are no multiple of its block; want f16", kvType, s.KeyDim, s.ValueDim)
	}
	r := plan.Request{
		Model: plan.Model{
			Weights: s.Bytes - model.DraftBytes(f), Context: s.Context, Hidden: s.Hidden, Vocab: s.vocabulary, FeedForward: s.widestFeedForward(),
		},
		Layers: layers, StepWeights: model.StepBytes(f), HeadWeights: rehearsal.HeadBytes(f),
	}
	return r, s, nil
}

// draft has a plan count the block that drafts tokens.
func (f *planFlags) draft(file *gguf.File, r *plan.Request) error {
	if f.mtp == 0 {
		return nil
	}
	l, err := ebb.ReadBlock(file)
	if err != nil {
		return err
	}
	block, ok := planLayers([]model.Layer{l}, kvTypes[slices.IndexFunc(kvTypes, func(t gguf.Type) bool { return t.String() == f.kvType })])
	if !ok {
		return misusef("--kv-type %s: heads of the block that drafts have %d and %d values, no multiple of its block; want f16", f.kvType, l.KeyDim, l.ValueDim)
	}
	r.Drafts, r.DraftBytes = f.mtp, block[0].RowBytes
	r.Model.Weights += model.DraftBytes(file)
	return nil
}
