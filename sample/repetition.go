package sample

import "fmt"

// RepetitionPenalty makes every token that occurs in the sequence, including its prompt, less
// likely: it divides scores above zero by the penalty, and multiplies scores below zero by it. How
// often a token occurs makes no difference. Keskar et al., "CTRL" (2019), section 4.1.
//
// It keeps scratch memory: use it from one goroutine at a time.
type RepetitionPenalty struct {
	Penalty float64 // above 0; a penalty below 1 makes repetition likelier

	seen []uint64 // one bit for each token; all are zero between calls
}

// Process implements Processor.
func (p *RepetitionPenalty) Process(ids []int32, scores []float32) error {
	if words := (len(scores) + 63) / 64; len(p.seen) < words {
		p.seen = make([]uint64, words)
	}
	penalty := float32(min(max(p.Penalty, 1/maxFactor), maxFactor))
	var err error
	for _, id := range ids {
		if id < 0 || int(id) >= len(scores) {
			err = outside("repetition penalty", id, len(scores))
			break
		}
		bit := uint64(1) << (id % 64)
		if p.seen[id/64]&bit != 0 {
			continue
		}
		p.seen[id/64] |= bit
		if scores[id] < 0 {
			scores[id] *= penalty
		} else {
			scores[id] /= penalty
		}
	}
	for _, id := range ids {
		if id >= 0 && int(id) < len(scores) {
			p.seen[id/64] = 0
		}
	}
	return err
}

func outside(what string, id int32, vocab int) error {
	return fmt.Errorf("sample: %s: token %d is outside the vocabulary of %d tokens", what, id, vocab)
}
