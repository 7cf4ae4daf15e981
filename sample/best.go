package sample

import "slices"

// Best returns the indices of the k greatest scores, the greatest first and the lowest index first
// among equals. It uses dst's memory as far as that suffices, and returns fewer indices if fewer
// scores are above -Inf. The scores must not be NaN; LogSoftmax reports one.
func Best(dst []int, scores []float32, k int) []int {
	h := heap{kept: dst[:0], scores: scores}
	h.take(0, scores, k)
	return h.sorted()
}

// Candidate is a token that may come next.
type Candidate struct {
	ID      int32
	Score   float32
	LogProb float64 // natural logarithm of the softmax of all scores
}

// Candidates returns the k tokens with the greatest scores, the greatest first and the lowest id
// first among equals. It returns fewer if fewer scores are above -Inf.
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

// heap keeps the indices of the greatest scores that it was shown, the worst of them at kept[0]. Of
// equal scores the one with the lower index is better. Most scores are compared with the worst one
// and are done with: finding 8 of four rows of 152,000 takes about 1/800 of the time of sorting
// them (BenchmarkToken and BenchmarkTokenPlain, best-8-of-4-beams).
type heap struct {
	kept   []int
	scores []float32
}

// take shows scores to the heap, which keeps at most k of all it was shown. scores begin at index
// first of h.scores.
func (h *heap) take(first int, scores []float32, k int) {
	if k <= 0 {
		return
	}
	least := negInf // the worst score kept, once there are k
	if len(h.kept) >= k {
		least = h.scores[h.kept[0]]
	}
	for i := 0; i < len(scores); {
		if x := scores[i:]; len(x) >= 8 && noneAbove((*[8]float32)(x), least) {
			i += 8
			continue
		}
		for end := min(i+8, len(scores)); i < end; i++ {
			if scores[i] <= least {
				continue
			}
			if len(h.kept) < k {
				h.kept = append(h.kept, first+i)
				h.up(len(h.kept) - 1)
			} else {
				h.kept[0] = first + i
				h.down(0)
			}
			if len(h.kept) == k {
				least = h.scores[h.kept[0]]
			}
		}
	}
}

// sorted returns the indices, the best first. The heap must not be used afterwards.
func (h *heap) sorted() []int {
	slices.SortFunc(h.kept, func(a, b int) int {
		if h.worse(b, a) {
			return -1
		}
		return 1
	})
	return h.kept
}

// worse reports whether the score at index a is worse than that at b.
func (h *heap) worse(a, b int) bool {
	x, y := h.scores[a], h.scores[b]
	return x < y || x == y && a > b
}

func (h *heap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.worse(h.kept[i], h.kept[parent]) {
			return
		}
		h.kept[i], h.kept[parent] = h.kept[parent], h.kept[i]
		i = parent
	}
}

func (h *heap) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h.kept) {
			return
		}
		if child+1 < len(h.kept) && h.worse(h.kept[child+1], h.kept[child]) {
			child++
		}
		if !h.worse(h.kept[child], h.kept[i]) {
			return
		}
		h.kept[i], h.kept[child] = h.kept[child], h.kept[i]
		i = child
	}
}
