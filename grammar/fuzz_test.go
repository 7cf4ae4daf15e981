package grammar

import "testing"

// Whatever is read as a grammar either is an error or says, within its bounds, what may come.
func FuzzGrammar(f *testing.F) {
	f.Add(jsonGrammar)
	for _, g := range hostileGrammars {
		if len(g.gbnf) < 1000 {
			f.Add(g.gbnf)
		}
	}
	f.Add(`root ::= <think> [^é-ü\]]{2,3} !<[5]> ("a" | .)+ # comment`)
	w := letters("ab", "é", "<think>")
	pieces, err := ReadPieces(w)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, gbnf string) {
		g, err := pieces.Grammar(gbnf)
		if err != nil {
			return
		}
		p, ids := g.Processor(0, nil), []int32(nil)
		for range 5 {
			scores := make([]float32, len(w))
			if err := p.Process(ids, scores); err != nil {
				return
			}
			next := int32(-1)
			for id := range scores {
				if scores[id] == 0 && id > 0 {
					next = int32(id)
				}
			}
			if next < 0 {
				if scores[0] != 0 {
					t.Fatalf("nothing is allowed after %v, and no error", ids)
				}
				return
			}
			ids = append(ids, next)
		}
	})
}
