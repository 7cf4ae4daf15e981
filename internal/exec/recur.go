package exec

import (
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

// company is sequences of a chunk that follow each other and have equally many tokens: one operation
// computes them. A graph of a recurrent layer depends on it.
type company struct {
	first, n int // of the first sequence: its first token in the step, and how many each has
	seqs     int
	keep     int // states that each keeps
	// from and to are the places of the states of a sequence that is alone and keeps one state. Others
	// have them among the inputs, from element input on, so that the graph does not depend on them.
	from, to int
	input    int
}

// listed is the place of a state that is among the inputs.
const listed = -1

// companies divides the recurrences of a chunk, whose first token has a number in the step, into
// companies, appended to all. They list at most one place a token, so that no two chunks have the same
// elements of the inputs.
func companies(rs []kv.Recurrence, token int, all []company) []company {
	begin, input := len(all), token*kv.InputAlign
	for i, r := range rs {
		if n := len(all); n > begin && all[n-1].n == r.N && all[n-1].keep == len(r.To) {
			all[n-1].seqs++
		} else {
			all = append(all, company{first: r.First, n: r.N, seqs: 1, keep: len(r.To), from: rs[i].From, to: r.To[0]})
		}
	}
	for i := range all[begin:] {
		c := &all[begin+i]
		if c.seqs > 1 || c.keep > 1 {
			c.from, c.to, c.input = listed, listed, input
			input += c.listLength() * c.keep
		}
	}
	return all
}

// listLength is how many elements one list of places takes among the inputs.
func (c company) listLength() int {
	return (c.seqs + kv.InputAlign - 1) / kv.InputAlign * kv.InputAlign
}

// places are the tensors that say where sequences have their states: those of companies that do not say
// it themselves.
type places struct {
	from *ggml.Tensor // [tokens × InputAlign] i32
	to   *ggml.Tensor // [tokens × InputAlign] i64: a list for each state that is kept

	companies []company // of one chunk
	reads     []int32
	writes    []int64
}

// newPlaces makes the tensors for steps of some tokens; none where no layer is recurrent.
func newPlaces(meta *ggml.Context, layers []model.Layer, tokens int) places {
	if !slices.ContainsFunc(layers, recurrent) {
		return places{}
	}
	n := int64(tokens) * kv.InputAlign
	return places{from: meta.New(ggml.I32, n), to: meta.New(ggml.I64, n)}
}

func recurrent(l model.Layer) bool { return l.State != model.State{} }

// tensors returns those that need memory.
func (p *places) tensors() []*ggml.Tensor {
	if p.from == nil {
		return nil
	}
	return []*ggml.Tensor{p.from, p.to}
}

// begin writes the places of a step's states.
func (p *places) begin(step *kv.Step) {
	if p.from == nil {
		return
	}
	for i, c := range step.Chunks() {
		rs := step.Recurrences(i)
		p.companies = companies(rs, c.First, p.companies[:0])
		for _, c := range p.companies {
			if these := rs[:c.seqs]; c.from == listed {
				p.write(c, these)
			}
			rs = rs[c.seqs:]
		}
	}
}

// write writes the lists of a company.
func (p *places) write(c company, rs []kv.Recurrence) {
	p.reads = p.reads[:0]
	for _, r := range rs {
		p.reads = append(p.reads, int32(r.From))
	}
	ggml.SetSlice(p.from, p.reads, int64(c.input)*4)
	for back := range c.keep {
		p.writes = p.writes[:0]
		for _, r := range rs {
			p.writes = append(p.writes, int64(r.To[back]))
		}
		ggml.SetSlice(p.to, p.writes, int64(c.input+back*c.listLength())*8)
	}
}

// recur adds a layer's recurrence, company by company.
func (g *graphs) recur(gr *ggml.Graph, layer int, shape layerShape, inputs []*ggml.Tensor, mix model.Mix) (all *ggml.Tensor) {
	state := g.config.Layers[layer].State
	for _, c := range shape.companies {
		n, seqs := int64(c.n), int64(c.seqs)
		these := make([]*ggml.Tensor, len(inputs))
		for i, t := range inputs { // [features, tokens of each, sequences]
			these[i] = gr.View3D(t, t.Ne(0), n, seqs, t.Nb(1), n*t.Nb(1), int64(c.first-shape.first)*t.Nb(1))
		}
		y, to := mix(g.read(gr, c, state, shape.states.T), these, c.keep)
		gr.Expand(y)
		for back, s := range to {
			g.write(gr, c, back, state, shape.states.T, s)
		}
		if all == nil {
			all = y
		} else {
			all = gr.Concat(all, y, 1)
		}
	}
	return all
}

// part returns one part of the states in all places: n values, from one on.
func part(gr *ggml.Graph, t *ggml.Tensor, first, n int) *ggml.Tensor {
	return gr.View2D(t, int64(n), t.Ne(1), t.Nb(1), int64(first)*4)
}

// read returns the states with which a company begins.
func (g *graphs) read(gr *ggml.Graph, c company, s model.State, all *ggml.Tensor) model.States {
	of := func(first, n int) *ggml.Tensor {
		if n == 0 {
			return nil
		}
		if c.from != listed {
			return gr.View2D(all, int64(n), 1, all.Nb(1), int64(c.from)*all.Nb(1)+int64(first)*4)
		}
		return gr.GetRows(part(gr, all, first, n), gr.View1D(g.inputs.places.from, int64(c.seqs), int64(c.input)*4))
	}
	return model.States{Memory: of(0, s.Memory), Inputs: of(s.Memory, s.Inputs)}
}

// write keeps the states of a company as they were some tokens back.
func (g *graphs) write(gr *ggml.Graph, c company, back int, s model.State, all *ggml.Tensor, to model.States) {
	of := func(t *ggml.Tensor, first, n int) {
		if t == nil {
			return
		}
		if c.to != listed {
			gr.Expand(gr.Cpy(t, gr.View2D(all, int64(n), 1, all.Nb(1), int64(c.to)*all.Nb(1)+int64(first)*4)))
			return
		}
		if !t.Contiguous() {
			t = gr.Cont(t)
		}
		ids := gr.View1D(g.inputs.places.to, int64(c.seqs), int64(c.input+back*c.listLength())*8)
		gr.Expand(gr.SetRows(part(gr, all, first, n), gr.Reshape2D(t, int64(n), int64(c.seqs)), ids))
	}
	of(to.Memory, 0, s.Memory)
	of(to.Inputs, s.Memory, s.Inputs)
}
