package ebb

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tokenizer"
)

// ErrPromptTooLong reports a prompt that does not fit in the context. The error that wraps it says both lengths. Nothing
// has been computed then.
var ErrPromptTooLong = errors.New("ebb: the prompt is longer than the context")

// Generate continues prompt and yields the new text piece by piece, in whole characters. The prompt is taken as it is;
// special tokens may be spelt in it, as [Engine.Template] does.
//
// An error ends the stream, and the text before it stands: [kv.ErrFull] says that the context is used up. Leaving the
// loop frees what the text took in the cache.
func (e *Engine) Generate(ctx context.Context, prompt string, c GenerationConfig) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		ids, err := e.tokenizer.Encode(prompt, tokenizer.Options{AddSpecial: true, ParseSpecial: true})
		if err != nil {
			yield("", err)
			return
		}
		seq := e.NewSeq()
		defer func() { _ = seq.Close() }() // whatever ends the loop; what it frees cannot fail but with the engine
		for text, err := range e.text(e.GenerateTokens(ctx, seq, ids, c)) {
			if !yield(text, err) {
				return
			}
		}
	}
}

// text turns a stream of tokens into one of text. Special tokens are left out.
func (e *Engine) text(tokens iter.Seq2[generate.Token, error]) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		decoder := e.tokenizer.NewDecoder(true)
		for token, err := range tokens {
			piece := ""
			if err == nil {
				piece = decoder.Next(token.ID)
			} else if rest := decoder.Flush(); rest != "" && !yield(rest, nil) {
				return
			}
			if (piece != "" || err != nil) && !yield(piece, err) {
				return
			}
		}
		if rest := decoder.Flush(); rest != "" {
			yield(rest, nil)
		}
	}
}

// GenerateTokens appends prompt to seq and yields the tokens that follow, an end token among them. The sequence stays the
// caller's: afterwards it holds the prompt and all new tokens but the last one, whatever ended the stream. It may hold
// tokens before, and only those of prompt are computed then.
//
// An error ends the stream, and the tokens before it stand: [ErrPromptTooLong] before anything was computed, [kv.ErrFull]
// when the context is used up.
func (e *Engine) GenerateTokens(ctx context.Context, seq *kv.Seq, prompt []int32, c GenerationConfig) iter.Seq2[generate.Token, error] {
	return func(yield func(generate.Token, error) bool) {
		length := seq.Len() + len(prompt)
		if length > e.Context() {
			yield(generate.Token{}, fmt.Errorf("%w: %d tokens, and the context holds %d", ErrPromptTooLong, length, e.Context()))
			return
		}
		search, err := e.search(length, c)
		if err != nil {
			yield(generate.Token{}, err)
			return
		}
		generate.Greedy(ctx, e.sequence(seq), prompt, search)(yield)
	}
}

// ContinueTokens is [Engine.GenerateTokens] for a sequence that holds the whole prompt already. logits are those of its
// last token, from [Engine.Forward].
func (e *Engine) ContinueTokens(ctx context.Context, seq *kv.Seq, logits []float32, c GenerationConfig) iter.Seq2[generate.Token, error] {
	return func(yield func(generate.Token, error) bool) {
		search, err := e.search(seq.Len(), c)
		if err != nil {
			yield(generate.Token{}, err)
			return
		}
		generate.GreedyFrom(ctx, e.sequence(seq), logits, search)(yield)
	}
}

// search returns how to generate after length tokens, or why the config does not do for this engine.
func (e *Engine) search(length int, c GenerationConfig) (generate.Config, error) {
	if err := c.Validate(); err != nil {
		return generate.Config{}, err
	}
	if own := e.Stats().Cache.Policy.String(); c.CacheImplementation != "" && c.CacheImplementation != own {
		return generate.Config{}, fmt.Errorf("ebb: generation config: cache_implementation is %q, and the engine was opened with %q: see GenerationConfig.Configure",
			c.CacheImplementation, own)
	}
	if c.CacheConfig != nil && c.CacheConfig.MaxCacheLen > e.Context() {
		return generate.Config{}, fmt.Errorf("ebb: generation config: cache_config.max_cache_len is %d, and the engine was opened for %d tokens: see GenerationConfig.Configure",
			c.CacheConfig.MaxCacheLen, e.Context())
	}
	return c.search(length, e.tokenizer.EOG())
}

// sequence lets package generate continue a sequence. It keeps what a call needs for the next one.
type sequence struct {
	engine *Engine
	batch  [1]kv.Work
	rows   [][][]float32
}

func (e *Engine) sequence(seq *kv.Seq) *sequence {
	return &sequence{engine: e, batch: [1]kv.Work{{Seq: seq, Logits: 1}}}
}

func (s *sequence) Forward(ctx context.Context, tokens []int32) ([]float32, error) {
	s.batch[0].Tokens = tokens
	rows, err := s.engine.ForwardInto(ctx, s.batch[:], s.rows)
	if err != nil {
		return nil, err
	}
	s.rows = rows
	return rows[0][0], nil
}
