package exec

import (
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

const (
	// logitBatch is how many rows of logits one graph computes at most.
	logitBatch = 32
	// apart is the distance in elements between inputs of different parts of a
	// step, so that views of them are aligned for every device.
	apart = 32
)

// inputs are what a step writes to the device, and the activations between
// layers. They are allocated once for the largest step.
type inputs struct {
	step   int // tokens
	hidden int64
	vocab  int64
	layers []model.Layer
	meta   *ggml.Context
	homes  map[*ggml.Tensor]*ggml.Buffer

	ids, pos *ggml.Tensor    // [step × apart] i32
	cells    *ggml.Tensor    // [step × apart] i64
	rows     *ggml.Tensor    // [step] i32: the tokens whose logits are wanted
	x        [2]*ggml.Tensor // [hidden, step] f32: in and out of layers, by turns
	logits   *ggml.Tensor    // [vocab, logitBatch] f32
	host     handover
	sight    *sight

	places []place     // of the step's chunks
	parts  []partPlace // of all of them
}

// place says where a chunk's inputs are.
type place struct {
	tokens int // in ids and pos
	parts  []partPlace
}

// partPlace says where the inputs of a part of a chunk are.
type partPlace struct {
	cells int // in inputs.cells
	mask  int // in sight.mask
}

// sizes are what inputs have room for, in tokens, and cells.
type sizes struct {
	step, chunk, cells int
	host               int       // tokens whose attention may be computed at the host
	k, v               ggml.Type // of keys and values
}

// newInputs allocates inputs of some sizes. At the host itself they have room
// for queries, keys and values as well.
func newInputs(b *ggml.Backend, c model.Config, s sizes, a attend.Attention, host bool) (*inputs, error) {
	step := s.step
	in := &inputs{
		step: step, hidden: int64(c.Hidden), vocab: int64(c.Vocab), layers: c.Layers,
		meta: ggml.NewContext(13), homes: map[*ggml.Tensor]*ggml.Buffer{},
	}
	n := int64(step)
	in.ids = in.meta.New(ggml.I32, n*apart)
	in.pos = in.meta.New(ggml.I32, n*apart)
	in.cells = in.meta.New(ggml.I64, n*apart)
	in.rows = in.meta.New(ggml.I32, n)
	in.x[0] = in.meta.New(ggml.F32, in.hidden, n)
	in.x[1] = in.meta.New(ggml.F32, in.hidden, n)
	in.sight = newSight(in.meta, a, c.Layers, s)
	in.logits = in.meta.New(ggml.F32, in.vocab, int64(min(logitBatch, step)))
	err := errors.Join(
		in.place(b, ggml.Inputs, in.ids, in.pos, in.cells, in.rows),
		in.place(b, ggml.Masks, in.sight.tensors()...),
		in.place(b, ggml.Activations, in.x[0], in.x[1], in.logits),
		in.newHandover(b, s.host, host),
	)
	if err != nil {
		in.close()
		return nil, fmt.Errorf("ebb: memory for steps of %d tokens: %w", step, err)
	}
	return in, nil
}

// place gives each tensor memory of its own.
func (in *inputs) place(b *ggml.Backend, p ggml.Purpose, tensors ...*ggml.Tensor) error {
	for _, t := range tensors {
		kind := b.BufferType()
		buffer, err := b.Alloc(kind, kind.AllocSize(t), p)
		if err != nil {
			return err
		}
		in.homes[t] = buffer
		buffer.Place(t, 0)
	}
	return nil
}

// begin writes a step's tokens, positions and cells.
func (in *inputs) begin(step *kv.Step) {
	in.sight.chunk = -1
	in.places, in.parts = in.places[:0], in.parts[:0]
	ids, pos, cells := step.Tokens(), step.Positions(), step.Cells()
	tokenAt, cellAt := 0, 0
	for _, c := range step.Chunks() {
		tokens, parts := tokenAt, len(in.parts)
		ggml.SetSlice(in.ids, ids[c.First:c.First+c.N], int64(tokenAt)*4)
		ggml.SetSlice(in.pos, pos[c.First:c.First+c.N], int64(tokenAt)*4)
		tokenAt += align(c.N)
		mask := 0
		for _, part := range c.Parts {
			in.parts = append(in.parts, partPlace{cells: cellAt, mask: mask})
			ggml.SetSlice(in.cells, cells[part.First:part.First+part.N], int64(cellAt)*8)
			cellAt += align(part.N)
			mask += part.N * part.Cells
		}
		in.places = append(in.places, place{tokens: tokens, parts: in.parts[parts:]})
	}
	if rows := step.LogitRows(); len(rows) > 0 {
		ggml.SetSlice(in.rows, rows, 0)
	}
}

func align(n int) int { return (n + apart - 1) / apart * apart }

// getLogits fills rows with the first ones that were computed.
func (in *inputs) getLogits(rows [][]float32) {
	for i, row := range rows {
		ggml.GetSlice(in.logits, row, int64(i)*in.vocab*4)
	}
}

func (in *inputs) close() {
	for _, b := range in.homes {
		b.Close()
	}
	in.meta.Close()
}
