package sample

// Processor changes the scores of one sequence's next token. The names, the
// semantics and the order of those here are those of Hugging Face transformers'
// logits processors.
//
// A processor is a function of what it is given: it may keep what saves it work,
// but the result depends on ids and scores alone. So it may be asked about the
// branches of a search in any order.
type Processor interface {
	// Process changes scores [vocab] in place: logits, or log-probabilities
	// in a beam search. ids are all tokens of the sequence, those of the
	// prompt first; they are not changed, and not kept.
	Process(ids []int32, scores []float32) error
}

// Func makes a function a Processor.
type Func func(ids []int32, scores []float32) error

// Process calls f.
func (f Func) Process(ids []int32, scores []float32) error { return f(ids, scores) }
