package tokenizer

import "sync/atomic"

// pieces keeps what the vocabulary has said of tokens: a text asks for each of its tokens, and the call of
// C that answers leaves garbage. It may be used from several goroutines.
type pieces struct {
	all atomic.Pointer[[]atomic.Pointer[piece]] // by id; nil: closed
}

// piece is a token as it stands in a text.
type piece struct {
	plain string // without special tokens
	spelt string // with them
}

// open begins to keep the pieces of a vocabulary.
func (p *pieces) open(size int) {
	all := make([]atomic.Pointer[piece], size)
	p.all.Store(&all)
}

func (p *pieces) close() { p.all.Store(nil) }

// replacement stands for an id that is not a token.
const replacement = "\uFFFD"

// piece returns the bytes of one token, whatever its id. There are none after Close.
func (t *Tokenizer) piece(id int32, skipSpecial bool) string {
	if id < 0 || int(id) >= t.vocab.Size() {
		return replacement
	}
	all := t.pieces.all.Load()
	if all == nil {
		return ""
	}
	kept := (*all)[id].Load()
	if kept == nil {
		var ok bool
		if kept, ok = t.read(id); !ok {
			return "" // closed meanwhile
		}
		(*all)[id].Store(kept)
	}
	if skipSpecial {
		return kept.plain
	}
	return kept.spelt
}

// read reads a piece from the vocabulary.
func (t *Tokenizer) read(id int32) (*piece, bool) {
	plain, err := t.vocab.Piece(id, false)
	if err != nil {
		return nil, false
	}
	spelt, err := t.vocab.Piece(id, true)
	if err != nil {
		return nil, false
	}
	p := &piece{plain: string(plain)}
	if p.spelt = p.plain; string(spelt) != p.plain {
		p.spelt = string(spelt)
	}
	return p, true
}
