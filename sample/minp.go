package sample

// MinP keeps the tokens whose probability is at least P times that of the likeliest. Nguyen et al.,
// "Turning Up the Heat: Min-p Sampling" (2024).
//
// It keeps scratch memory: use it from one goroutine at a time.
type MinP struct {
	P               float64 // 0 to 1
	MinTokensToKeep int     // 0: 1

	own *view
}

// Process implements Processor.
func (p *MinP) Process(_ []int32, scores []float32) error { return process(p, &p.own, scores) }

func (p *MinP) filter(v *view) error {
	least := v.least(p.P)
	if keep := p.MinTokensToKeep; keep > 1 && v.kth(keep) < least {
		v.keepBest(keep)
		return nil
	}
	v.cut(least)
	return nil
}
