package blockfile

import "slices"

// Trail names the tokens of a conversation by a key for each of its whole blocks. It is an eighth of a block's
// tokens in size or less, so that a trail can be kept for each of many conversations, and leads to their files
// where nobody has the tokens any more.
type Trail struct {
	Root   Key     // of the conversation's root
	Blocks []Key   // of all tokens up to the end of each whole block
	Tail   []int32 // the tokens behind these: fewer than 256
}

// Trail returns the trail of a conversation's tokens.
func (r Root) Trail(tokens []int32) Trail {
	keys := r.chain(tokens)
	return Trail{r.key, keys[1:], slices.Clone(tokens[(len(keys)-1)*BlockTokens:])}
}

// At returns the root of the same model that has a key: that of some trail.
func (r Root) At(key Key) Root {
	r.key = key
	return r
}

// Len returns how many tokens a trail has.
func (t Trail) Len() int { return len(t.Blocks)*BlockTokens + len(t.Tail) }

// Common returns how many whole blocks two trails begin with alike.
func (t Trail) Common(with Trail) (n int) {
	if t.Root != with.Root {
		return 0
	}
	for n < len(t.Blocks) && n < len(with.Blocks) && t.Blocks[n] == with.Blocks[n] {
		n++
	}
	return n
}

// before returns the key before a block.
func (t Trail) before(block int) Key {
	if block == 0 {
		return t.Root
	}
	return t.Blocks[block-1]
}

// Tokens returns the tokens of a trail, as far as files say them. Where layers have no rows, none do.
func (s *Store) Tokens(t Trail) []int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens(t)
}

// Block returns the tokens of one of a trail's whole blocks; nil: no file says them.
func (s *Store) Block(t Trail, block int) []int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.blockAt(t, block); e != nil {
		return e.tokens
	}
	return nil
}

// Has returns how many of a trail's tokens need not be computed, as [Store.Find] finds them. The root is one of
// the model's; its salt does not count. Has does not wait for the disk, and does not mark the files as used.
func (s *Store) Has(root Root, t Trail) int {
	root = root.At(t.Root)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.whole(root, t) {
		return t.Len()
	}
	tokens := s.tokens(t)
	keys := append([]Key{t.Root}, t.Blocks[:len(tokens)/BlockTokens]...)
	return s.longest(root, keys, tokens).Tokens
}

// tokens returns the tokens of a trail, as far as files say them.
func (x *index) tokens(t Trail) (tokens []int32) {
	for i := range t.Blocks {
		e := x.blockAt(t, i)
		if e == nil {
			return tokens
		}
		tokens = append(tokens, e.tokens...)
	}
	return append(tokens, t.Tail...)
}

// blockAt returns the file with the rows of all tokens of a trail's block; nil: there is none. Of several it is
// the one with the most rows of layers with windows.
func (x *index) blockAt(t Trail, block int) (best *entry) {
	var all []*entry
	if n := x.nodes[t.before(block)]; n != nil {
		all = n.next
	}
	if block < len(t.Blocks) {
		all = nil
		if n := x.nodes[t.Blocks[block]]; n != nil {
			all = n.rows
		}
	}
	for _, e := range all {
		if e.kind != rowsKind || e.start != block*BlockTokens || block == len(t.Blocks) && !prefix(e.tokens, t.Tail) {
			continue
		}
		if best == nil || e.windowFrom < best.windowFrom {
			best = e
		}
	}
	return best
}

// whole reports whether all tokens of a trail need not be computed, by a few looks: where its last files are, so
// are those that they continue, unless one was damaged. Whoever reads them finds that out.
func (x *index) whole(root Root, t Trail) bool {
	n := t.Len()
	last := blocks(n) - 1
	if last < 0 {
		return false
	}
	for i := last; i >= 0; i-- {
		e := x.blockAt(t, i)
		if e == nil || !root.has(e, i) || e.windowFrom > 0 && n-e.start-e.windowFrom < root.window {
			return false
		}
		if e.windowFrom > 0 || n-e.start >= root.window {
			break
		}
	}
	return len(root.states) == 0 || slices.ContainsFunc(x.statesAt(t, last), func(e *entry) bool { return root.has(e, last) && e.end() == n })
}

// statesAt returns the files with states after tokens of a trail's block.
func (x *index) statesAt(t Trail, block int) (all []*entry) {
	tokens := t.Tail
	if block < len(t.Blocks) {
		e := x.blockAt(t, block)
		if e == nil {
			return nil
		}
		tokens = e.tokens
	}
	for _, e := range x.continuing(t.before(block)) {
		if e.kind == statesKind && prefix(tokens, e.tokens) {
			all = append(all, e)
		}
	}
	return all
}
