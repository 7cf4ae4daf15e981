package testmodel

import (
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/ggml"
)

// Options says which model to make. Zero fields take the values of the golden model tiny-gqa, which
// stand behind them.
type Options struct {
	Layers  int       // 5
	Hidden  int       // 64: the width of an embedding
	Heads   int       // 4: query heads
	KVHeads int       // 2
	HeadDim int       // 32
	FF      int       // 128: the width of the feed-forward
	Vocab   int       // 264, the least: 256 bytes, 3 special tokens, 5 merges; more are unused tokens
	Context int       // 512: the positions that the model claims to know
	Type    ggml.Type // F32: of the matrices; norms are always F32. Hidden, Heads·HeadDim and FF are multiples of its block
	Tied    bool      // the output matrix is the embedding
	Seed    uint64
}

// minVocab is the number of tokens that the tokenizer needs.
const minVocab = 256 + 3 + 5

// withDefaults returns o with its zero fields filled in.
func (o Options) withDefaults() Options {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&o.Layers, 5}, {&o.Hidden, 64}, {&o.Heads, 4}, {&o.KVHeads, 2}, {&o.HeadDim, 32}, {&o.FF, 128}, {&o.Vocab, minVocab}, {&o.Context, 512},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	return o
}

// validate reports every fault of o at once.
func (o Options) validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int
	}{
		{"Layers", o.Layers}, {"Hidden", o.Hidden}, {"Heads", o.Heads}, {"KVHeads", o.KVHeads}, {"HeadDim", o.HeadDim}, {"FF", o.FF}, {"Context", o.Context},
	} {
		if f.value < 1 {
			errs = append(errs, fmt.Errorf("%s is %d, want 1 or more", f.name, f.value))
		}
	}
	if o.Vocab < minVocab {
		errs = append(errs, fmt.Errorf("vocabulary of %d tokens, want %d or more", o.Vocab, minVocab))
	}
	if o.KVHeads > 0 && o.Heads%o.KVHeads != 0 {
		errs = append(errs, fmt.Errorf("%d heads, want a multiple of the %d KV heads", o.Heads, o.KVHeads))
	}
	if o.HeadDim%2 != 0 {
		errs = append(errs, fmt.Errorf("head dim %d, want an even number: RoPE turns pairs", o.HeadDim))
	}
	block := int(o.Type.BlockSize())
	for _, row := range []struct {
		name string
		n    int
	}{{"Hidden", o.Hidden}, {"Heads·HeadDim", o.Heads * o.HeadDim}, {"FF", o.FF}} {
		if row.n%block != 0 {
			errs = append(errs, fmt.Errorf("%s is %d, want a multiple of %d for matrices of %s", row.name, row.n, block, o.Type))
		}
	}
	return errors.Join(errs...)
}
