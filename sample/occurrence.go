package sample

// OccurrencePenalty makes tokens less likely that are in the new text already: it subtracts Presence
// from the score of each of them, and Frequency for each time that a token occurs. What is in the prompt
// does not count. Negative penalties make repetition likelier. These are OpenAI's presence_penalty and
// frequency_penalty.
//
// It keeps scratch memory: use it from one goroutine at a time.
type OccurrencePenalty struct {
	PromptLength int // how many of the ids are the prompt's
	Presence     float64
	Frequency    float64

	counts []uint32 // of each token; all are zero between calls
}

// Process implements Processor.
func (p *OccurrencePenalty) Process(ids []int32, scores []float32) error {
	ids = ids[min(p.PromptLength, len(ids)):]
	if len(p.counts) < len(scores) {
		p.counts = make([]uint32, len(scores))
	}
	for i, id := range ids {
		if id < 0 || int(id) >= len(scores) {
			p.subtract(ids[:i], nil)
			return outside("presence and frequency penalty", id, len(scores))
		}
		p.counts[id]++
	}
	p.subtract(ids, scores)
	return nil
}

// subtract subtracts the penalties of ids from scores, if there are any, and makes their counts zero.
func (p *OccurrencePenalty) subtract(ids []int32, scores []float32) {
	for _, id := range ids {
		if n := p.counts[id]; n > 0 && scores != nil {
			scores[id] -= float32(p.Presence + p.Frequency*float64(n))
		}
		p.counts[id] = 0
	}
}
