package sample

// Temperature divides all scores: below 1 the likely tokens become likelier, above 1 the unlikely ones.
type Temperature struct {
	Temperature float64 // above 0
}

// Process implements Processor.
func (p Temperature) Process(_ []int32, scores []float32) error {
	t := float32(p.Temperature)
	for i := range scores {
		scores[i] /= t
	}
	return nil
}
