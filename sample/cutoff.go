package sample

import "math"

// EpsilonCutoff keeps the tokens whose probability is at least Epsilon. Hewitt et al., "Truncation
// Sampling as Language Model Desmoothing" (2022).
//
// It keeps scratch memory: use it from one goroutine at a time.
type EpsilonCutoff struct {
	Epsilon         float64 // above 0, below 1
	MinTokensToKeep int     // 0: 1

	own *view
}

// Process implements Processor.
func (p *EpsilonCutoff) Process(_ []int32, scores []float32) error {
	return process(p, &p.own, scores)
}

func (p *EpsilonCutoff) filter(v *view) error {
	v.weights.fill(v)
	total := v.weights.total()
	v.cut(min(v.least(p.Epsilon*total), v.kth(max(p.MinTokensToKeep, 1))))
	return nil
}

// EtaCutoff keeps the tokens whose probability is at least min(Epsilon, √Epsilon · e^-H), where H
// is the entropy of the distribution: the flatter it is, the lower the bound. From the same paper.
//
// It keeps scratch memory: use it from one goroutine at a time.
type EtaCutoff struct {
	Epsilon         float64 // above 0, below 1
	MinTokensToKeep int     // 0: 1

	own *view
}

// Process implements Processor.
func (p *EtaCutoff) Process(_ []int32, scores []float32) error { return process(p, &p.own, scores) }

func (p *EtaCutoff) filter(v *view) error {
	v.weights.fill(v)
	total := v.weights.total()
	eta := min(p.Epsilon, math.Sqrt(p.Epsilon)*math.Exp(-v.weights.entropy(total)))
	v.cut(min(v.least(eta*total), v.kth(max(p.MinTokensToKeep, 1))))
	return nil
}
