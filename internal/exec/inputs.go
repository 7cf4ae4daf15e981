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
// are allocated once, for the largest step.
type inputs struct {
	step   int // tokens
	hidden int64
	vocab  int64
	layers []model.Layer
	meta   *ggml.Context
	// buffers has the buffer of each tensor.
	buffers map[*ggml.Tensor]*ggml.Buffer

	ids, pos *ggml.Tensor    // [step × InputAlign] i32: those of a chunk from kv.Part.Input of its first part on
	cells    *ggml.Tensor    // [step × InputAlign] i64: those of a part from kv.Part.Input on
	rows     *ggml.Tensor    // [step] i32: the tokens whose logits are wanted
	x        [2]*ggml.Tensor // [hidden, step] f32: in and out of layers, by turns
	logits   *ggml.Tensor    // [vocab, logitBatch] f32
	handover handover

	visibility *visibility
}

// sizes are the largest step, chunk and tree for which inputs have room, in tokens and cells.
type sizes struct {
	step, chunk, cells int
	hostTokens         int       // whose attention may be computed on the host
	k, v               ggml.Type // of keys and values
}

// newInputs allocates inputs of some sizes. forHost says that the device attends for the others:
// its inputs have room for queries, keys and values as well.
func newInputs(b *ggml.Backend, c model.Config, s sizes, a attend.Attention, forHost bool) (*inputs, error) {
	step := s.step
	in := &inputs{
		step: step, hidden: int64(c.Hidden), vocab: int64(c.Vocab), layers: c.Layers,
		meta: ggml.NewContext(13), buffers: map[*ggml.Tensor]*ggml.Buffer{},
	}
	n := int64(step)
	in.ids = in.meta.New(ggml.I32, n*kv.InputAlign)
	in.pos = in.meta.New(ggml.I32, n*kv.InputAlign)
	in.cells = in.meta.New(ggml.I64, n*kv.InputAlign)
	in.rows = in.meta.New(ggml.I32, n)
	in.x[0] = in.meta.New(ggml.F32, in.hidden, n)
	in.x[1] = in.meta.New(ggml.F32, in.hidden, n)
	in.visibility = newVisibility(in.meta, a, c.Layers, s)
	in.logits = in.meta.New(ggml.F32, in.vocab, int64(min(logitBatch, step)))
	err := errors.Join(
		in.allocate(b, ggml.Inputs, in.ids, in.pos, in.cells, in.rows),
		in.allocate(b, ggml.Masks, in.visibility.tensors()...),
		in.allocate(b, ggml.Activations, in.x[0], in.x[1], in.logits),
		in.newHandover(b, s.hostTokens, forHost),
	)
	if err != nil {
		in.close()
		return nil, fmt.Errorf("ebb: memory for steps of %d tokens: %w", step, err)
	}
	return in, nil
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
	in.visibility.chunk = -1
	ids, pos, cells := step.Tokens(), step.Positions(), step.Cells()
	for _, c := range step.Chunks() {
		at := int64(c.Parts[0].Input)
		ggml.SetSlice(in.ids, ids[c.First:c.First+c.N], at*4)
		ggml.SetSlice(in.pos, pos[c.First:c.First+c.N], at*4)
		for _, p := range c.Parts {
			ggml.SetSlice(in.cells, cells[p.First:p.First+p.N], int64(p.Input)*8)
		}
	}
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

func (in *inputs) close() {
	for _, b := range in.buffers {
		b.Close()
	}
	in.meta.Close()
}
