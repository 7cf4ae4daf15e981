package sample

// SuppressTokens forbids tokens. Ids outside the vocabulary do nothing.
type SuppressTokens struct {
	Tokens []int32
}

// Process implements Processor.
func (p SuppressTokens) Process(_ []int32, scores []float32) error {
	forbid(p.Tokens, scores)
	return nil
}

// SuppressTokensAtBegin forbids tokens where a sequence has Begin tokens: in the place of the first that is chosen.
type SuppressTokensAtBegin struct {
	Tokens []int32
	Begin  int
}

// Process implements Processor.
func (p SuppressTokensAtBegin) Process(ids []int32, scores []float32) error {
	if len(ids) == p.Begin {
		forbid(p.Tokens, scores)
	}
	return nil
}
