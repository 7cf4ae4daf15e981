package ebb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/grammar"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tokenizer"
)

// ErrPromptTooLong reports a prompt that does not fit in the context. The error that wraps it says both lengths. Nothing
// has been computed then.
var ErrPromptTooLong = errors.New("ebb: the prompt is longer than the context")

// Generate continues prompt and yields the new text piece by piece, in whole characters. The prompt is taken as it is;
// special tokens may be spelt in it, as [Engine.Template] does. A beam search yields the best text when it has ended.
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
		if c.NumBeams > 1 || c.NumReturnSequences > 1 {
			completions, err := e.Complete(ctx, ids, c)
			if len(completions) > 0 && !yield(completions[0].Text, nil) || err == nil {
				return
			}
			yield("", err)
			return
		}
		seq := e.NewSeq()
		defer func() { _ = seq.Close() }() // whatever ends the loop; what it frees cannot fail but with the engine
		for piece, err := range e.Decode(e.GenerateTokens(ctx, seq, ids, c), c.StopStrings) {
			if piece.Text != "" && !yield(piece.Text, nil) {
				return
			}
			if err != nil {
				yield("", err)
				return
			}
		}
	}
}

// GenerateTokens appends prompt to seq and yields the tokens that follow, an end token among them. The last token says why
// the text ended: its Finish. The sequence stays the caller's: afterwards it holds the prompt and all new tokens but the last
// one, whatever ended the stream. It may hold tokens before, and only those of prompt are computed then.
//
// An error ends the stream, and the tokens before it stand: [ErrPromptTooLong] before anything was computed, [kv.ErrFull]
// when the context is used up.
func (e *Engine) GenerateTokens(ctx context.Context, seq *kv.Seq, prompt []int32, c GenerationConfig) iter.Seq2[generate.Token, error] {
	return func(yield func(generate.Token, error) bool) {
		e.tokens(ctx, seq, append(seq.Tokens(), prompt...), nil, c)(yield)
	}
}

// ContinueTokens is [Engine.GenerateTokens] for a sequence that holds the whole prompt already. logits are those of its
// last token, from [Engine.Forward].
func (e *Engine) ContinueTokens(ctx context.Context, seq *kv.Seq, logits []float32, c GenerationConfig) iter.Seq2[generate.Token, error] {
	return func(yield func(generate.Token, error) bool) {
		e.tokens(ctx, seq, seq.Tokens(), logits, c)(yield)
	}
}

// tokens continues a prompt, of which seq holds the first tokens; if it holds all, logits are those of the next one.
func (e *Engine) tokens(ctx context.Context, seq *kv.Seq, prompt []int32, logits []float32, c GenerationConfig) iter.Seq2[generate.Token, error] {
	search, err := e.search(len(prompt), c)
	if err == nil && (c.NumBeams > 1 || c.NumReturnSequences > 1) {
		err = fmt.Errorf("ebb: num_beams is %d and num_return_sequences %d: a stream of tokens is of one text, and drops none; want 1, or Engine.Complete",
			max(c.NumBeams, 1), max(c.NumReturnSequences, 1))
	}
	if err != nil {
		return func(yield func(generate.Token, error) bool) { yield(generate.Token{}, err) }
	}
	return generate.Tokens(ctx, e.runner.Forward, seq, prompt, logits, search)
}

// search returns how to generate after length tokens, or why the config does not do for this engine.
func (e *Engine) search(length int, c GenerationConfig) (generate.Config, error) {
	if err := c.Validate(); err != nil {
		return generate.Config{}, err
	}
	if length > e.Context() {
		return generate.Config{}, fmt.Errorf("%w: %d tokens, and the context holds %d", ErrPromptTooLong, length, e.Context())
	}
	if texts := max(c.NumBeams, c.NumReturnSequences); texts > e.Context() {
		name := "num_beams"
		if texts > c.NumBeams {
			name = "num_return_sequences"
		}
		return generate.Config{}, fmt.Errorf("ebb: generation config: %s is %d: want at most %d, as each takes room in the context", name, texts, e.Context())
	}
	if own := e.runner.Pool().Policy().String(); c.Cache() != "" && c.Cache() != own {
		return generate.Config{}, fmt.Errorf("ebb: generation config: cache_implementation is %q, and the engine was opened with %q: see Options.Configure",
			c.CacheImplementation, own)
	}
	if c.CacheConfig != nil && c.CacheConfig.MaxCacheLen > e.Context() {
		return generate.Config{}, fmt.Errorf("ebb: generation config: cache_config.max_cache_len is %d, and the engine was opened for %d tokens: see Options.Configure",
			c.CacheConfig.MaxCacheLen, e.Context())
	}
	search, err := c.Search(length, e.Context(), e.tokenizer.EOG())
	search.Piece = e.tokenizer.Spell
	if c.Grammar != nil {
		search.Custom = append(slices.Clip(search.Custom), c.Grammar.Processor(length, search.EOS))
	}
	return search, err
}

// Pieces reads the texts of the model's tokens, which grammars for [GenerationConfig] are made with. It takes a tenth of a
// second for 150,000 tokens: keep them.
func (e *Engine) Pieces() (*grammar.Pieces, error) { return grammar.ReadPieces(e.tokenizer) }
