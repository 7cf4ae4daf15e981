package sample

// SuppressTokens forbids tokens. Ids outside the vocabulary are ignored.
type SuppressTokens struct {
	Tokens []int32
}

// Process implements Processor.
func (p SuppressTokens) Process(_ []int32, scores []float32) error {
	forbid(p.Tokens, scores)
	return nil
}

// SuppressTokensAtBegin forbids tokens where the sequence has Begin tokens, which is where the
// first token is chosen.
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
