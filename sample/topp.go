package sample

import (
	"cmp"
	"slices"
)

// TopP keeps the most probable tokens that together have at least the probability P: nucleus
// sampling. Of equally probable tokens at the border it keeps those with the lowest ids. Holtzman
// et al., "The Curious Case of Neural Text Degeneration" (2019).
//
// It keeps scratch memory: use it from one goroutine at a time.
type TopP struct {
	P               float64 // 0 to 1; 0 keeps MinTokensToKeep
	MinTokensToKeep int     // 0: 1

	own *view
}

// Process implements Processor.
func (p *TopP) Process(_ []int32, scores []float32) error { return process(p, &p.own, scores) }

func (p *TopP) filter(v *view) error {
	if p.P >= 1 {
		return nil
	}
	h, keep := &v.weights, max(p.MinTokensToKeep, 1)
	h.fill(v)
	total := h.total()
	// removable says whether tokens with this weight together have no more probability than P
	// leaves. Hugging Face compares in float32: in float64 0.1 would be more than 1 - 0.9.
	removable := func(weight float64) bool { return float32(weight/total) <= float32(1-p.P) }

	// The border lies in the first bucket after which everything can be removed.
	rest, kept, border := total, 0, 0
	for ; border < numBuckets-1; border++ {
		rest -= h.weight(border)
		kept += h.count(border)
		if kept >= keep && removable(rest) {
			break
		}
	}
	if kept < keep {
		v.keepBest(keep) // some of them lie below all buckets
		return nil
	}
	// In that bucket, remove the least probable tokens first.
	v.order = h.places(v.order[:0], v, border)
	slices.SortFunc(v.order, func(a, b int) int {
		return cmp.Or(cmp.Compare(v.scores[a], v.scores[b]), cmp.Compare(b, a))
	})
	remove := 0
	for ; kept > keep && remove < len(v.order)-1; remove++ {
		if rest += exp(below(v.scores[v.order[remove]], v.top)); !removable(rest) {
			break
		}
		kept--
	}
	v.cut(v.scores[v.order[remove]])
	for _, i := range v.order[:remove] {
		v.scores[i] = negInf
	}
	v.settle()
	return nil
}
