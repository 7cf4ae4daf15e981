package generate

import (
	"errors"
	"math"

	"github.com/seed4d217819/ebb/sample"
)

// scorer turns logits into the scores by which tokens are chosen.
type scorer struct {
	chain  *sample.Chain
	valid  bool      // the chain replaces values that are not numbers
	scores []float32 // scratch [vocab]
}

// logits returns a row of logits after processing.
func (s *scorer) logits(ids []int32, row []float32) ([]float32, error) {
	scores := s.writable(row)
	return scores, s.chain.Process(ids, scores)
}

// draw returns a token drawn by a row of logits, and the row after processing.
func (s *scorer) draw(sampler *sample.Sampler, ids []int32, row []float32) (id int32, scores []float32, err error) {
	scores = s.writable(row)
	id, err = s.chain.Draw(sampler, ids, scores)
	return id, scores, err
}

// writable returns a copy of a row for the chain to process, or the row itself if the chain has
// nothing to do.
func (s *scorer) writable(row []float32) []float32 {
	if len(s.chain.Processors()) == 0 {
		return row
	}
	s.scores = append(s.scores[:0], row...)
	return s.scores
}

// best returns the most probable token of a row of logits, and the row after processing.
func (s *scorer) best(ids []int32, row []float32) (id int32, scores []float32, err error) {
	if scores, err = s.logits(ids, row); err != nil {
		return 0, nil, err
	}
	id, err = sample.Argmax(scores)
	return id, scores, err
}

// logProbs returns the log-probabilities of a row after processing, as in a beam search, where
// processors see log-probabilities. chosen are the tokens that earlier groups have chosen.
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
	return s.scores, s.chain.ProcessGroup(chosen, ids, s.scores)
}

// candidates returns the n most probable tokens, or none if no token is possible.
func candidates(scores []float32, n int) ([]Candidate, error) {
	if n == 0 {
		return nil, nil
	}
	found, err := sample.Candidates(scores, n)
	if errors.Is(err, sample.ErrNoToken) {
		return nil, nil
	}
	return found, err
}
