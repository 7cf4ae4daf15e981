package service

import (
	"slices"
	"sync"

	"github.com/seed4d217819/ebb/grammar"
)

// grammars makes grammars for a vocabulary, and keeps the last ones: those of an agent's tools are the
// same in each of its turns, and what a grammar knows of texts costs some milliseconds a token at first. It
// may be used from many goroutines.
type grammars struct {
	pieces *grammar.Pieces

	mu   sync.Mutex
	kept []keptGrammar // the newest last
}

type keptGrammar struct {
	gbnf    string
	grammar *grammar.Grammar
}

// Bounds of what is kept.
const (
	maxGrammars    = 8
	maxGrammarText = 256 << 10 // bytes of a grammar
	maxGrammarSize = 16 << 20  // bytes of what it knows
)

// get returns a grammar.
func (g *grammars) get(gbnf string) (*grammar.Grammar, error) {
	if len(gbnf) > maxGrammarText {
		return g.pieces.Grammar(gbnf)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept = slices.DeleteFunc(g.kept, func(k keptGrammar) bool { return k.grammar.Size() > maxGrammarSize })
	if i := slices.IndexFunc(g.kept, func(k keptGrammar) bool { return k.gbnf == gbnf }); i >= 0 {
		k := g.kept[i]
		g.kept = append(slices.Delete(g.kept, i, i+1), k)
		return k.grammar, nil
	}
	compiled, err := g.pieces.Grammar(gbnf)
	if err != nil {
		return nil, err
	}
	if len(g.kept) == maxGrammars {
		g.kept = slices.Delete(g.kept, 0, 1)
	}
	g.kept = append(g.kept, keptGrammar{gbnf, compiled})
	return compiled, nil
}
