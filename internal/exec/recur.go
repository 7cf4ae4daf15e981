package exec

import (
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

// group is sequences that follow each other in a chunk and have equally many tokens: one operation
// computes them. The graph of a recurrent layer depends on its groups.
type group struct {
	first int // the first token of the first sequence, in the step
	n     int // tokens of each sequence
	seqs  int
	keep  int // states that are kept of each sequence
	// from and to are the places where the state is read and written, if the group is one sequence that
	// keeps one state. Other groups list their places among the inputs, from element input on: a graph of
	// theirs serves any places.
	from, to int
	input    int
}

// listed stands for the places of a group that lists them among the inputs.
const listed = -1

// groupsOf divides the recurrences of a chunk into groups, appended to all. token is the chunk's first
// token in the step. A chunk lists at most one place a token, so that its lists, which begin at the
// elements of that token, take none of another chunk's.
func groupsOf(rs []kv.Recurrence, token int, all []group) []group {
	begin, input := len(all), token*kv.InputAlign
	for _, r := range rs {
		if n := len(all); n > begin && all[n-1].n == r.N && all[n-1].keep == len(r.To) {
			all[n-1].seqs++
		} else {
			all = append(all, group{first: r.First, n: r.N, seqs: 1, keep: len(r.To), from: r.From, to: r.To[0]})
		}
	}
	for i := range all[begin:] {
		one := &all[begin+i]
		if one.seqs > 1 || one.keep > 1 {
			one.from, one.to, one.input = listed, listed, input
			input += one.listLength() * one.keep
		}
	}
	return all
}

// listLength is how many elements one list of places takes among the inputs.
func (g group) listLength() int {
	return (g.seqs + kv.InputAlign - 1) / kv.InputAlign * kv.InputAlign
}

// places are the inputs that list where the sequences of groups have their states.
type places struct {
	from *ggml.Tensor // [tokens × InputAlign] i32: where they are read
	to   *ggml.Tensor // [tokens × InputAlign] i64: where they are written, a list for each state that is kept

	groups []group // of one chunk
	reads  []int32
	writes []int64
}

// newPlaces makes the tensors for steps of some tokens; none where no layer is recurrent.
func newPlaces(meta *ggml.Context, layers []model.Layer, tokens int) places {
	if !slices.ContainsFunc(layers, model.Layer.Recurrent) {
		return places{}
	}
	n := int64(tokens) * kv.InputAlign
	return places{from: meta.New(ggml.I32, n), to: meta.New(ggml.I64, n)}
}

// tensors returns those that need memory.
func (p *places) tensors() []*ggml.Tensor {
	if p.from == nil {
		return nil
	}
	return []*ggml.Tensor{p.from, p.to}
}

// begin writes the lists of all chunks of a step.
func (p *places) begin(step *kv.Step) {
	if p.from == nil {
		return
	}
	for i, c := range step.Chunks() {
		rs := step.Recurrences(i)
		p.groups = groupsOf(rs, c.First, p.groups[:0])
		for _, one := range p.groups {
			if these := rs[:one.seqs]; one.from == listed {
				p.write(one, these)
			}
			rs = rs[one.seqs:]
		}
	}
}

// write writes the lists of a group.
func (p *places) write(one group, rs []kv.Recurrence) {
	p.reads = p.reads[:0]
	for _, r := range rs {
		p.reads = append(p.reads, int32(r.From))
	}
	ggml.SetSlice(p.from, p.reads, int64(one.input)*4)
	for back := range one.keep {
		p.writes = p.writes[:0]
		for _, r := range rs {
			p.writes = append(p.writes, int64(r.To[back]))
		}
		ggml.SetSlice(p.to, p.writes, int64(one.input+back*one.listLength())*8)
	}
}

// recur adds the recurrence of a layer to its graph, group by group.
func (g *graphs) recur(layer int, lg *layerGraph, inputs []*ggml.Tensor, mix model.Mix) (all *ggml.Tensor) {
	gr, shape, state := lg.graph, lg.shape, g.config.Layers[layer].State
	for _, one := range shape.groups {
		u := stateUses{from: gr.Nodes()}
		n, seqs := int64(one.n), int64(one.seqs)
		these := make([]*ggml.Tensor, len(inputs))
		for i, t := range inputs { // [features, tokens of each, sequences]
			these[i] = gr.View3D(t, t.Ne(0), n, seqs, t.Nb(1), n*t.Nb(1), int64(one.first-shape.first)*t.Nb(1))
		}
		y, to := mix(g.read(gr, one, state, shape.states.T), these, one.keep)
		gr.Expand(y)
		for back, s := range to {
			g.write(gr, one, back, state, shape.states.T, s)
		}
		u.to = gr.Nodes()
		lg.moves = append(lg.moves, u)
		if all == nil {
			all = y
		} else {
			all = gr.Concat(all, y, 1)
		}
	}
	return all
}

// part returns n values of the state in each place, from the first on: [n, places].
func part(gr *ggml.Graph, t *ggml.Tensor, first, n int) *ggml.Tensor {
	return gr.View2D(t, int64(n), t.Ne(1), t.Nb(1), int64(first)*4)
}

// read returns the states that the sequences of a group begin with.
func (g *graphs) read(gr *ggml.Graph, one group, s model.State, all *ggml.Tensor) model.States {
	of := func(first, n int) *ggml.Tensor {
		if n == 0 {
			return nil
		}
		if one.from != listed {
			return gr.View2D(all, int64(n), 1, all.Nb(1), int64(one.from)*all.Nb(1)+int64(first)*4)
		}
		return gr.GetRows(part(gr, all, first, n), gr.View1D(g.inputs.places.from, int64(one.seqs), int64(one.input)*4))
	}
	return model.States{Memory: of(0, s.Memory), Inputs: of(s.Memory, s.Inputs)}
}

// write writes the states of a group as they were some tokens back from the end: back is 0 for the last.
func (g *graphs) write(gr *ggml.Graph, one group, back int, s model.State, all *ggml.Tensor, to model.States) {
	of := func(t *ggml.Tensor, first, n int) {
		if t == nil {
			return
		}
		if one.to != listed {
			gr.Expand(gr.Cpy(t, gr.View2D(all, int64(n), 1, all.Nb(1), int64(one.to)*all.Nb(1)+int64(first)*4)))
			return
		}
		if !t.Contiguous() {
			t = gr.Cont(t)
		}
		ids := gr.View1D(g.inputs.places.to, int64(one.seqs), int64(one.input+back*one.listLength())*8)
		gr.Expand(gr.SetRows(part(gr, all, first, n), gr.Reshape2D(t, int64(n), int64(one.seqs)), ids))
	}
	of(to.Memory, 0, s.Memory)
	of(to.Inputs, s.Memory, s.Inputs)
}
