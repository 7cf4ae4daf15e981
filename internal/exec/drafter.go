package exec

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/plan"
)

// drafter runs the block with which a model drafts tokens. The block is a model of one layer with a
// cache of its own, on the device that scores tokens: a row of it is made from the embedding of a
// token and the hidden state of the one before. It computes in the model's turn, within a step or
// between two.
type drafter struct {
	model *Runner
	block *Runner

	states     []float32 // on their way between devices
	last       []float32 // the block's own hidden state of the last token whose logits were wanted
	rows       [][][]float32
	drafted    atomic.Int64
	accepted   atomic.Int64
	giveStates func(to *ggml.Tensor) // writes the hidden states that the open step of the block reads
}

// DraftStats are how the block that drafts tokens has done.
type DraftStats struct {
	Drafted  int      // tokens that were checked
	Accepted int      // of these, those that were right
	Cache    kv.Stats // of the block's own K/V
}

// newDrafter returns what runs a model's block, nil if the model has none. It has no cache yet.
func (r *Runner) newDrafter() *drafter {
	m, ok := r.model.(model.Drafter)
	if !ok {
		return nil
	}
	block := m.Block()
	if block == nil {
		return nil
	}
	out := &device{backend: r.devices.output.backend, threads: r.devices.output.threads}
	in := out
	ds := &devices{all: []*device{out}, layers: []*device{out}, output: out}
	if r.devices.input.backend != out.backend {
		in = &device{backend: r.devices.input.backend, threads: r.devices.input.threads}
		ds.all = append(ds.all, in)
	}
	ds.input = in
	d := &drafter{model: r, block: &Runner{attending: r.attending, devices: ds, model: block, config: block.Config()}}
	d.block.given = func(to *ggml.Tensor) { d.giveStates(to) }
	d.block.after = d.keepLast
	return d
}

// cacheOptions returns the options of the block's cache beside a model's. It stays on its device,
// as one layer that visits it takes no less there.
func (d *drafter) cacheOptions(c kv.Options) kv.Options {
	l := d.block.config.Layers[0]
	own := kv.Options{
		Policy: kv.Auto, ResidentLayers: 1, Layers: []kv.Shape{{Heads: l.KVHeads, KeyDim: l.KeyDim, ValueDim: l.ValueDim}},
		TypeK: c.TypeK, TypeV: c.TypeV, Cells: c.Cells, Trees: c.Trees,
		ChunkTokens: plan.ChunkTokens(c.ChunkTokens, c.Cells), Link: c.Link,
	}
	own.StepTokens = own.ChunkTokens // the hidden states of more tokens would only take memory
	if c.Policy == kv.Static || c.Policy == kv.OffloadedStatic {
		own.Policy, own.ResidentLayers = kv.Static, 0
	}
	return own
}

// openCache makes the block's cache beside the model's.
func (d *drafter) openCache(c kv.Options) error {
	d.block.context = c.Cells
	return d.block.makeCache(d.cacheOptions(c), []*ggml.Backend{d.block.devices.output.backend})
}

// bytes returns what the K/V of the block take on a device in a context of some cells.
func (d *drafter) bytes(c kv.Options, backend *ggml.Backend, cells int) int64 {
	if backend != d.block.devices.output.backend {
		return 0
	}
	own := d.cacheOptions(c)
	return own.Layers[0].Bytes(own.TypeK, own.TypeV) * int64(plan.WholeBlocks(cells)) * int64(max(1, c.Trees))
}

// footprint returns what the block takes on a device with a context of c.Cells.
func (d *drafter) footprint(o Options, c kv.Options, on *device) (f plan.Footprint, err error) {
	o.AttendAt = AttendAtDevice
	for _, own := range d.block.devices.all {
		if own.backend == on.backend {
			if f, err = measureSteps(d.block.devices, own, d.block.model, d.cacheOptions(c), o, d.block.attending); err != nil {
				return f, err
			}
		}
	}
	f.Draft = d.bytes(c, on.backend, c.Cells)
	return f, nil
}

// close frees all but the devices, which are the model's.
func (d *drafter) close() error {
	var err error
	d.block.closing.Store(true)
	if d.block.pool != nil {
		err = d.block.pool.Close()
	}
	d.block.devices.release()
	return err
}

// stats returns the counters.
func (d *drafter) stats() DraftStats {
	return DraftStats{Drafted: int(d.drafted.Load()), Accepted: int(d.accepted.Load()), Cache: d.block.pool.Stats()}
}

// follow has the block follow a step of the model, whose last layer has computed: sequences that
// draft get their rows, and their hidden states are kept as far as the next step may need them.
func (d *drafter) follow(ctx context.Context, step *kv.Step, at *device, batch []kv.Work) error {
	ready := false
	for _, w := range batch {
		draft, ok := w.Seq.Beside().(*Draft)
		if !ok {
			continue
		}
		for i := 0; i < len(step.Chunks()) && !ready; i++ {
			if err := at.hidden(step.Chunks()[i].First, step.Chunks()[i].N); err != nil {
				return err
			}
		}
		ready = true
		first := step.FirstOf(w.Seq)
		if err := draft.follow(ctx, w, int(step.Positions()[first]), at.inputs.hiddenStates(), first); err != nil {
			return fmt.Errorf("ebb: the block that drafts tokens: %w", err)
		}
	}
	return nil
}

// keepLast keeps the block's own hidden state of the last token of a step that wants logits.
func (d *drafter) keepLast(_ context.Context, step *kv.Step, at *device, _ []kv.Work) error {
	if len(step.LogitRows()) == 0 {
		return nil
	}
	n := len(step.Tokens())
	if err := at.hidden(n-1, 1); err != nil {
		return err
	}
	x := at.inputs.hiddenStates()
	d.last = resize(d.last, int(x.Ne(0)))
	ggml.GetSlice(x, d.last, int64(n-1)*x.Nb(1))
	return nil
}

// hidden computes the hidden states of n tokens of a step whose last layer the device has computed.
func (d *device) hidden(first, n int) error {
	g, err := d.graphs.hidden(first, n)
	if err != nil {
		return err
	}
	return d.compute(g, "hidden", -1, n)
}

// hidden returns the graph of the hidden states of n tokens.
func (g *graphs) hidden(first, n int) (*ggml.Graph, error) {
	return g.keep(&g.states, [3]int{first, n}, func(gr *ggml.Graph) {
		x := g.inputs.x[len(g.layers)%2]
		rows := gr.View2D(x, x.Ne(0), int64(n), x.Nb(1), int64(first)*x.Nb(1))
		g.output(gr, g.model.(model.Drafter).Hidden(gr, rows), g.inputs.hiddenStates(), first)
	})
}

// hiddenStates is where the hidden states of a step's tokens are: in the input of the last layer,
// which nobody needs any more.
func (in *inputs) hiddenStates() *ggml.Tensor { return in.x[(len(in.layers)+1)%2] }

// lacksRoom reports whether an error says that memory or the context does not suffice for drafting.
func lacksRoom(err error) bool {
	return errors.Is(err, kv.ErrFull) || errors.Is(err, kv.ErrNoMemory) || errors.Is(err, ggml.ErrNoMemory)
}
