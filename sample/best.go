package sample

import "slices"

// selector finds the greatest scores.
type selector struct {
	kept []float32
}

// kth returns the k-th greatest score, or the least where there are fewer.
func (s *selector) kth(scores []float32, k int) float32 {
	s.kept = append(s.kept[:0], scores...)
	slices.Sort(s.kept)
	return s.kept[max(len(s.kept)-k, 0)]
}

// Best returns the positions of the k greatest scores, greatest first and the lowest first among equals, in dst's memory
// where it has room. It returns fewer where fewer scores are above -Inf.
func Best(dst []int, scores []float32, k int) []int {
	dst = byScore(dst, scores)
	dst = dst[:min(k, len(dst))]
	for len(dst) > 0 && scores[dst[len(dst)-1]] == negInf {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// Candidate is a token that may come next.
type Candidate struct {
	ID      int32
	Score   float32
	LogProb float64 // natural logarithm of the softmax of all scores
}

// Candidates returns the k tokens with the greatest scores, greatest first and the lowest id first among equals; fewer
// where fewer have a score above -Inf.
func Candidates(scores []float32, k int) ([]Candidate, error) {
	log, err := LogSumExp(scores)
	if err != nil {
		return nil, err
	}
	best := Best(nil, scores, k)
	candidates := make([]Candidate, len(best))
	for i, id := range best {
		candidates[i] = Candidate{ID: int32(id), Score: scores[id], LogProb: float64(scores[id]) - log}
	}
	return candidates, nil
}
