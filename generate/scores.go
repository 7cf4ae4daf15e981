package generate

import (
	"math"
	"slices"

	"github.com/seed4d217819/ebb/sample"
)

// scorer turns logits into the scores that tokens are chosen by.
type scorer struct {
	chain  *sample.Chain
	valid  bool      // the chain makes numbers of what is none
	scores []float32 // [vocab], the last row's
}

// logits returns a row of logits after processing.
func (s *scorer) logits(ids []int32, row []float32) ([]float32, error) {
	if len(s.chain.Processors()) == 0 {
		return row, nil
	}
	s.scores = append(s.scores[:0], row...)
	return s.scores, s.chain.Process(ids, s.scores)
}

// logProbs returns the row's log-probabilities after processing: what processors see in a beam search. chosen are the
// tokens that earlier groups have chosen.
func (s *scorer) logProbs(chosen, ids []int32, row []float32) ([]float32, error) {
	s.scores = append(s.scores[:0], row...)
	if err := sample.LogSoftmax(s.scores); err != nil {
		if !s.valid {
			return nil, err
		}
		nan := float32(math.NaN())
		for i := range s.scores {
			s.scores[i] = nan
		}
	}
	if err := s.chain.ProcessGroup(chosen, ids, s.scores); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(s.scores, func(x float32) bool { return !(x <= math.MaxFloat32) }) {
		_, err := sample.Argmax(s.scores) // says which
		return nil, err
	}
	return s.scores, nil
}

// candidates returns the n most probable tokens.
func candidates(scores []float32, n int) ([]Candidate, error) {
	if n == 0 {
		return nil, nil
	}
	return sample.Candidates(scores, n)
}
