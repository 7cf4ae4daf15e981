package generate

import (
	"cmp"
	"math"
	"slices"
)

// hypothesis is a text that a beam search has found.
type hypothesis struct {
	last   *link
	score  float64
	finish Finish
}

// ranking is the best texts that a group of beams has found, in the order of finding them.
type ranking struct {
	size    int // how many it keeps
	penalty float64
	texts   []hypothesis
	worst   float64 // the lowest score among texts
}

// lengthScore returns the score of a text of n tokens.
func lengthScore(sum float32, n int, penalty float64) float64 {
	return float64(sum) / math.Pow(float64(n), penalty)
}

func (r *ranking) full() bool { return len(r.texts) >= r.size }

// add adds a text of n tokens if it is better than the worst one, or if there are fewer than size.
func (r *ranking) add(last *link, sum float32, n int, f Finish) {
	h := hypothesis{last, lengthScore(sum, n, r.penalty), f}
	if r.full() && !(h.score > r.worst) {
		return
	}
	r.texts = append(r.texts, h)
	if len(r.texts) <= r.size {
		r.worst = min(r.worst, h.score)
		return
	}
	at := r.lowest()
	r.texts = slices.Delete(r.texts, at, at+1)
	r.worst = r.texts[r.lowest()].score
}

// lowest returns the index of the worst text, the first one among equals.
func (r *ranking) lowest() int {
	at := 0
	for i, h := range r.texts {
		if h.score < r.texts[at].score {
			at = i
		}
	}
	return at
}

func (r *ranking) clone() ranking {
	c := *r
	c.texts = slices.Clone(r.texts)
	return c
}

// bestTexts returns the n best texts. Of equal ones the one found last comes first.
func bestTexts(found []hypothesis, n int) []Text {
	slices.Reverse(found)
	slices.SortStableFunc(found, func(a, b hypothesis) int { return cmp.Compare(b.score, a.score) })
	texts := make([]Text, 0, n)
	for _, h := range found[:min(n, len(found))] {
		t := Text{Score: h.score, Finish: h.finish}
		for l := h.last; l != nil; l = l.before {
			t.Tokens, t.Beams = append(t.Tokens, l.token), append(t.Beams, l.beam)
		}
		slices.Reverse(t.Tokens)
		slices.Reverse(t.Beams)
		t.Tokens[len(t.Tokens)-1].Finish = h.finish
		texts = append(texts, t)
	}
	return texts
}
