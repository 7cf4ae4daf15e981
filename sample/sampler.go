package sample

import (
	"math"
	"math/rand/v2"
)

// Sampler draws tokens by the softmax of their scores. The same seed draws the same tokens from the
// same scores, on any machine. Its zero value is not usable; use it from one goroutine at a time.
type Sampler struct {
	random  *rand.Rand
	places  []int     // indices of the scores that may be drawn
	weights []float64 // their exponentials, relative to the greatest's
	view    view
}

// NewSampler returns a Sampler with a seed.
func NewSampler(seed uint64) *Sampler {
	return &Sampler{random: rand.New(rand.NewPCG(seed, 0))}
}

// Draw returns a token. NaN, +Inf and scores that are all -Inf are errors.
func (s *Sampler) Draw(scores []float32) (int32, error) {
	complete, err := s.collect(scores, max(fewScores, len(scores)/16))
	if err != nil {
		return 0, err
	}
	if complete {
		return int32(s.places[s.drawPlace()]), nil
	}
	if err := s.view.read(scores); err != nil {
		return 0, err
	}
	return int32(s.drawFrom(&s.view)), nil
}

// drawListed draws from the tokens that v lists. The result is that of Draw.
func (s *Sampler) drawListed(v *view) int32 {
	s.weights = s.weights[:0]
	for _, i := range v.list {
		s.weights = append(s.weights, exp(below(v.scores[i], v.top)))
	}
	return int32(v.list[s.drawPlace()])
}

// collect finds the scores above -Inf and computes their weights. It returns false once there are
// more than most.
func (s *Sampler) collect(scores []float32, most int) (complete bool, err error) {
	s.places = s.places[:0]
	top := negInf
	for i := 0; i < len(scores); {
		if x := scores[i:]; len(x) >= 8 && noneAbove((*[8]float32)(x), negInf) {
			i += 8
			continue
		}
		for end := min(i+8, len(scores)); i < end; i++ {
			switch x := scores[i]; {
			case x == negInf:
			case x > math.MaxFloat32 || x != x:
				return false, badScore(i, x)
			default:
				s.places = append(s.places, i)
				top = max(top, x)
			}
		}
		if len(s.places) > most {
			return false, nil
		}
	}
	if len(s.places) == 0 {
		return false, ErrNoToken
	}
	s.weights = s.weights[:0]
	for _, i := range s.places {
		s.weights = append(s.weights, exp(below(scores[i], top)))
	}
	return true, nil
}

// drawPlace returns the index of one of the weights. The greatest score has the weight 1, so that
// one can be drawn.
func (s *Sampler) drawPlace() int {
	total := 0.0
	for _, w := range s.weights {
		total += w
	}
	at, last := float64(s.random.Float64()*total), 0
	for i, w := range s.weights {
		if w > 0 {
			if last = i; at < w {
				break
			}
			at -= w
		}
	}
	return last
}

// drawFrom draws a bucket of the histogram, and then a score from the bucket. It returns the index
// of the score.
func (s *Sampler) drawFrom(v *view) int {
	h := &v.weights
	h.fill(v)
	total := h.total()
	at, last := float64(s.random.Float64()*total), 0
	for b := range numBuckets {
		if w := h.weight(b); w > 0 {
			if last = b; at < w {
				break
			}
			at -= w
		}
	}
	s.places = h.places(s.places[:0], v, last)
	for _, i := range s.places {
		w := exp(below(v.scores[i], v.top))
		if at < w {
			return i
		}
		at -= w
	}
	return s.places[len(s.places)-1]
}
