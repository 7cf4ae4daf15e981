package sample

import "math"

// TopK keeps the K tokens with the greatest scores, and those whose score equals the least of
// these.
//
// It keeps scratch memory: use it from one goroutine at a time.
type TopK struct {
	K               int // at least 1
	MinTokensToKeep int // counts instead of K if it is greater

	own *view
}

// Process implements Processor.
func (p *TopK) Process(_ []int32, scores []float32) error { return process(p, &p.own, scores) }

func (p *TopK) filter(v *view) error {
	return p.filterScaled(v, 1)
}

// filterScaled has the effect of Temperature, which multiplies by factor, followed by TopK. It
// scales only the scores that are left.
func (p *TopK) filterScaled(v *view, factor float32) error {
	if k := max(p.K, p.MinTokensToKeep); k < len(v.scores) {
		least := v.kth(k)
		scaled := least * factor
		for { // also keep the scores that equal it after scaling
			next := math.Nextafter32(least, negInf)
			if next*factor != scaled || next == negInf {
				break
			}
			least = next
		}
		v.cut(least)
	}
	if factor == 1 {
		return nil
	}
	return v.scale(factor)
}
