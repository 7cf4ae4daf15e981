package grammar

import "math"

// mask is the set of tokens that may come next.
type mask struct {
	bits []uint64 // a bit for each token id
}

var negInf = float32(math.Inf(-1))

// mask returns the tokens that may come after state s. Tokens that end a text are not among them.
func (m *matcher) mask(p *Pieces, s *state) *mask {
	if s.mask != nil {
		return s.mask
	}
	k := &mask{bits: make([]uint64, (len(p.texts)+63)/64)}
	path := []*state{s}
	for i := 0; i < len(p.nodes)-1; {
		node := &p.nodes[i]
		path = path[:node.depth+1]
		next := m.step(path[node.depth], node.label)
		if next == dead {
			i = int(node.end)
			continue
		}
		path = append(path, next)
		for _, id := range p.ids[node.ids:p.nodes[i+1].ids] {
			k.set(id)
		}
		i++
	}
	m.maskTokens(p, s, k)
	if !m.tooMuch {
		s.mask = k
		m.size += 8 * len(k.bits)
	}
	return k
}

// maskTokens adds the tokens that the grammar names.
func (m *matcher) maskTokens(p *Pieces, s *state, k *mask) {
	for _, i := range s.items {
		switch e := m.program.elements[i.at]; e.op {
		case opToken:
			if int(e.arg) < len(p.texts) {
				k.set(e.arg)
			}
		case opNotToken:
			for id := range int32(len(p.texts)) {
				if id != e.arg {
					k.set(id)
				}
			}
		}
	}
}

func (k *mask) set(id int32) {
	k.bits[id/64] |= 1 << (id % 64)
}

// anyBut reports whether any token below size is allowed, apart from the tokens in but.
func (k *mask) anyBut(but []int32, size int) bool {
	for i, word := range k.bits {
		for _, id := range but {
			if id >= 0 && int(id)/64 == i {
				word &^= 1 << (id % 64)
			}
		}
		if left := size - 64*i; left < 64 {
			if left <= 0 {
				return false
			}
			word &= 1<<left - 1
		}
		if word != 0 {
			return true
		}
	}
	return false
}

// forbid sets the scores of the tokens that are not in the mask to -Inf.
func (k *mask) forbid(scores []float32) {
	for i, word := range k.bits {
		if word == math.MaxUint64 || 64*i >= len(scores) {
			continue
		}
		part := scores[64*i : min(64*i+64, len(scores))]
		for j := range part {
			if word>>j&1 == 0 {
				part[j] = negInf
			}
		}
	}
	for i := 64 * len(k.bits); i < len(scores); i++ {
		scores[i] = negInf
	}
}
