package sample

import (
	"math"
	"math/rand/v2"
)

// Sampler draws tokens by the softmax of their scores. The same seed draws the same from the same scores, on any machine.
// Its zero value is not ready; use one from one goroutine at a time.
type Sampler struct {
	random  *rand.Rand
	places  []int     // of the scores that may be drawn
	weights []float64 // their exponentials, relative to the greatest's
	view    view
}

// NewSampler returns a Sampler that begins with seed.
func NewSampler(seed uint64) *Sampler {
	return &Sampler{random: rand.New(rand.NewPCG(seed, 0))}
}

// Draw returns a token. NaN, +Inf and no score above -Inf are errors.
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

// drawListed draws from the tokens that v lists. It equals Draw.
func (s *Sampler) drawListed(v *view) int32 {
	s.weights = s.weights[:0]
	for _, i := range v.list {
		s.weights = append(s.weights, exp(below(v.scores[i], v.top)))
	}
	return int32(v.list[s.drawPlace()])
}

// DrawDistinct appends to dst the positions of k scores, drawn one after the other without putting back, as
// torch.multinomial does without replacement. It appends fewer where fewer have a probability above zero in float32. A beam
// search gives it the scores of all its beams, one after the other.
func (s *Sampler) DrawDistinct(dst []int, scores []float32, k int) ([]int, error) {
	if _, err := s.collect(scores, len(scores)); err != nil {
		return dst, err
	}
	for range k {
		i := s.drawPlace()
		if i < 0 {
			break
		}
		dst = append(dst, s.places[i])
		s.weights[i] = 0
	}
	return dst, nil
}

// collect finds the scores above -Inf and weighs them. It reports false once there are more than most.
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

// drawPlace returns the index of one of the places, -1 if none has a weight.
func (s *Sampler) drawPlace() int {
	total := 0.0
	for _, w := range s.weights {
		total += w
	}
	at, last := float64(s.random.Float64()*total), -1
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

// drawFrom draws a bucket, and then a score from it.
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
