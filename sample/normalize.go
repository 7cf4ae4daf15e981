package sample

import "math"

// InfNanRemove makes scores numbers that can be computed with: NaN becomes 0, an infinity the greatest or least float32.
// It also allows, with no probability to speak of, what processors before it have forbidden.
type InfNanRemove struct{}

// Process implements Processor.
func (InfNanRemove) Process(_ []int32, scores []float32) error {
	for i, x := range scores {
		switch {
		case x != x:
			scores[i] = 0
		case x > math.MaxFloat32:
			scores[i] = math.MaxFloat32
		case x < -math.MaxFloat32:
			scores[i] = -math.MaxFloat32
		}
	}
	return nil
}

// LogitNormalization makes scores log-probabilities, as [LogSoftmax] does.
type LogitNormalization struct{}

// Process implements Processor.
func (LogitNormalization) Process(_ []int32, scores []float32) error { return LogSoftmax(scores) }

// LogSoftmax makes scores the natural logarithms of their softmax, in place.
func LogSoftmax(scores []float32) error {
	log, err := LogSumExp(scores)
	if err != nil {
		return err
	}
	for i, x := range scores {
		scores[i] = float32(float64(x) - log)
	}
	return nil
}

// LogSumExp returns log Σ exp(score). A score less that is the token's log-probability.
func LogSumExp(scores []float32) (float64, error) {
	top, err := greatest(scores)
	if err != nil {
		return 0, err
	}
	return float64(top) + math.Log(sumExp(scores, top)), nil
}
