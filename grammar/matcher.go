package grammar

import (
	"encoding/binary"
	"errors"
	"slices"
)

// matcher runs a program over bytes. It is a pushdown automaton that follows all ways at once, with
// a stack that all of them share (Tomita's graph-structured stack): two ways that are in the same
// rule since the same place have one frame, which has several places to return to. So a grammar
// with exponentially many ways to read a text costs polynomial time. A call that is the last of its
// rule needs no frame, so repetitions do not deepen the stack.
//
// Frames and states are kept by what they contain. A text that comes back to where it was, as in a
// list, then comes back to the same state, and what was computed for it (the next states, the
// tokens allowed) is there already.
type matcher struct {
	program *program
	kind    [256]uint8 // bytes that no element tells apart are of one kind
	kinds   int
	start   *state
	bottom  *frame // of root; returning from it ends the text

	frames map[string]*frame
	states map[string]*state
	count  uint64 // of frames and states made, for their ids
	size   int    // bytes kept, about

	// Scratch of close.
	todo    []item
	seen    map[item]bool
	opened  map[int32]*frame // frames of rules called at this place
	ends    bool
	left    []item
	work    int // items looked at in this call
	tooMuch bool
}

// Bounds of what a text may cost. Ordinary grammars have tens of items a state, and thousands in
// all.
const (
	maxItems = 50_000    // ways to go on at one place
	maxWork  = 5_000_000 // items looked at for one token: half a second
	maxSize  = 256 << 20 // bytes kept
)

// ErrAmbiguous reports that a text has too many readings.
var ErrAmbiguous = errors.New("the grammar can read the text in too many ways: make it less ambiguous")

// frame is a rule that was called, with the places where it returns to.
type frame struct {
	id      uint64
	returns []item // in order; in the frame of a caller
	ended   bool   // the rule has ended; of meaning at the place where it was called
	same    *frame // that is kept with the same returns
}

// item is a place in the program, in a frame. node is that of a class in the middle of a character.
type item struct {
	at    int32
	node  int32
	frame *frame
}

// state is a state of the automaton: all readings of the text so far.
type state struct {
	id    uint64
	items []item // at bytes, classes and tokens
	ends  bool   // the text may end here
	next  []*state
	mask  *mask // nil: not computed
}

// dead is the state in which nothing can follow.
var dead = &state{}

func newMatcher(p *program) (*matcher, error) {
	m := &matcher{program: p, seen: map[item]bool{}, opened: map[int32]*frame{}}
	m.classify()
	m.forget()
	m.bottom = &frame{id: m.newID()}
	m.begin()
	for _, at := range p.rules[p.root] {
		m.add(item{at: at, frame: m.bottom})
	}
	if m.start = m.close(); m.tooMuch {
		return nil, ErrAmbiguous
	}
	return m, nil
}

// classify finds the kinds of bytes.
func (m *matcher) classify() {
	var border [257]bool
	for _, e := range m.program.elements {
		if e.op == opByte {
			border[e.arg], border[e.arg+1] = true, true
		}
	}
	for _, c := range m.program.classes {
		for _, n := range c {
			for _, e := range n {
				border[e.lo], border[int(e.hi)+1] = true, true
			}
		}
	}
	kind := uint8(0)
	for b := range 256 {
		if b > 0 && border[b] {
			kind++
		}
		m.kind[b] = kind
	}
	m.kinds = int(kind) + 1
}

// restart makes ready for the work of one more token.
func (m *matcher) restart() {
	m.work, m.tooMuch = 0, false
	if m.size > maxSize {
		m.forget()
	}
}

// forget drops the stored frames and states. Those in use stay valid; equal ones are made anew.
func (m *matcher) forget() {
	m.frames, m.states, m.size = map[string]*frame{}, map[string]*state{}, 0
}

func (m *matcher) newID() uint64 {
	m.count++
	return m.count
}

// step returns the state after one more byte, dead if none.
func (m *matcher) step(s *state, b byte) *state {
	kind := m.kind[b]
	if s.next == nil {
		if s == dead {
			return dead
		}
		s.next = make([]*state, m.kinds)
		m.size += 8 * m.kinds
	}
	next := s.next[kind]
	if next == nil {
		next = m.advance(s, b)
		if m.tooMuch {
			return dead // not for good
		}
		s.next[kind] = next
	}
	return next
}

func (m *matcher) advance(s *state, b byte) *state {
	m.begin()
	for _, i := range s.items {
		switch e := m.program.elements[i.at]; e.op {
		case opByte:
			if byte(e.arg) == b {
				m.add(item{at: i.at + 1, frame: i.frame})
			}
		case opClass:
			switch node, ok := m.program.classes[e.arg].next(int(i.node), b); {
			case !ok:
			case node == done:
				m.add(item{at: i.at + 1, frame: i.frame})
			default:
				m.add(item{at: i.at, node: int32(node), frame: i.frame})
			}
		}
	}
	return m.close()
}

