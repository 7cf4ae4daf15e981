package ebb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/grammar"
	"github.com/seed4d217819/ebb/internal/exec"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tokenizer"
)

// ErrPromptTooLong reports a prompt that does not fit into the context. The error that wraps it
// gives both lengths. Nothing was computed.
var ErrPromptTooLong = errors.New("ebb: the prompt is longer than the context")

// Generate continues a prompt and yields the new text piece by piece, in whole characters. It takes
// the prompt as it is, without a template; text that spells a special token becomes that token. A
// beam search yields the best text at its end.
//
// An error ends the stream, and the text before it stands: [kv.ErrFull] says that the context is
// used up. Leaving the loop frees what the text took in the cache.
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
		defer func() { _ = seq.Close() }() // if closing fails, the engine has failed and says so itself
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

// GenerateTokens appends a prompt to seq and yields the tokens that follow, including an end token.
// The Finish of the last token says why the text ended. The sequence stays the caller's: however
// the stream ends, it then holds the prompt and all new tokens but the last one. If it held tokens
// before, only those of the prompt are computed.
//
// An error ends the stream, and the tokens before it stand: [ErrPromptTooLong] says that nothing
// was computed, [kv.ErrFull] that the context is used up.
func (e *Engine) GenerateTokens(ctx context.Context, seq *kv.Seq, prompt []int32, c GenerationConfig) iter.Seq2[generate.Token, error] {
	return func(yield func(generate.Token, error) bool) {
		prompt := append(seq.Tokens(), prompt...)
		search, err := e.searchForOne(seq, prompt, c)
		if err != nil {
			yield(generate.Token{}, err)
			return
		}
		generate.Tokens(ctx, e.runner.Forward, seq, prompt, nil, search)(yield)
	}
}

// ContinueTokens is [Engine.GenerateTokens] for a sequence that holds the whole prompt already.
// logits are the logits that [Engine.Forward] has returned for its last token.
func (e *Engine) ContinueTokens(ctx context.Context, seq *kv.Seq, logits []float32, c GenerationConfig) iter.Seq2[generate.Token, error] {
	return func(yield func(generate.Token, error) bool) {
		prompt := seq.Tokens()
		search, err := e.searchForOne(seq, prompt, c)
		if err != nil {
			yield(generate.Token{}, err)
			return
		}
		generate.Tokens(ctx, e.runner.Forward, seq, prompt, logits, search)(yield)
	}
}

// Prefill appends a prompt to seq and returns the logits after its last n tokens, or after all if
// it has fewer: [n][vocabulary]. [Engine.ContinueTokens] continues from the last of them. Its
// errors are those of GenerateTokens, and leave seq as it was.
func (e *Engine) Prefill(ctx context.Context, seq *kv.Seq, prompt []int32, n int) ([][]float32, error) {
	if err := e.checkPrompt(append(seq.Tokens(), prompt...)); err != nil {
		return nil, err
	}
	rows, err := e.Forward(ctx, []kv.Work{{Seq: seq, Tokens: prompt, Logits: min(max(n, 1), len(prompt))}})
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// checkPrompt reports, before anything is computed, a prompt that the engine cannot take.
func (e *Engine) checkPrompt(prompt []int32) error {
	if len(prompt) == 0 {
		return errors.New("ebb: the prompt is empty: want at least one token")
	}
	vocab := e.Config().Vocab
	for _, id := range prompt {
		if id < 0 || int(id) >= vocab {
			return fmt.Errorf("ebb: token id %d is outside the vocabulary: it has %d tokens, 0 to %d", id, vocab, vocab-1)
		}
	}
	if len(prompt) > e.Context() {
		return fmt.Errorf("%w: %d tokens, and the context holds %d", ErrPromptTooLong, len(prompt), e.Context())
	}
	return nil
}

// searchForOne is search for a stream, which is of one text. Its sequence drafts tokens if the config
// says so.
func (e *Engine) searchForOne(seq *kv.Seq, prompt []int32, c GenerationConfig) (generate.Config, error) {
	search, err := e.search(prompt, c)
	if err == nil && (c.NumBeams > 1 || c.NumReturnSequences > 1) {
		err = fmt.Errorf("ebb: num_beams is %d and num_return_sequences %d: a stream of tokens is of one text; want 1, or Engine.Complete",
			max(c.NumBeams, 1), max(c.NumReturnSequences, 1))
	}
	if err == nil && c.MTP > 0 {
		var draft *exec.Draft
		if draft, err = e.runner.Draft(seq); err == nil {
			search.Guesser = draft
		}
	}
	return search, err
}

// search returns how to generate after a prompt, or an error if this engine cannot follow the
// prompt or the config.
func (e *Engine) search(prompt []int32, c GenerationConfig) (generate.Config, error) {
	if err := errors.Join(c.Validate(), e.checkPrompt(prompt)); err != nil {
		return generate.Config{}, err
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
	if c.MTP > e.drafts {
		return generate.Config{}, fmt.Errorf("ebb: generation config: mtp is %d, and the engine was opened to draft at most %d tokens at a time: see Options.Configure", c.MTP, e.drafts)
	}
	search, err := c.Search(len(prompt), e.Context(), e.tokenizer.EOG())
	search.Piece = e.tokenizer.Spell
	if c.Grammar != nil {
		search.Custom = append(slices.Clip(search.Custom), c.Grammar.Processor(len(prompt), search.EOS))
	}
	return search, err
}

// Pieces reads the texts of the model's tokens, from which grammars for a [GenerationConfig] are
// made. That takes a tenth of a second for 150,000 tokens, so keep the result.
func (e *Engine) Pieces() (*grammar.Pieces, error) { return grammar.ReadPieces(e.tokenizer) }
