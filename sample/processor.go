package sample

// Processor changes the scores of one sequence's next token. Names, semantics and order of the
// processors here are those of Hugging Face transformers' logits processors.
//
// The result of a processor depends on ids and scores alone, so that it may be asked about the
// branches of a search in any order. It may keep what saves it work.
type Processor interface {
	// Process changes scores [vocab] in place: logits, or log-probabilities in a beam search. ids
	// are all tokens of the sequence, those of the prompt first; they are not changed, and not
	// kept.
	Process(ids []int32, scores []float32) error
}

// Ender is a [Processor] that knows when a text is complete, as a grammar does.
type Ender interface {
	Processor
	// Ended reports whether nothing may follow ids, not even a token that ends the text. The text
	// then ends with its last token.
	Ended(ids []int32) bool
}

// Func makes a function a [Processor].
type Func func(ids []int32, scores []float32) error

// Process calls f.
func (f Func) Process(ids []int32, scores []float32) error { return f(ids, scores) }
