package sample_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/sample"
)

// The filters as their definitions say, with a sort of the whole vocabulary. Each returns which
// tokens stay.

func ranking(scores []float32) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	return order
}

func logSoftmax(scores []float32) []float64 {
	top, sum := float64(slices.Max(scores)), 0.0
	for _, x := range scores {
		sum += math.Exp(float64(x) - top)
	}
	logs := make([]float64, len(scores))
	for i, x := range scores {
		logs[i] = float64(x) - top - math.Log(sum)
	}
	return logs
}

func softmax(scores []float32) []float64 {
	p := logSoftmax(scores)
	for i, log := range p {
		p[i] = math.Exp(log)
	}
	return p
}

func entropyOf(scores []float32) (sum float64) {
	for _, log := range logSoftmax(scores) {
		if p := math.Exp(log); p > 0 {
			sum -= p * log
		}
	}
	return sum
}

func refTopP(scores []float32, topP float64, keep int) []bool {
	p, order := softmax(scores), ranking(scores)
	stays := make([]bool, len(scores))
	sum := 0.0
	for i, id := range slices.Backward(order) {
		sum += p[id]
		stays[id] = (i < max(keep, 1) || sum > 1-topP) && !math.IsInf(float64(scores[id]), -1)
	}
	return stays
}

func refTopK(scores []float32, k, keep int) []bool {
	order := ranking(scores)
	least := scores[order[min(max(k, keep), len(order))-1]]
	return keepIf(scores, func(id int) bool { return scores[id] >= least })
}

func refMinP(scores []float32, minP float64, keep int) []bool {
	p, order := softmax(scores), ranking(scores)
	first := order[:min(max(keep, 1), len(order))]
	return keepIf(scores, func(id int) bool { return p[id] >= minP*p[order[0]] || slices.Contains(first, id) })
}

func refLikely(scores []float32, least float64, keep int) []bool {
	p := softmax(scores)
	kth := scores[ranking(scores)[min(max(keep, 1), len(scores))-1]]
	return keepIf(scores, func(id int) bool { return p[id] >= least || scores[id] >= kth })
}

func refEta(scores []float32, epsilon float64, keep int) []bool {
	return refLikely(scores, min(epsilon, math.Sqrt(epsilon)*math.Exp(-entropyOf(scores))), keep)
}

func refTypical(scores []float32, mass float64, keep int) []bool {
	p, entropy := softmax(scores), entropyOf(scores)
	distance := make([]float32, len(scores))
	for i, log := range logSoftmax(scores) {
		distance[i] = -float32(math.Abs(log + entropy)) // negative, so that ranking begins with the nearest
	}
	order := ranking(distance)
	sum, furthest := 0.0, distance[order[len(order)-1]]
	for _, id := range order {
		if sum += p[id]; sum >= mass {
			furthest = distance[id]
			break
		}
	}
	first := order[:min(max(keep, 1), len(order))]
	return keepIf(scores, func(id int) bool { return distance[id] >= furthest || slices.Contains(first, id) })
}

func keepIf(scores []float32, f func(id int) bool) []bool {
	stays := make([]bool, len(scores))
	for id, x := range scores {
		stays[id] = !math.IsInf(float64(x), -1) && f(id)
	}
	return stays
}

// filterCase is a filter with its definition. The filters take sums of exponentials from buckets,
// so at the border they may be off by a little: what stays is all that stays under the strict, and
// nothing that goes under the lenient definition.
type filterCase struct {
	name            string
	keep            int // tokens that stay whatever their scores
	filter          func() sample.Processor
	strict, lenient func(scores []float32) []bool
}

const slack = 1e-5 // of a probability, as in the golden data

