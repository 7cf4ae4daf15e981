package sample

import "math"

// EpsilonCutoff keeps the tokens whose probability is at least Epsilon. Hewitt et al., "Truncation Sampling as Language
// Model Desmoothing" (2022).
//
// It keeps scratch: use one from one goroutine at a time.
type EpsilonCutoff struct {
	Epsilon         float64 // above 0, below 1
	MinTokensToKeep int     // 0: 1

	best selector
}

// Process implements Processor.
func (p *EpsilonCutoff) Process(_ []int32, scores []float32) error {
	top, err := greatest(scores)
	if err != nil {
		return err
	}
	keepLikely(scores, top, p.Epsilon*sumExp(scores, top), p.best.kth(scores, max(p.MinTokensToKeep, 1)))
	return nil
}

// EtaCutoff keeps the tokens whose probability is at least min(Epsilon, √Epsilon · e^-H), where H is the entropy: the flatter
// the distribution, the less likely tokens it keeps. From the same paper.
//
// It keeps scratch: use one from one goroutine at a time.
type EtaCutoff struct {
	Epsilon         float64 // above 0, below 1
	MinTokensToKeep int     // 0: 1

	best selector
}

// Process implements Processor.
func (p *EtaCutoff) Process(_ []int32, scores []float32) error {
	top, err := greatest(scores)
	if err != nil {
		return err
	}
	total := sumExp(scores, top)
	entropy := math.Log(total)
	for _, x := range scores {
		if e := exp(x, top); e > 0 {
			entropy -= e / total * (float64(x) - float64(top))
		}
	}
	eta := min(p.Epsilon, math.Sqrt(p.Epsilon)*math.Exp(-entropy))
	keepLikely(scores, top, eta*total, p.best.kth(scores, max(p.MinTokensToKeep, 1)))
	return nil
}

// keepLikely forbids tokens whose exponential, relative to top's, is below least, and whose score is below keep.
func keepLikely(scores []float32, top float32, least float64, keep float32) {
	for i, x := range scores {
		if x < keep && exp(x, top) < least {
			scores[i] = negInf
		}
	}
}
