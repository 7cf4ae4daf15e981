package blockfile

import (
	"container/list"
	"slices"
	"time"
)

// entry is a file of a store. All but what is named below stays as it is; the rest is guarded by the
// store's mu.
type entry struct {
	*header
	key  Key
	name string // of the file

	bytes int64         // that count for the limit; 0: the file is removed
	holds int           // of the store that have it: one of its pins is for all of them
	pins  int           // matches and drafts that keep it from being evicted
	at    *list.Element // its place in the order of use; nil: it is not in the index, and goes when nobody reads it
	used  time.Time     // the last use that a restart will know of
}

// index finds files by their tokens. Its files are in the order of use: a file is never behind those that
// continue it.
type index struct {
	nodes map[Key]*node
	names map[string]*entry
	order *list.List // the most recently used one first

	blocks, states int
	loose          int64 // bytes of those that nobody pins
}

// node is what an index knows of a key.
type node struct {
	rows []*entry // the files of this key: of several windowFroms
	next []*entry // rows and states whose tokens come after it
}

func newIndex() index {
	return index{nodes: map[Key]*node{}, names: map[string]*entry{}, order: list.New()}
}

// add adds a file that is used less recently than another one, or most recently.
func (x *index) add(e, before *entry) {
	x.names[e.name] = e
	if before != nil && before.at != nil {
		e.at = x.order.InsertAfter(e, before.at)
	} else {
		e.at = x.order.PushFront(e)
	}
	parent := x.node(e.parent)
	parent.next = append(parent.next, e)
	if e.kind == rowsKind {
		of := x.node(e.key)
		of.rows = append(of.rows, e)
		x.blocks++
	} else {
		x.states++
	}
	if e.pins == 0 {
		x.loose += e.bytes
	}
}

// drop removes a file that is in the index.
func (x *index) drop(e *entry) {
	delete(x.names, e.name)
	x.order.Remove(e.at)
	e.at = nil
	parent := x.nodes[e.parent]
	parent.next = without(parent.next, e)
	x.tidy(e.parent)
	if e.kind == rowsKind {
		of := x.nodes[e.key]
		of.rows = without(of.rows, e)
		x.tidy(e.key)
		x.blocks--
	} else {
		x.states--
	}
	if e.pins == 0 {
		x.loose -= e.bytes
	}
}

// node returns the node of a key, and makes it if need be.
func (x *index) node(k Key) *node {
	n := x.nodes[k]
	if n == nil {
		n = &node{}
		x.nodes[k] = n
	}
	return n
}

// tidy removes a node of which nothing is left.
func (x *index) tidy(k Key) {
	if n := x.nodes[k]; len(n.rows)+len(n.next) == 0 {
		delete(x.nodes, k)
	}
}

// without returns a list without one of its files, whose order changes.
func without(all []*entry, e *entry) []*entry {
	for i := range all {
		if all[i] == e {
			last := len(all) - 1
			all[i], all[last] = all[last], nil
			return all[:last]
		}
	}
	return all
}

// continuing returns the files whose tokens come after a key.
func (x *index) continuing(k Key) []*entry {
	if n := x.nodes[k]; n != nil {
		return n.next
	}
	return nil
}

// rowsOf returns the file with the rows of all tokens of a block, or of as many of them as any has, and how
// many these are. Of several the one with the most rows of layers with windows counts.
func (x *index) rowsOf(root Root, keys []Key, block int, tokens []int32) (best *entry, agree int) {
	better := func(e *entry, n int) {
		if n > agree || n == agree && best != nil && e.windowFrom < best.windowFrom {
			best, agree = e, n
		}
	}
	if len(tokens) == BlockTokens {
		if n := x.nodes[keys[block+1]]; n != nil {
			for _, e := range n.rows {
				if root.has(e, block) {
					better(e, BlockTokens)
				}
			}
		}
		if best != nil {
			return best, agree
		}
	}
	for _, e := range x.continuing(keys[block]) {
		if e.kind == rowsKind && root.has(e, block) {
			better(e, agreement(e.tokens, tokens))
		}
	}
	return best, agree
}

// stateOf returns the states after some tokens of a block; nil: there are none.
func (x *index) stateOf(root Root, keys []Key, block int, tokens []int32) *entry {
	for _, e := range x.continuing(keys[block]) {
		if e.kind == statesKind && root.has(e, block) && len(e.tokens) == len(tokens) && prefix(tokens, e.tokens) {
			return e
		}
	}
	return nil
}

// leaf reports whether no file continues this one: neither rows behind it nor states after tokens of it.
func (x *index) leaf(e *entry) bool {
	if e.kind == statesKind {
		return true
	}
	if len(x.continuing(e.key)) > 0 {
		return false
	}
	for _, other := range x.continuing(e.parent) {
		if other.kind == statesKind && prefix(e.tokens, other.tokens) {
			return false
		}
	}
	return true
}

// leastUseful returns the file to give up first: of those that nobody pins and nobody continues, the one
// that was not used for the longest time; nil: there is none.
func (x *index) leastUseful() *entry {
	for at := x.order.Back(); at != nil; at = at.Prev() {
		if e := at.Value.(*entry); e.pins == 0 && x.leaf(e) {
			return e
		}
	}
	return nil
}

// use makes files the most recently used ones, the first one before the others.
func (x *index) use(files []*entry) {
	for _, e := range slices.Backward(files) {
		if e.at != nil {
			x.order.MoveToFront(e.at)
		}
	}
}

// pin keeps a file from being evicted.
func (x *index) pin(e *entry) {
	if e.pins++; e.pins == 1 && e.at != nil {
		x.loose -= e.bytes
	}
}

// unpin ends a pin. It reports whether the file is to be removed.
func (x *index) unpin(e *entry) bool {
	if e.pins--; e.pins > 0 {
		return false
	}
	if e.at == nil {
		return e.bytes > 0
	}
	x.loose += e.bytes
	return false
}
