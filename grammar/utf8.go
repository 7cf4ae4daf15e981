package grammar

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/seed4d217819/ebb/grammar/internal/charset"
)

// class is a set of characters as an automaton over the bytes of their UTF-8. Node 0 is where a
// character begins.
type class []classNode

type classNode []byteEdge // in order of their bytes

// byteEdge leads from a node to another with one of the bytes from lo to hi.
type byteEdge struct {
	lo, hi byte
	next   int // done: the character is complete
}

const done = -1

// next returns where a byte leads from a node.
func (c class) next(node int, b byte) (next int, ok bool) {
	for _, e := range c[node] {
		if e.lo <= b && b <= e.hi {
			return e.next, true
		}
	}
	return 0, false
}

// newClass returns the automaton for set, which is merged. Surrogates, which UTF-8 does not have,
// are left out.
func newClass(set charset.Set) class {
	b := classBuilder{set: set, class: class{nil}, nodes: map[string]int{}}
	var first classNode
	// The first byte of a character gives the number of bytes that follow it and the range of its
	// code point.
	for _, f := range []struct {
		byte   int
		bytes  int
		follow int
		step   rune
	}{
		{0x00, 0x80, 0, 1}, {0xC0, 0x20, 1, 1 << 6}, {0xE0, 0x10, 2, 1 << 12}, {0xF0, 5, 3, 1 << 18},
	} {
		for i := range f.bytes {
			lo := rune(i) * f.step
			first = b.edge(first, byte(f.byte+i), lo, f.follow)
		}
	}
	b.class[0] = first
	return b.class
}

type classBuilder struct {
	set   charset.Set
	class class
	nodes map[string]int // by their edges
}

// shortest is the least code point that needs so many bytes after the first; a longer form of it is
// no UTF-8.
var shortest = [...]rune{0, 0x80, 0x800, 0x10000}

// edge appends to node the edge for byte, if with it and follow bytes more there are characters of
// the set; from is the least code point that would be.
func (b *classBuilder) edge(node classNode, by byte, from rune, follow int) classNode {
	next, ok := b.node(from, follow, shortest[follow])
	if !ok {
		return node
	}
	return addEdge(node, by, next)
}

func addEdge(node classNode, by byte, next int) classNode {
	if last := len(node) - 1; last >= 0 && node[last].next == next && node[last].hi+1 == by {
		node[last].hi = by
		return node
	}
	return append(node, byteEdge{by, by, next})
}

// node returns the node from which follow bytes more lead to the characters of the set from from
// on, and whether there are any.
func (b *classBuilder) node(from rune, follow int, least rune) (int, bool) {
	to := from + 1<<(6*follow) - 1
	if !b.touches(max(from, least), min(to, utf8.MaxRune)) {
		return 0, false
	}
	if follow == 0 {
		return done, true
	}
	var node classNode
	step := rune(1) << (6 * (follow - 1))
	if from >= least && to <= utf8.MaxRune && b.hasAll(from, to) {
		next, _ := b.node(from, follow-1, least) // as all others
		node = classNode{{0x80, 0xBF, next}}
	} else {
		for i := range rune(64) {
			if next, ok := b.node(from+i*step, follow-1, least); ok {
				node = addEdge(node, byte(0x80+i), next)
			}
		}
	}
	var key strings.Builder
	for _, e := range node {
		fmt.Fprint(&key, e.lo, e.hi, e.next, ";")
	}
	n, ok := b.nodes[key.String()]
	if !ok {
		n = len(b.class)
		b.nodes[key.String()] = n
		b.class = append(b.class, node)
	}
	return n, len(node) > 0
}

const surrogates, afterSurrogates = 0xD800, 0xE000

// hasAll reports whether the set has all characters from lo to hi, and none of them is a surrogate.
func (b *classBuilder) hasAll(lo, hi rune) bool {
	for _, r := range b.set {
		if r.Lo <= lo && hi <= r.Hi {
			return hi < surrogates || lo >= afterSurrogates
		}
	}
	return false
}

// touches reports whether the set has a character from lo to hi.
func (b *classBuilder) touches(lo, hi rune) bool {
	for _, r := range b.set {
		lo, hi := max(r.Lo, lo), min(r.Hi, hi)
		if lo <= hi && (lo < surrogates || hi >= afterSurrogates) {
			return true
		}
	}
	return false
}
