package sample

import "math"

// Temperature divides all scores: below 1 the likely tokens become likelier, above 1 the unlikely ones.
type Temperature struct {
	Temperature float64 // above 0
}

// Process implements Processor.
func (p Temperature) Process(_ []int32, scores []float32) error {
	factor := p.factor()
	for i := range scores {
		scores[i] *= factor
	}
	return nil
}

// factor is what scores are multiplied with: a division takes four times as long.
func (p Temperature) factor() float32 { return float32(min(1/p.Temperature, math.MaxFloat32)) }
