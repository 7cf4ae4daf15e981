package sample

import "math/rand/v2"

// Sampler draws tokens by the softmax of their scores. The same seed draws the same from the same scores, on any machine.
// Use it from one goroutine at a time.
type Sampler struct {
	random *rand.Rand
	exps   []float64
}

// NewSampler returns a Sampler that begins with seed.
func NewSampler(seed uint64) *Sampler {
	return &Sampler{random: rand.New(rand.NewPCG(seed, 0))}
}

// Draw returns a token. NaN, +Inf and no score above -Inf are errors.
func (s *Sampler) Draw(scores []float32) (int32, error) {
	total, err := s.weigh(scores)
	if err != nil {
		return 0, err
	}
	return int32(s.draw(total)), nil
}

// DrawDistinct appends to dst the positions of k scores, drawn one after the other without putting back, as
// torch.multinomial does without replacement. It appends fewer where fewer have a probability above zero in float32. A beam
// search gives it the scores of all its beams, one after the other.
func (s *Sampler) DrawDistinct(dst []int, scores []float32, k int) ([]int, error) {
	total, err := s.weigh(scores)
	if err != nil {
		return dst, err
	}
	for range k {
		i := s.draw(total)
		if i < 0 {
			break
		}
		dst = append(dst, i)
		s.exps[i] = 0
		total = 0
		for _, e := range s.exps {
			total += e
		}
	}
	return dst, nil
}

func (s *Sampler) weigh(scores []float32) (total float64, err error) {
	top, err := greatest(scores)
	if err != nil {
		return 0, err
	}
	s.exps = s.exps[:0]
	for _, x := range scores {
		e := exp(x, top)
		s.exps = append(s.exps, e)
		total += e
	}
	return total, nil
}

func (s *Sampler) draw(total float64) int {
	at, last := s.random.Float64()*total, -1
	for i, e := range s.exps {
		if e > 0 {
			if last = i; at < e {
				break
			}
			at -= e
		}
	}
	return last
}
