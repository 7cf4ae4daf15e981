package exec

import (
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/plan"
)

// logitBatch is how many rows of logits one graph computes at most.
const logitBatch = plan.LogitRows

// inputs are the tensors that a step writes to the device, and the activations between layers. They
// are as large as the steps that are made: see room.
type inputs struct {
	sizes
	backend *ggml.Backend
	forHost bool
	hidden  int64
	vocab   int64
	layers  []model.Layer

	readsHidden bool // it is a block that drafts tokens

	room room // that the tensors have
	meta *ggml.Context
	// buffers has the buffer of each tensor.
	buffers map[*ggml.Tensor]*ggml.Buffer

	ids, pos *ggml.Tensor    // [tokens × InputAlign] i32: those of a chunk from kv.Part.Input of its first part on
	rows     *ggml.Tensor    // [tokens] i32: the tokens whose logits are wanted
	x        [2]*ggml.Tensor // [hidden, tokens] f32: in and out of layers, by turns
	logits   *ggml.Tensor    // [vocab, room.logits] f32
	handover handover
	places   places
	given    *ggml.Tensor // [hidden, tokens] f32: hidden states that a block reads which drafts tokens; nil: it is none
	experts  *ggml.Tensor // [hidden, chunk] f32: what the CPU's experts make of a chunk; nil: it has none

	attention    attend.Attention
	visibilities visibilities
	inPlace      inPlace
}

// sizes are the largest step, chunk and tree for which inputs may have room, in tokens and cells.
type sizes struct {
	step, chunk, cells int
	hostTokens         int          // whose attention may be computed on the host
	detours            bool         // the CPU computes experts of the device's layers
	windows            map[int]bool // those that layers have, and whether layers share the K/V of others there
	k, v               ggml.Type    // of keys and values
}

// newInputs allocates inputs for small steps, of which the largest have some sizes. forHost says
// that the device attends for the others: its inputs have room for queries, keys and values as well.
func newInputs(b *ggml.Backend, c model.Config, s sizes, a attend.Attention, forHost bool) (*inputs, error) {
	s.windows = windowsOf(c.Layers)
	in := &inputs{
		sizes: s, backend: b, forHost: forHost, hidden: int64(c.Hidden), vocab: int64(c.Vocab), layers: c.Layers, readsHidden: c.ReadsHidden, attention: a,
	}
	if err := in.resize(s.least()); err != nil {
		return nil, err
	}
	return in, nil
}

// resize makes the tensors anew, with some room. Graphs that use the old ones must be dropped. After
// an error there are none.
func (in *inputs) resize(r room) error {
	in.close()
	in.meta, in.buffers = ggml.NewContext(17+3*len(in.windows)), map[*ggml.Tensor]*ggml.Buffer{}
	n := int64(r.tokens)
	in.ids = in.meta.New(ggml.I32, n*kv.InputAlign)
	in.pos = in.meta.New(ggml.I32, n*kv.InputAlign)
	in.rows = in.meta.New(ggml.I32, n)
	in.x[0] = in.meta.New(ggml.F32, in.hidden, n)
	in.x[1] = in.meta.New(ggml.F32, in.hidden, n)
	in.visibilities = newVisibilities(in.meta, in.attention, in.layers, in.sizes, r)
	in.newInPlace(r.chunk)
	in.logits = in.meta.New(ggml.F32, in.vocab, int64(r.logits))
	in.places = newPlaces(in.meta, in.layers, r.tokens)
	b := in.backend
	err := errors.Join(
		in.allocate(b, ggml.Inputs, in.places.tensors()...),
		in.allocate(b, ggml.Inputs, append(in.visibilities.places(), in.ids, in.pos, in.rows)...),
		in.allocate(b, ggml.Masks, in.visibilities.tensors()...),
		in.allocate(b, ggml.Inputs, in.inPlace.tensors()...),
		in.allocate(b, ggml.Activations, in.x[0], in.x[1], in.logits),
		in.newHandover(b, in.hostTokens, in.forHost),
		in.newExperts(b, int64(r.chunk)),
		in.newGiven(b, n),
	)
	if err != nil {
		in.close()
		return fmt.Errorf("ebb: memory for steps of %d tokens: %w", r.tokens, err)
	}
	in.room = r
	return nil
}

// newExperts allocates what comes back from the CPU's experts, of some tokens.
func (in *inputs) newExperts(b *ggml.Backend, tokens int64) error {
	if in.experts = nil; !in.detours {
		return nil
	}
	in.experts = in.meta.New(ggml.F32, in.hidden, tokens)
	return in.allocate(b, ggml.Activations, in.experts)
}

// newGiven allocates the hidden states of some tokens.
func (in *inputs) newGiven(b *ggml.Backend, tokens int64) error {
	if in.given = nil; !in.readsHidden {
		return nil
	}
	in.given = in.meta.New(ggml.F32, in.hidden, tokens)
	return in.allocate(b, ggml.Activations, in.given)
}

// bytes returns how much memory the tensors take.
func (in *inputs) bytes() (n int64) {
	for _, b := range in.buffers {
		n += b.Size()
	}
	return n
}

// allocate gives each tensor a buffer of its own.
func (in *inputs) allocate(b *ggml.Backend, p ggml.Purpose, tensors ...*ggml.Tensor) error {
	for _, t := range tensors {
		kind := b.BufferType()
		buffer, err := b.Alloc(kind, kind.AllocSize(t), p)
		if err != nil {
			return err
		}
		in.buffers[t] = buffer
		buffer.Place(t, 0)
	}
	return nil
}

// begin writes a step's tokens, positions and cells.
func (in *inputs) begin(step *kv.Step) {
	in.visibilities.forget()
	ids, pos := step.Tokens(), step.Positions()
	for _, c := range step.Chunks() {
		at := int64(c.Parts[0].Input)
		ggml.SetSlice(in.ids, ids[c.First:c.First+c.N], at*4)
		ggml.SetSlice(in.pos, pos[c.First:c.First+c.N], at*4)
		for _, v := range in.visibilities.each {
			cells := step.Places(v.window)
			for _, p := range c.Parts {
				ggml.SetSlice(v.cells, cells[p.First:p.First+p.N], int64(p.Input)*8)
			}
		}
	}
	in.places.begin(step)
	if rows := step.LogitRows(); len(rows) > 0 {
		ggml.SetSlice(in.rows, rows, 0)
	}
}

// getLogits copies the first rows of logits that were computed to rows.
func (in *inputs) getLogits(rows [][]float32) {
	for i, row := range rows {
		ggml.GetSlice(in.logits, row, int64(i)*in.vocab*4)
	}
}

// close frees the tensors. Further calls do nothing.
func (in *inputs) close() {
	for _, b := range in.buffers {
		b.Close()
	}
	if in.meta != nil {
		in.meta.Close()
	}
	in.meta, in.buffers, in.room = nil, nil, room{}
}
