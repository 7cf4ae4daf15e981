package grammar

import (
	"fmt"
	"sync"
)

// Grammar says which texts a model may write. It may be used from several goroutines; those that use it at the same time
// wait for each other.
type Grammar struct {
	pieces *Pieces

	mu      sync.Mutex
	matcher *matcher
}

// New reads a grammar in GBNF, the notation of llama.cpp. A text follows it if its rule root matches all of it.
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
	program, err := compile(rules, p.find)
	if err != nil {
		return nil, fmt.Errorf("grammar: %w", err)
	}
	m, err := newMatcher(program)
	if err != nil {
		return nil, fmt.Errorf("grammar: %w", err)
	}
	return &Grammar{pieces: p, matcher: m}, nil
}

// Check reports what is wrong with a grammar in GBNF, as far as that can be said without a vocabulary.
func Check(gbnf string) error {
	rules, err := parse(gbnf)
	if err != nil {
		return fmt.Errorf("grammar: %w", err)
	}
	if _, err := compile(rules, nil); err != nil {
		return fmt.Errorf("grammar: %w", err)
	}
	return nil
}
