package blockfile

import "slices"

// Remove removes the files of a conversation that no other one shares: from its end up to the first block
// that another one continues, but for files whose last token is among the first ones, as many as keep says.
// tokens are the conversation's, or as many of the first as are known: of whole blocks behind them the rows of
// all 256 tokens go. Files that are read are removed when nobody reads them any more.
func (s *Store) Remove(t Trail, tokens []int32, keep int) error {
	s.mu.Lock()
	var gone []*entry
	for i := blocks(t.Len()) - 1; i >= keep/BlockTokens; i-- {
		if i < len(t.Blocks) && len(s.continuing(t.Blocks[i])) > 0 {
			break
		}
		for _, e := range s.filesAt(t, tokens, i) {
			if e.end() > keep && s.retire(e) {
				gone = append(gone, e)
			}
		}
	}
	s.mu.Unlock()
	return s.discard(gone)
}

// filesAt returns the files whose last token is in a block of a trail, of which some tokens are known.
func (x *index) filesAt(t Trail, tokens []int32, block int) (all []*entry) {
	these := t.Tail
	switch end := (block + 1) * BlockTokens; {
	case block == len(t.Blocks):
	case end <= len(tokens):
		these = tokens[end-BlockTokens : end]
	default:
		if n := x.nodes[t.Blocks[block]]; n != nil {
			all = slices.Clone(n.rows)
		}
		return all
	}
	for _, e := range x.continuing(t.before(block)) {
		if prefix(these, e.tokens) {
			all = append(all, e)
		}
	}
	return all
}
