package sample

// HammingDiversity makes the groups of a diverse beam search differ: it subtracts the penalty from
// a token's score once for each time that an earlier group has chosen the token in this step. A
// value serves one group in one step; in a chain,
// [Chain.ProcessGroup] is given the tokens. Vijayakumar et al., "Diverse Beam Search" (2016).
type HammingDiversity struct {
	Penalty float64
	Chosen  []int32 // what the earlier groups of this prompt chose in this step, a token as often as it was chosen
}

// Process implements Processor.
func (p HammingDiversity) Process(_ []int32, scores []float32) error {
	for i, id := range p.Chosen {
		if id < 0 || int(id) >= len(scores) {
			return outside("Hamming diversity", id, len(scores))
		}
		times := 0
		for j, other := range p.Chosen {
			if other == id {
				if j < i {
					times = 0
					break // counted already
				}
				times++
			}
		}
		if times > 0 {
			scores[id] -= float32(p.Penalty) * float32(times)
		}
	}
	return nil
}
