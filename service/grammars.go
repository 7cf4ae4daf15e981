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
	if kept := g.find(gbnf); kept != nil {
		return kept, nil
	}
	compiled, err := g.pieces.Grammar(gbnf) // nobody waits for the grammar of another
	if err == nil && len(gbnf) <= maxGrammarText {
		g.keep(keptGrammar{gbnf, compiled})
	}
	return compiled, err
}

// find returns a grammar that was kept, or nil.
func (g *grammars) find(gbnf string) *grammar.Grammar {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept = slices.DeleteFunc(g.kept, func(k keptGrammar) bool { return k.grammar.Size() > maxGrammarSize })
	i := slices.IndexFunc(g.kept, func(k keptGrammar) bool { return k.gbnf == gbnf })
	if i < 0 {
		return nil
	}
	k := g.kept[i]
	g.kept = append(slices.Delete(g.kept, i, i+1), k)
	return k.grammar
}

// keep keeps a grammar, and forgets one that was not used for longest.
func (g *grammars) keep(k keptGrammar) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept = slices.DeleteFunc(g.kept, func(other keptGrammar) bool { return other.gbnf == k.gbnf })
	if len(g.kept) == maxGrammars {
		g.kept = slices.Delete(g.kept, 0, 1)
	}
	g.kept = append(g.kept, k)
}
