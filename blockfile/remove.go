package blockfile

import "slices"

// Remove removes the files of a conversation that no other one shares: from its end up to the first block
// that another one continues, but for files whose last token is among the first ones, as many as keep says.
// Files that are read are removed when nobody reads them any more.
func (s *Store) Remove(root Root, tokens []int32, keep int) error {
	keys := root.chain(tokens)
	s.mu.Lock()
	var gone []*entry
	for i := blocks(len(tokens)) - 1; i >= keep/BlockTokens; i-- {
		these := blockOf(tokens, i)
		if len(these) == BlockTokens && len(s.continuing(keys[i+1])) > 0 {
			break
		}
		for _, e := range slices.Clone(s.continuing(keys[i])) {
			if e.end() > keep && prefix(these, e.tokens) && s.retire(e) {
				gone = append(gone, e)
			}
		}
	}
	s.mu.Unlock()
	return s.discard(gone)
}