// stepToken returns the state after a token with these bytes, none if it is not text, dead if it
// may not come.
func (m *matcher) stepToken(s *state, id int32, piece []byte) *state {
	text := dead
	if len(piece) > 0 {
		text = s
		for _, b := range piece {
			text = m.step(text, b)
		}
	}
	m.begin()
	byID := false
	for _, i := range s.items {
		if e := m.program.elements[i.at]; e.op == opToken && e.arg == id || e.op == opNotToken && e.arg != id {
			byID = true
			m.add(item{at: i.at + 1, frame: i.frame})
		}
	}
	if !byID {
		return text
	}
	for _, i := range text.items {
		m.add(i)
	}
	m.ends = m.ends || text.ends
	return m.close()
}

// begin makes ready for add and close.
func (m *matcher) begin() {
	if len(m.seen) > 1000 {
		m.seen, m.opened = map[item]bool{}, map[int32]*frame{} // to clear large maps takes long, each time
	}
	clear(m.seen)
	clear(m.opened)
	m.todo, m.left, m.ends = m.todo[:0], m.left[:0], false
}

// add notes a place to go on from.
func (m *matcher) add(i item) {
	if m.work++; m.work > maxWork || len(m.seen) > maxItems {
		m.tooMuch = true
	}
	if !m.tooMuch && !m.seen[i] {
		m.seen[i] = true
		m.todo = append(m.todo, i)
	}
}

// close follows calls and returns until only elements are left that read something, and returns the
// state of those.
func (m *matcher) close() *state {
	for len(m.todo) > 0 {
		i := m.todo[len(m.todo)-1]
		m.todo = m.todo[:len(m.todo)-1]
		switch e := m.program.elements[i.at]; e.op {
		case opEnd:
			m.end(i.frame)
		case opCall:
			m.call(e.arg, i)
		default:
			m.left = append(m.left, i)
		}
	}
	if m.tooMuch {
		return dead
	}
	return m.state()
}

// end continues at the places where a frame returns to.
func (m *matcher) end(f *frame) {
	if f == m.bottom {
		m.ends = true
	}
	f.ended = true
	for _, r := range f.returns {
		m.add(r)
	}
}

// call continues with the alternatives of a rule.
func (m *matcher) call(rule int32, from item) {
	f := from.frame
	if m.program.elements[from.at+1].op != opEnd {
		back := item{at: from.at + 1, frame: f}
		var ok bool
		if f, ok = m.opened[rule]; ok {
			f.returns = append(f.returns, back)
			if f.ended {
				m.add(back)
			}
			return // its alternatives have been added
		}
		f = &frame{returns: []item{back}}
		m.opened[rule] = f
	}
	for _, at := range m.program.rules[rule] {
		m.add(item{at: at, frame: f})
	}
}

// state returns the state of the items that are left.
func (m *matcher) state() *state {
	if len(m.left) == 0 && !m.ends {
		return dead
	}
	for i := range m.left {
		m.left[i].frame = m.keep(m.left[i].frame)
	}
	sortItems(m.left)
	m.left = slices.Compact(m.left)
	key := appendItems(nil, m.left)
	if m.ends {
		key = append(key, 1)
	}
	s, ok := m.states[string(key)]
	if !ok {
		s = &state{id: m.newID(), items: slices.Clone(m.left), ends: m.ends}
		m.states[string(key)] = s
		m.size += 2*len(key) + 200
	}
	return s
}

// keep returns the frame that is kept with the same returns as f. Frames that are open return to
// others that may be open too, but never to themselves: check has refused rules that begin with
// themselves.
func (m *matcher) keep(f *frame) *frame {
	switch {
	case f.id != 0:
		return f
	case f.same != nil:
		return f.same
	}
	for i := range f.returns {
		f.returns[i].frame = m.keep(f.returns[i].frame)
	}
	sortItems(f.returns)
	f.returns = slices.Compact(f.returns)
	key := appendItems(nil, f.returns)
	kept, ok := m.frames[string(key)]
	if !ok {
		f.id = m.newID()
		m.frames[string(key)] = f
		m.size += 2*len(key) + 100
		return f
	}
	f.same = kept
	return kept
}

func sortItems(items []item) {
	slices.SortFunc(items, func(a, b item) int {
		switch {
		case a.at != b.at:
			return int(a.at - b.at)
		case a.node != b.node:
			return int(a.node - b.node)
		case a.frame.id < b.frame.id:
			return -1
		case a.frame.id > b.frame.id:
			return 1
		}
		return 0
	})
}

func appendItems(key []byte, items []item) []byte {
	for _, i := range items {
		key = binary.LittleEndian.AppendUint32(key, uint32(i.at))
		key = binary.LittleEndian.AppendUint32(key, uint32(i.node))
		key = binary.LittleEndian.AppendUint64(key, i.frame.id)
	}
	return key
}
