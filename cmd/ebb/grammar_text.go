package main

import (
	"fmt"
	"strings"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/grammar"
	"github.com/seed4d217819/ebb/grammar/jsonschema"
)

// grammarText is a grammar as the user gave it. The zero value is none.
type grammarText struct {
	gbnf   string
	source string // the file, or the flag with the grammar itself
}

// readGrammar reads the grammar that answers follow: that of --grammar, or the one that
// --json-schema stands for.
func (f *generationFlags) readGrammar() (g grammarText, err error) {
	var text []byte
	switch {
	case f.grammar != "":
		inline := strings.Contains(f.grammar, "::=")
		text, g.source, err = inlineOrFile("--grammar", "the grammar", f.grammar, inline)
		g.gbnf = string(text)
	case f.schema != "":
		inline := strings.HasPrefix(strings.TrimSpace(f.schema), "{")
		if text, g.source, err = inlineOrFile("--json-schema", "the JSON schema", f.schema, inline); err != nil {
			return g, err
		}
		if g.gbnf, err = jsonschema.Grammar(text); err != nil {
			err = fmt.Errorf("%s: %w", g.source, err)
		}
	}
	return g, err
}

// inlineOrFile returns a flag's value, or the text of the file that the value names, and where the
// text is from.
func inlineOrFile(flag, what, value string, inline bool) (text []byte, source string, err error) {
	if inline {
		return []byte(value), flag, nil
	}
	text, err = readText(what, value, nil)
	return text, value, err
}

// compile returns the grammar for an engine's tokens, or nil if there is none.
func (g grammarText) compile(engine *ebb.Engine) (*grammar.Grammar, error) {
	if g.source == "" {
		return nil, nil
	}
	pieces, err := engine.Pieces()
	if err != nil {
		return nil, err
	}
	compiled, err := pieces.Grammar(g.gbnf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", g.source, err)
	}
	return compiled, nil
}
