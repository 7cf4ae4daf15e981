package sample

import (
	"errors"
	"fmt"
	"math"
)

// ErrNoToken says that every score is -Inf: no token is allowed.
var ErrNoToken = errors.New("sample: no token is left to choose: every score is -Inf")

var negInf = float32(math.Inf(-1))

// Argmax returns the token with the greatest score; of equal ones it returns the lowest id, as
// torch.argmax does on the CPU. NaN, +Inf and scores that are all -Inf are errors: they come from
// broken weights, from arithmetic that overflowed or from processors that forbid everything, never
// from a model that works.
func Argmax(scores []float32) (int32, error) {
	at, _, err := greatest(scores, 0)
	if err == nil && at < 0 {
		err = ErrNoToken
	}
	return int32(at), err
}

// greatest returns the greatest score and its index in scores; the index is -1 if no score is above
// -Inf. Errors count tokens from first.
func greatest(scores []float32, first int) (at int, top float32, err error) {
	at, top = -1, negInf
	for i := 0; i < len(scores); {
		if x := scores[i:]; len(x) >= 8 && noneAbove((*[8]float32)(x), top) {
			i += 8
			continue
		}
		for end := min(i+8, len(scores)); i < end; i++ {
			if x := scores[i]; !(x <= top) {
				if x > math.MaxFloat32 || x != x {
					return 0, 0, badScore(first+i, x)
				}
				at, top = i, x
			}
		}
	}
	return at, top, nil
}

// noneAbove reports whether all of x are at most top, which NaN is not. Comparing eight at a time
// takes about a third of the time of one by one (BenchmarkToken and BenchmarkTokenPlain, greedy).
func noneAbove(x *[8]float32, top float32) bool {
	return x[0] <= top && x[1] <= top && x[2] <= top && x[3] <= top &&
		x[4] <= top && x[5] <= top && x[6] <= top && x[7] <= top
}

func badScore(id int, x float32) error {
	return fmt.Errorf("sample: the score of token %d is %v: the weights or the arithmetic are broken", id, x)
}
