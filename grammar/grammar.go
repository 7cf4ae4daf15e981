package grammar

import (
	"fmt"
	"sync"
)

// Grammar is the set of texts that a model may write. Several goroutines may use it; one at a time
// computes, and the others wait.
type Grammar struct {
	pieces *Pieces

	mu      sync.Mutex
	matcher *matcher
}

// New reads a grammar in GBNF, the notation of llama.cpp. A text follows it if its rule root
// matches all of it.
func New(v Vocab, gbnf string) (*Grammar, error) {
	p, err := ReadPieces(v)
	if err != nil {
		return nil, err
	}
	return p.Grammar(gbnf)
}

// Grammar is [New] for a vocabulary that has been read.
func (p *Pieces) Grammar(gbnf string) (*Grammar, error) {
	rules, err := parse(gbnf)
	if err != nil {
		return nil, fmt.Errorf("grammar: %w", err)
	}
	program, err := compile(rules, p)
	if err != nil {
		return nil, fmt.Errorf("grammar: %w", err)
	}
	m, err := newMatcher(program)
	if err != nil {
		return nil, fmt.Errorf("grammar: %w", err)
	}
	return &Grammar{pieces: p, matcher: m}, nil
}

// Size returns about how many bytes the grammar keeps of the texts that it has read, so that reading on
// takes less.
func (g *Grammar) Size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.matcher.size
}

// Check reports the faults of a grammar in GBNF that can be found without a vocabulary.
func Check(gbnf string) error {
	rules, err := parse(gbnf)
	if err != nil {
		return fmt.Errorf("grammar: %w", err)
	}
	if _, err := compile(rules, unknownTokens{}); err != nil {
		return fmt.Errorf("grammar: %w", err)
	}
	return nil
}
