package sample

import (
	"cmp"
	"math"
	"slices"
)

// Typical keeps the tokens whose information is closest to what the distribution has on average, until they have the
// probability Mass together. Meister et al., "Locally Typical Sampling" (2022).
//
// It keeps scratch: use one from one goroutine at a time.
type Typical struct {
	Mass            float64 // above 0, below 1
	MinTokensToKeep int     // 0: 1

	order []int
	far   []float32
}

// Process implements Processor.
func (p *Typical) Process(_ []int32, scores []float32) error {
	top, err := greatest(scores)
	if err != nil {
		return err
	}
	total := sumExp(scores, top)
	logTotal := math.Log(total)
	entropy := 0.0
	for _, x := range scores {
		if e := exp(x, top); e > 0 {
			entropy -= e / total * (float64(x) - float64(top) - logTotal)
		}
	}
	p.order, p.far = p.order[:0], p.far[:0]
	for i, x := range scores {
		p.order = append(p.order, i)
		p.far = append(p.far, float32(math.Abs(logTotal-(float64(x)-float64(top))-entropy)))
	}
	slices.SortStableFunc(p.order, func(a, b int) int { return cmp.Compare(p.far[a], p.far[b]) })
	sum, last := 0.0, len(scores)-1
	for i, id := range p.order {
		if sum += exp(scores[id], top); float32(sum/total) >= float32(p.Mass) {
			last = i
			break
		}
	}
	furthest := p.far[p.order[last]]
	for _, id := range p.order[min(max(p.MinTokensToKeep, 1), len(scores)):] {
		if p.far[id] > furthest {
			scores[id] = negInf
		}
	}
	return nil
}