func drawFilter(t *rapid.T, vocab int) filterCase {
	keep := rapid.SampledFrom([]int{0, 1, 2, 5}).Draw(t, "keep")
	p := rapid.Float64Range(1e-6, 0.999999).Draw(t, "p")
	k := rapid.IntRange(1, vocab+2).Draw(t, "k")
	both := func(f func([]float32) []bool) (a, b func([]float32) []bool) { return f, f }
	c := filterCase{keep: max(keep, 1), name: rapid.SampledFrom([]string{"top-k", "top-p", "min-p", "epsilon", "eta", "typical"}).Draw(t, "filter")}
	switch c.name {
	case "top-k":
		c.filter = func() sample.Processor { return &sample.TopK{K: k, MinTokensToKeep: keep} }
		c.strict, c.lenient = both(func(s []float32) []bool { return refTopK(s, k, keep) })
	case "top-p":
		c.filter = func() sample.Processor { return &sample.TopP{P: p, MinTokensToKeep: keep} }
		c.strict = func(s []float32) []bool { return refTopP(s, p-slack, keep) }
		c.lenient = func(s []float32) []bool { return refTopP(s, p+slack, keep) }
	case "min-p":
		c.filter = func() sample.Processor { return &sample.MinP{P: p, MinTokensToKeep: keep} }
		c.strict = func(s []float32) []bool { return refMinP(s, p*(1+slack), keep) }
		c.lenient = func(s []float32) []bool { return refMinP(s, p*(1-slack), keep) }
	case "epsilon":
		c.filter = func() sample.Processor { return &sample.EpsilonCutoff{Epsilon: p, MinTokensToKeep: keep} }
		c.strict = func(s []float32) []bool { return refLikely(s, p*(1+slack), keep) }
		c.lenient = func(s []float32) []bool { return refLikely(s, p*(1-slack), keep) }
	case "eta":
		c.filter = func() sample.Processor { return &sample.EtaCutoff{Epsilon: p, MinTokensToKeep: keep} }
		c.strict = func(s []float32) []bool { return refEta(s, p*(1+slack), keep) }
		c.lenient = func(s []float32) []bool { return refEta(s, p*(1-slack), keep) }
	case "typical":
		c.filter = func() sample.Processor { return &sample.Typical{Mass: p, MinTokensToKeep: keep} }
		c.strict = func(s []float32) []bool { return refTypical(s, p-slack, keep) }
		c.lenient = func(s []float32) []bool { return refTypical(s, p+slack, keep) }
	}
	return c
}

// drawScores draws scores of many shapes: flat, peaked, with ties, with tokens that are forbidden
// already.
func drawScores(t *rapid.T, most int) []float32 {
	vocab := rapid.IntRange(1, most).Draw(t, "vocab")
	seed := rapid.Uint64().Draw(t, "seed")
	spread := rapid.SampledFrom([]float64{0, 0.01, 1, 3, 30, 300}).Draw(t, "spread")
	shift := rapid.SampledFrom([]float64{0, -20, 1e4, -1e9}).Draw(t, "shift")
	grid := rapid.SampledFrom([]float64{0, 0.5}).Draw(t, "grid") // ties
	without := rapid.SampledFrom([]float64{0, 0.5, 0.999}).Draw(t, "forbidden")
	r := newRand(seed)
	scores := make([]float32, vocab)
	for i := range scores {
		x := r.NormFloat64() * spread
		if grid > 0 {
			x = math.Round(x/grid) * grid
		}
		scores[i] = float32(x + shift)
		if r.Float64() < without && i > 0 {
			scores[i] = float32(math.Inf(-1))
		}
	}
	return scores
}

func TestFiltersEqualTheirDefinitions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scores := drawScores(t, 20_000)
		c := drawFilter(t, len(scores))
		got := slices.Clone(scores)
		if err := c.filter().Process(nil, got); err != nil {
			t.Fatal(err)
		}
		strict, lenient := c.strict(scores), c.lenient(scores)
		for id, x := range got {
			switch stays := !math.IsInf(float64(x), -1); {
			case stays && x != scores[id]:
				t.Fatalf("%s: token %d had the score %v and has %v", c.name, id, scores[id], x)
			case stays && !lenient[id]:
				t.Fatalf("%s: token %d with score %v stays; it should go", c.name, id, x)
			case !stays && strict[id]:
				t.Fatalf("%s: token %d with score %v goes; it should stay", c.name, id, scores[id])
			}
		}
	})
}
