package sample

import "slices"

// TopP keeps the likeliest tokens that together have at least the probability P: nucleus sampling. Of equally likely tokens
// at the border those with the lowest ids are kept. Holtzman et al., "The Curious Case of Neural Text Degeneration" (2019).
//
// It keeps scratch: use one from one goroutine at a time.
type TopP struct {
	P               float64 // above 0, at most 1
	MinTokensToKeep int     // 0: 1

	order []int
}

// Process implements Processor.
func (p *TopP) Process(_ []int32, scores []float32) error {
	top, err := greatest(scores)
	if err != nil {
		return err
	}
	p.order = byScore(p.order, scores)
	total := sumExp(scores, top)
	sum := 0.0
	for i := len(p.order) - 1; i >= max(p.MinTokensToKeep, 1); i-- {
		sum += exp(scores[p.order[i]], top)
		if float32(sum/total) > float32(1-p.P) {
			break
		}
		scores[p.order[i]] = negInf
	}
	return nil
}

// byScore puts the positions of scores in order, greatest first, the lowest first among equals.
func byScore(order []int, scores []float32) []int {
	order = order[:0]
	for i := range scores {
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	return order
}
