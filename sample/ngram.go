package sample

import "slices"

// NoRepeatNGram forbids every token that would complete a run of Size tokens that the sequence,
// including its prompt, has already.
type NoRepeatNGram struct {
	Size int // at least 1
}

// Process implements Processor.
func (p NoRepeatNGram) Process(ids []int32, scores []float32) error {
	n := p.Size - 1
	if n < 0 || n > len(ids) {
		return nil
	}
	begin := ids[len(ids)-n:] // of the run that the next token would complete
	for i := n; i < len(ids); i++ {
		if n > 0 && ids[i-1] != begin[n-1] || !slices.Equal(ids[i-n:i], begin) {
			continue
		}
		id := ids[i]
		if id < 0 || int(id) >= len(scores) {
			return outside("no repeat n-gram", id, len(scores))
		}
		scores[id] = negInf
	}
	return nil
}
