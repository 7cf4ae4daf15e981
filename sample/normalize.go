package sample

import "math"

// InfNanRemove replaces NaN by 0, and an infinity by the greatest or the least float32. Tokens that
// processors before it have forbidden are then allowed, with a negligible probability.
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

// LogitNormalization turns scores into log-probabilities, as [LogSoftmax] does.
type LogitNormalization struct{}

// Process implements Processor.
func (LogitNormalization) Process(_ []int32, scores []float32) error { return LogSoftmax(scores) }

func (LogitNormalization) filter(v *view) error { //nolint:unparam // the other filters may fail
	sum := 0.0
	for _, scores := range v.runs(negInf) {
		sum += sumExp(scores, v.top)
	}
	log := float64(v.top) + math.Log(sum)
	v.change(func(x float32) float32 { return float32(float64(x) - log) })
	return nil
}

// LogSoftmax replaces scores by the natural logarithms of their softmax, in place. NaN, +Inf and
// scores that are all -Inf are errors.
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

// LogSumExp returns log Σ exp(score). A score minus this is its token's log-probability. NaN, +Inf
// and scores that are all -Inf are errors.
func LogSumExp(scores []float32) (float64, error) {
	at, top, err := greatest(scores, 0)
	if err == nil && at < 0 {
		err = ErrNoToken
	}
	if err != nil {
		return 0, err
	}
	return float64(top) + math.Log(sumExp(scores, top)), nil
}

// sumExp returns Σ exp(score - top).
func sumExp(scores []float32, top float32) (sum float64) {
	for _, x := range scores {
		sum += exp(below(x, top))
	}
	return sum
}
