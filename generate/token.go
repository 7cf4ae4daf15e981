package generate

import (
	"errors"
	"fmt"
	"math"
)

// Token is a token that was chosen.
type Token struct {
	ID int32
	// LogProb is the natural logarithm of its probability among the tokens that were allowed, if Config.LogProbs asks
	// for it.
	LogProb float64
}

var errNothing = errors.New("no token has a logit above -Inf")

// best returns the token with the largest logit, the lowest id among equals, as torch.argmax does on the CPU.
// NaN and +Inf are errors: they come from broken weights or arithmetic that overflowed, never from a model that works.
func best(logits []float32) (id int, err error) {
	id = -1
	top := float32(math.Inf(-1))
	for i, x := range logits {
		switch {
		case x > top:
			if x > math.MaxFloat32 {
				return 0, badLogit(i, x)
			}
			id, top = i, x
		case math.IsNaN(float64(x)):
			return 0, badLogit(i, x)
		}
	}
	if id < 0 {
		return 0, errNothing
	}
	return id, nil
}

// logProb returns the log softmax of the largest logit, id's: x - x - log Σ exp(xᵢ - x).
func logProb(logits []float32, id int) float64 {
	top, sum := float64(logits[id]), 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x) - top)
	}
	return -math.Log(sum)
}

func badLogit(id int, x float32) error {
	return fmt.Errorf("the logit of token %d is %v: the weights or the arithmetic are broken", id, x)
}
