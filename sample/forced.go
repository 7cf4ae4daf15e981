package sample

// ForcedBOS allows a single token after a prompt of one token, and gives it the score 0.
type ForcedBOS struct {
	Token int32
}

// Process implements Processor.
func (p ForcedBOS) Process(ids []int32, scores []float32) error {
	if len(ids) != 1 {
		return nil
	}
	return force("forced BOS", scores, p.Token)
}

// ForcedEOS allows only its tokens as the last one of a text that may have MaxLength tokens,
// including the prompt's, and gives each of them the score 0.
type ForcedEOS struct {
	MaxLength int
	Tokens    []int32
}

// Process implements Processor.
func (p ForcedEOS) Process(ids []int32, scores []float32) error {
	if len(ids) != p.MaxLength-1 {
		return nil
	}
	return force("forced EOS", scores, p.Tokens...)
}

func force(what string, scores []float32, tokens ...int32) error {
	for _, id := range tokens {
		if id < 0 || int(id) >= len(scores) {
			return outside(what, id, len(scores))
		}
	}
	for i := range scores {
		scores[i] = negInf
	}
	for _, id := range tokens {
		scores[id] = 0
	}
	return nil
}
