package sample

import (
	"errors"
	"fmt"
	"math"
)

// ErrNoToken says that every score is -Inf: no token is allowed.
var ErrNoToken = errors.New("sample: no token is left to choose: every score is -Inf")

// greatest returns the greatest score. That there is none, NaN and +Inf are errors: they come from broken weights,
// arithmetic that overflowed or a processor that forbids all, never from a model that works.
func greatest(scores []float32) (float32, error) {
	i, err := Argmax(scores)
	if err != nil {
		return 0, err
	}
	return scores[i], nil
}

// Argmax returns the token with the greatest score, the lowest among equals, as torch.argmax does on the CPU. NaN, +Inf and
// no score above -Inf are errors.
func Argmax(scores []float32) (int32, error) {
	at, top := -1, negInf
	for i, x := range scores {
		if x <= top {
			continue
		}
		if x > math.MaxFloat32 || x != x {
			return 0, badScore(i, x)
		}
		at, top = i, x
	}
	if at < 0 {
		return 0, ErrNoToken
	}
	return int32(at), nil
}

func badScore(id int, x float32) error {
	return fmt.Errorf("sample: the score of token %d is %v: the weights or the arithmetic are broken", id, x)
}

// exp returns e^(x-top).
func exp(x, top float32) float64 { return math.Exp(float64(x) - float64(top)) }

// sumExp returns Σ e^(score-top).
func sumExp(scores []float32, top float32) (sum float64) {
	for _, x := range scores {
		sum += exp(x, top)
	}
	return sum
}
