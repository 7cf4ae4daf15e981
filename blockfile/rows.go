package blockfile

import "github.com/seed4d217819/ebb/tier"

// A file has the rows of its block's tokens and no others, laid out for as many tokens as these are. So a short
// conversation has a small file. Whoever writes and reads them has whole blocks, with zeros behind the last row.

// rowsBytes returns the bytes of a layer's rows of some tokens.
func rowsBytes(l tier.Layout, tokens int) int64 { return l.RowBytes() * int64(tokens) }

// pieces returns the rows of a block's first tokens, in the order in which a file of as many tokens has them.
func pieces(l tier.Layout, block []byte, tokens int) [][]byte {
	if tokens == BlockTokens {
		return [][]byte{block}
	}
	all := make([][]byte, 0, 2*l.Heads)
	for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
		part, apart := l.Part(block, BlockTokens, p, 0)
		for head := range int64(l.Heads) {
			all = append(all, part[head*apart:][:int64(tokens)*l.Piece(p)])
		}
	}
	return all
}

// spread makes a whole block of the rows of some tokens, which are at its beginning as a file has them.
func spread(l tier.Layout, block []byte, tokens int) {
	if tokens == BlockTokens {
		return
	}
	for _, p := range [...]tier.Part{tier.Values, tier.Keys} { // the last piece first: each moves to behind where it was
		from, size := l.Part(block, tokens, p, 0)
		to, apart := l.Part(block, BlockTokens, p, 0)
		for head := int64(l.Heads) - 1; head >= 0; head-- {
			piece := to[head*apart:][:apart]
			copy(piece, from[head*size:][:size])
			clear(piece[size:])
		}
	}
}
