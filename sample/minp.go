package sample

// MinP keeps the tokens whose probability is at least P times that of the likeliest. Nguyen et al., "Turning Up the Heat:
// Min-p Sampling" (2024).
//
// It keeps scratch: use one from one goroutine at a time.
type MinP struct {
	P               float64 // 0 to 1
	MinTokensToKeep int     // 0: 1

	order []int
}

// Process implements Processor.
func (p *MinP) Process(_ []int32, scores []float32) error {
	top, err := greatest(scores)
	if err != nil {
		return err
	}
	p.order = byScore(p.order, scores)
	for _, i := range p.order[min(max(p.MinTokensToKeep, 1), len(scores)):] {
		if exp(scores[i], top) < p.P {
			scores[i] = negInf
		}
	}
	return nil
}
