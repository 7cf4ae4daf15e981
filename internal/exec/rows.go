package exec

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// alike reports whether shapes are equal but for whose rows and states they have.
func (s layerShape) alike(o layerShape) bool {
	return s.first == o.first && s.n == o.n && s.input == o.input && s.hostAttention == o.hostAttention && s.inPlace == o.inPlace
}

// alike reports whether groups are equal but for the places of a state, if they do not list them. A sequence
// that begins reads its state in the place where it writes it.
func (g group) alike(o group) bool {
	if g.from != listed && o.from != listed && (g.from == g.to) == (o.from == o.to) {
		o.from, o.to = g.from, g.to
	}
	return g == o
}

// rowUses are where the attention of a part in a layer's graph refers to the rows of its tree. The graph
// depends on how these lie, and not on whose they are: it serves other rows once its operations refer to
// them. So sequences that join or leave a batch build no graph of a shape that there has been.
type rowUses struct {
	from, to int // the part's operations
	k, v     ggml.Uses
	keys     ggml.Layout
	values   ggml.Layout
}

// stateUses are where the operations of a group refer to the states of a layer. If the group does not list
// its places among the inputs, they are where its one sequence reads a state, and where it writes one.
type stateUses struct {
	from, to    int // the group's operations
	all         ggml.Uses
	read, write ggml.Uses
	states      ggml.Layout
}

// findUses notes where the operations refer to rows and states. The graph has its memory.
func (lg *layerGraph) findUses() {
	for i := range lg.moves {
		u, one := &lg.moves[i], lg.shape.groups[i]
		t := lg.shape.states.T
		if u.all, u.states = lg.graph.Uses(t, u.from, u.to), t.Layout(); one.from == listed {
			continue
		}
		u.write = u.all.Within(int64(one.to)*t.Nb(1), int64(one.to+1)*t.Nb(1))
		if one.from != one.to {
			u.read = u.all.Within(int64(one.from)*t.Nb(1), int64(one.from+1)*t.Nb(1))
		}
	}
	for i := range lg.uses {
		u, rows := &lg.uses[i], lg.shape.parts[i].Rows
		u.k, u.v = lg.graph.Uses(rows.K, u.from, u.to), lg.graph.Uses(rows.V, u.from, u.to)
		u.keys, u.values = rows.K.Layout(), rows.V.Layout()
	}
}

// serves reports whether the graph is that of a shape, with other rows and states perhaps.
func (lg *layerGraph) serves(s layerShape) bool {
	if len(lg.shape.parts) != len(s.parts) || len(lg.moves) != len(s.groups) || !lg.shape.alike(s) {
		return false
	}
	for i, one := range s.groups {
		if !lg.shape.groups[i].alike(one) || s.states.T.Layout() != lg.moves[i].states {
			return false
		}
	}
	for i, p := range s.parts {
		own := lg.shape.parts[i]
		if p.Rows.K == nil || p.Rows.K.Layout() != lg.uses[i].keys || p.Rows.V.Layout() != lg.uses[i].values {
			return false
		}
		if own.Rows, p.Rows = (kv.Rows{}), (kv.Rows{}); own != p {
			return false
		}
	}
	return true
}

// use has the operations refer to the rows and states of a shape that the graph serves.
func (lg *layerGraph) use(s layerShape) {
	for i, one := range s.groups {
		u, own := &lg.moves[i], &lg.shape.groups[i]
		if lg.shape.states.ID != s.states.ID {
			u.all.Replace(s.states.T)
		}
		if *own != one {
			place := s.states.T.Nb(1)
			u.read.Shift(int64(one.from-own.from) * place)
			u.write.Shift(int64(one.to-own.to) * place)
			*own = one
		}
	}
	lg.shape.states = s.states
	for i, p := range s.parts {
		if own := &lg.shape.parts[i]; own.Rows.ID != p.Rows.ID {
			lg.uses[i].k.Replace(p.Rows.K)
			lg.uses[i].v.Replace(p.Rows.V)
			own.Rows = p.Rows
		}
	}
}
