package conversation

// share is what a conversation has of a prompt.
type share struct {
	of     *Conversation
	common int // tokens that both begin with; at least one of the prompt is left to compute
	here   int // of these, those that are in the sequence
	has    int // of these, those that need not be computed again
	coming int // of these, those that are still being computed
	whole  bool
}

// granule is how many tokens are computed about as fast as one: it is worth neither waiting nor sharing a
// tree's room for fewer.
const granule = 16

// find returns the share of the conversation that has most of a prompt now, and of the one that will
// have most when its own prompt is computed; the zero value where none has a token.
func (s *Store) find(p Prompt) (now, soon share) {
	for _, c := range s.all {
		if c.salt != p.Salt {
			continue
		}
		h := s.shareOf(c, p)
		if h.common == 0 {
			continue
		}
		if better(h, now) {
			now = h
		}
		if h.coming > 0 && h.common > soon.common {
			soon = h
		}
	}
	return now, soon
}

// shareOf returns what a conversation has of a prompt.
func (s *Store) shareOf(c *Conversation, p Prompt) share {
	tokens := c.tokens
	n := common(tokens, p.Tokens)
	computed := n
	if c.busy {
		if n == len(tokens) { // the prompt may go on as the answer does
			tokens = c.seq.Tokens()
			n = max(n, common(tokens, p.Tokens))
		}
		computed = min(n, c.seq.Len())
	}
	n = min(n, len(p.Tokens)-1)
	computed = min(computed, n)
	return share{of: c, common: n, here: computed, has: c.seq.Keeps(computed), coming: n - computed, whole: !c.busy && n == len(tokens)}
}

// better reports whether a prompt rather continues x than y: where more is there; of equals one that goes
// on itself, and of these the one that was used last.
func better(x, y share) bool {
	switch {
	case y.of == nil:
		return true
	case x.has != y.has:
		return x.has > y.has
	case x.whole != y.whole:
		return x.whole
	case x.common != y.common:
		return x.common > y.common
	}
	return x.of.used > y.of.used
}

// left says where a prompt leaves the conversation of its name, or the one that has most of it.
func (s *Store) left(p Prompt, most share) Left {
	of := most.of
	if p.Name != "" {
		for _, c := range s.all {
			if c.salt == p.Salt && c.name == p.Name && (of == nil || of.name != p.Name || c.used > of.used) {
				of = c
			}
		}
	}
	if p.Name != "" && s.files != nil && (of == nil || of.name != p.Name) {
		if left, ok := s.leftFiles(p); ok {
			return left
		}
	}
	if of == nil {
		return Left{}
	}
	tokens := of.tokens
	if of.busy && of.away == 0 {
		tokens = of.seq.Tokens()
	}
	return Left{of.ID, common(tokens, p.Tokens), len(tokens)}
}
