package grammar

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Vocab is a vocabulary, as a tokenizer or libllama has it.
type Vocab interface {
	// Size is the number of tokens; ids are 0 to Size-1.
	Size() int
	// Piece returns the bytes of a token as they stand inside a text; none for a control token,
	// unless special asks for its spelling.
	Piece(id int32, special bool) ([]byte, error)
	// EOG returns the tokens that end a text.
	EOG() []int32
}

// Pieces is the text of all tokens of a vocabulary, in the order in which grammars read them. It
// takes a tenth of a second to make for 150,000 tokens, and serves any number of grammars, from
// several goroutines at once.
type Pieces struct {
	texts [][]byte // by id; nil for tokens that are no text
	eog   []int32
	names map[string]int32 // ids by their spelling, of tokens in angle brackets

	controls map[string]int32 // ids by their spelling, of tokens that are no text

	// The texts as a tree, node by node in the order of a text's bytes: a child comes after its
	// parent, and end is the first node that is not below.
	nodes []pieceNode
	ids   []int32 // tokens, by node
}

type pieceNode struct {
	end   int32
	ids   int32 // the first of the tokens whose text ends here, in Pieces.ids; the next node's is the end
	depth uint16
	label byte
}

// maxPiece is the length of the longest token that a grammar allows.
const maxPiece = 1 << 12

// ReadPieces reads the texts of a vocabulary.
func ReadPieces(v Vocab) (*Pieces, error) {
	p := &Pieces{texts: make([][]byte, v.Size()), eog: v.EOG(), names: map[string]int32{}, controls: map[string]int32{}}
	ends := map[int32]bool{}
	for _, id := range p.eog {
		ends[id] = true
	}
	var order []int32
	for id := range int32(v.Size()) {
		spelling, err := v.Piece(id, true)
		if err != nil {
			return nil, fmt.Errorf("grammar: %w", err)
		}
		if n := len(spelling); n > 2 && spelling[0] == '<' && spelling[n-1] == '>' {
			if _, ok := p.names[string(spelling)]; !ok {
				p.names[string(spelling)] = id
			}
		}
		text, err := v.Piece(id, false)
		if err != nil {
			return nil, fmt.Errorf("grammar: %w", err)
		}
		if _, twice := p.controls[string(spelling)]; len(text) == 0 && len(spelling) > 0 && !twice {
			p.controls[string(spelling)] = id
		}
		if len(text) > 0 && len(text) <= maxPiece && !ends[id] {
			p.texts[id] = text
			order = append(order, id)
		}
	}
	if len(order) == 0 {
		return nil, errors.New("grammar: the vocabulary has no token with a text")
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(bytes.Compare(p.texts[a], p.texts[b]), cmp.Compare(a, b))
	})
	p.grow(order)
	return p, nil
}

// grow makes the tree of tokens that are in the order of their texts.
func (p *Pieces) grow(order []int32) {
	var path []int32 // nodes from the root to the text before
	closeTo := func(depth int) {
		for _, n := range path[depth:] {
			p.nodes[n].end = int32(len(p.nodes))
		}
		path = path[:depth]
	}
	var before []byte
	for _, id := range order {
		text := p.texts[id]
		same := 0
		for same < len(text) && same < len(before) && text[same] == before[same] {
			same++
		}
		closeTo(same)
		for depth := same; depth < len(text); depth++ {
			path = append(path, int32(len(p.nodes)))
			p.nodes = append(p.nodes, pieceNode{ids: int32(len(p.ids)), depth: uint16(depth), label: text[depth]})
		}
		p.ids = append(p.ids, id)
		before = text
	}
	closeTo(0)
	p.nodes = append(p.nodes, pieceNode{ids: int32(len(p.ids))}) // so that every node has a next one
}

// find returns the token that is spelt so.
func (p *Pieces) find(spelling string) (int32, bool) {
	id, ok := p.names[spelling]
	return id, ok
}

// tag returns the token that is spelt so: one that is no text, or one in angle brackets that is. As that
// token a tokenizer reads the tag again, when the text is part of a prompt.
func (p *Pieces) tag(spelling string) (int32, bool) {
	id, ok := p.controls[spelling]
	if !ok {
		id, ok = p.names[spelling]
	}
	return id, ok
}

// text returns the text of a token; none for one that is no text, or of another vocabulary.
func (p *Pieces) text(id int32) []byte {
	if id < 0 || int(id) >= len(p.texts) {
		return nil
	}
	return p.texts[id]
}
