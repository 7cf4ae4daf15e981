package generate

import (
	"context"
	"errors"
	"iter"
)

// Tokens continues a prompt and yields the tokens of its one text as they come. seq holds the first tokens of the prompt,
// or none, and stays the caller's. If it holds all of them, logits are those of the token that follows, and else nil.
//
// An error ends the stream; the tokens before it stand. The sequence then holds the prompt and all tokens yielded but the
// last, as it does when the loop is left. An error in the prompt leaves it as it was.
func Tokens(ctx context.Context, forward Forward, seq Sequence, prompt []int32, logits []float32, c Config) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		if c.Beams > 1 || c.Sequences > 1 {
			yield(Token{}, errors.New("generate: a stream is of one text: want no Beams and one of Sequences"))
			return
		}
		batch := NewBatch(forward)
		task, err := batch.Add(seq, prompt, logits, c)
		if task.search == nil {
			yield(Token{}, err)
			return
		}
		yielded := 0
		forget := func() error { // tokens that came together with the last one
			if kept := len(prompt) + max(yielded-1, 0); seq.Len() > kept {
				return seq.Truncate(kept)
			}
			return nil
		}
		text := &task.search.(*lines).lines[0]
		err = nil // the task has it, too
		for running := true; running; running, err = batch.Step(ctx) {
			for _, token := range text.tokens[yielded:] {
				yielded++
				if !yield(token, nil) {
					_ = forget() // what it could fail for ends the next use of the sequence, too
					return
				}
			}
			if err = errors.Join(err, task.err); err != nil {
				yield(Token{}, errors.Join(err, forget()))
				return
			}
		}
	}
}
