package sample

import (
	"cmp"
	"math"
	"slices"
)

// Typical keeps the tokens whose information content is closest to the entropy of the distribution,
// until they have the probability Mass together. Meister et al., "Locally Typical Sampling" (2022).
//
// It keeps scratch memory: use it from one goroutine at a time.
type Typical struct {
	Mass            float64 // above 0, below 1
	MinTokensToKeep int     // 0: 1

	own *view
}

// item is a token that Typical may keep.
type item struct {
	distance float32 // between its information content and the entropy
	place    int32
	weight   float64
}

// Process implements Processor.
func (p *Typical) Process(_ []int32, scores []float32) error { return process(p, &p.own, scores) }

func (p *Typical) filter(v *view) error {
	v.items = v.items[:0]
	total, depths := 0.0, 0.0
	for first, scores := range v.runs(negInf) {
		for i, x := range scores {
			if x > negInf {
				d := below(x, v.top)
				w := exp(d)
				total += w
				depths += float64(w * d)
				v.items = append(v.items, item{place: int32(first + i), weight: w})
			}
		}
	}
	typical := depths / total // how far below the top a token of average information lies
	for i := range v.items {
		v.items[i].distance = float32(math.Abs(below(v.scores[v.items[i].place], v.top) - typical))
	}
	keep := min(max(p.MinTokensToKeep, 1), len(v.items))
	furthest := reach(v.items, p.Mass, total)
	near := 0
	for _, it := range v.items {
		if it.distance <= furthest {
			near++
		}
	}
	if near < keep {
		slices.SortFunc(v.items, func(a, b item) int {
			return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.place, b.place))
		})
		furthest = negInf // the first ones are kept
	} else {
		keep = 0
	}
	for _, it := range v.items[keep:] {
		if it.distance > furthest {
			v.scores[it.place] = negInf
		}
	}
	v.settle()
	return nil
}

// reach returns the distance up to which items together have the fraction mass of total, or +Inf if
// all of them have less. It is a quickselect by weight, and changes the order of items.
func reach(items []item, mass, total float64) float32 {
	nearer := 0.0 // weight of the items that are nearer than all that are left
	enough := func(weight float64) bool { return float32(weight/total) >= float32(mass) }
	for len(items) > 0 {
		pivot := middle(items[0].distance, items[len(items)/2].distance, items[len(items)-1].distance)
		less, equal, weight, same := 0, 0, 0.0, 0.0 // in order: items below the pivot, equal to it, not looked at yet, above it
		for i, end := 0, len(items); i < end; {
			switch it := items[i]; {
			case it.distance < pivot:
				weight += it.weight
				items[i], items[less] = items[less], it
				less++
				i++
			case it.distance == pivot:
				same += it.weight
				equal++
				i++
			default:
				end--
				items[i], items[end] = items[end], it
			}
		}
		switch {
		case enough(nearer + weight):
			items = items[:less]
		case enough(nearer + weight + same):
			return pivot
		default:
			nearer += weight + same
			items = items[less+equal:]
		}
	}
	return float32(math.Inf(1))
}

func middle(a, b, c float32) float32 { return max(min(a, b), min(max(a, b), c)) }
