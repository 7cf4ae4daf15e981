package sample

// TopK keeps the K tokens with the greatest scores, and those whose score equals the last of them.
//
// It keeps scratch: use one from one goroutine at a time.
type TopK struct {
	K               int // at least 1
	MinTokensToKeep int // K where that is smaller

	best selector
}

// Process implements Processor.
func (p *TopK) Process(_ []int32, scores []float32) error {
	if k := max(p.K, p.MinTokensToKeep); k < len(scores) {
		cut(scores, p.best.kth(scores, k))
	}
	return nil
}

// cut forbids the tokens whose score is below least.
func cut(scores []float32, least float32) {
	for i, x := range scores {
		if x < least {
			scores[i] = negInf
		}
	}
}
