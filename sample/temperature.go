package sample

// Temperature divides all scores by a number: below 1 it makes likely tokens likelier, above 1
// unlikely ones.
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

// maxFactor is what scores are multiplied by at most: more would make them infinite, and decides no more.
const maxFactor = 1e30

// factor returns the number that scores are multiplied by, since a division takes several times as
// long.
func (p Temperature) factor() float32 { return float32(min(1/p.Temperature, maxFactor)) }
