package exec

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/plan"
)

// fitMemory gives K/V what weights and steps leave of each device's memory. A context that the user
// left open is cut to what fits.
func (r *Runner) fitMemory(o Options, c *kv.Options, backends []*ggml.Backend) (err error) {
	defer recoverMisuse(&err) // shapes that no cache has
	if o.DeviceMemory < 0 {
		return fmt.Errorf("ebb: %d bytes of device memory: want a number above 0", o.DeviceMemory)
	}
	bytes := o.KVMemory
	var budget plan.Budget
	if o.DeviceMemory > 0 {
		bytes, budget = o.DeviceMemory, r.budget(o, *c, backends)
	}
	cache, context := c.Plan(backends...), r.config.Context
	if r.drafter != nil && o.KVMemory > 0 { // what its K/V leave of that
		left, err := cache.Fit(context, r.draftBudget(o.KVMemory, *c, backends))
		if err != nil {
			return kv.NoMemory(fmt.Errorf("ebb: %w", err))
		}
		cache.Memory, context = left.Memory, left.Cells
	}
	fit, err := cache.Fit(context, budget)
	if err != nil {
		if _, short := errors.AsType[*plan.BudgetError](err); short {
			return kv.NoMemory(fmt.Errorf("ebb: %w", err))
		}
		return err
	}
	if c.Cells == 0 && fit.Cells < r.config.Context {
		r.notes = append(r.notes, fmt.Sprintf("context cut from %d to %d tokens to fit %s of device memory", r.config.Context, fit.Cells, bytesize.Format(bytes)))
	}
	c.Cells, c.Memory = fit.Cells, fit.Memory
	return nil
}

// draftBudget returns the bounds of all K/V, those of the block that drafts tokens among them.
func (r *Runner) draftBudget(bytes int64, c kv.Options, backends []*ggml.Backend) plan.Budget {
	b := plan.Budget{Bytes: bytes}
	for n, backend := range backends {
		if c.Memory[n] > 0 {
			b.Devices = append(b.Devices, plan.Device{Name: backend.Device().Name(), KV: n, Footprint: func(cells int) (plan.Footprint, error) {
				return plan.Footprint{Draft: r.drafter.bytes(c, backend, cells)}, nil
			}})
		}
	}
	return b
}

// budget returns the bounds of weights, steps and K/V together, for the devices that memories
// bounds.
func (r *Runner) budget(o Options, c kv.Options, backends []*ggml.Backend) plan.Budget {
	b := plan.Budget{Bytes: o.DeviceMemory}
	for _, d := range r.devices.all {
		if len(r.devices.all) > 1 && d.backend.Device().Type() == ggml.CPU {
			continue
		}
		b.Devices = append(b.Devices, plan.Device{
			Name: d.backend.Device().Name(), KV: slices.Index(backends, d.backend), // -1 is plan.NoKV
			Footprint: func(cells int) (plan.Footprint, error) { return r.footprint(o, c, d, cells) },
		})
	}
	return b
}

// footprint returns what a device takes besides K/V with a context of some cells.
func (r *Runner) footprint(o Options, c kv.Options, d *device, cells int) (plan.Footprint, error) {
	c.Cells, c.ChunkTokens = cells, plan.ChunkTokens(o.Cache.ChunkTokens, cells)
	f, err := measureSteps(r.devices, d, r.model, c, o, r.attending)
	if err != nil {
		return plan.Footprint{}, fmt.Errorf("ebb: measuring what a step takes on %s: %w", d.backend.Device().Name(), err)
	}
	f.Weights = d.backend.Usage().Current[ggml.Weights]
	if r.drafter == nil {
		return f, nil
	}
	drafting, err := r.drafter.footprint(o, c, d)
	return f.Plus(drafting), err
}

// footprintOf returns the bytes of a backend that are not K/V.
func footprintOf(b *ggml.Backend) plan.Footprint {
	bytes := b.Usage().Current
	return plan.Footprint{
		Weights: bytes[ggml.Weights], Inputs: bytes[ggml.Inputs], Masks: bytes[ggml.Masks],
		Activations: bytes[ggml.Activations], Scratch: bytes[ggml.Scratches],
	}
}

// measureSteps returns the most that steps take on a device. It builds the largest graphs there
// without memory. Memory that a backend takes for itself while it computes is not counted.
func measureSteps(ds *devices, d *device, m model.Model, c kv.Options, o Options, a attending) (_ plan.Footprint, err error) {
	b := d.backend.Measure()
	defer func() { err = errors.Join(err, b.Close()) }()
	defer recoverMisuse(&err)
	s := largest(c, o)
	s.detours = ds.detours(d)
	blank := &device{backend: b}
	if err := blank.prepare(m, s, a, false); err != nil {
		return plan.Footprint{}, err
	}
	defer blank.release()
	if err := blank.resize(blank.inputs.most()); err != nil {
		return plan.Footprint{}, err
	}
	var besides *experts // that the device computes beside the layers
	if e := ds.experts; e != nil && e.device.backend == d.backend {
		besides = newExperts(blank, e.on)
		besides.prepare(expertsUsed(m.Config()))
		defer besides.release()
	}
	if err := blank.measure(ds, d, besides, c, s); err != nil {
		return plan.Footprint{}, err
	}
	if s.hostTokens > 0 && d.backend.Device().Type() == ggml.CPU { // it attends for itself too, with inputs of its own
		s.step, s.chunk, s.detours = s.hostTokens, s.hostTokens, false
		hostDevice := &device{backend: b}
		if err := hostDevice.prepare(m, s, a, true); err != nil {
			return plan.Footprint{}, err
		}
		defer hostDevice.release()
		if err := hostDevice.resize(hostDevice.inputs.most()); err != nil {
			return plan.Footprint{}, err
		}
		for l := range ds.layers {
			if err := hostDevice.graphs.measure(l, c, s, 0, hostDevice.graphs.buildAttention); err != nil {
				return plan.Footprint{}, err
			}
		}
	}
	return footprintOf(b), nil
}

// measure builds on blank the largest graphs that d computes, those of experts besides among them.
func (blank *device) measure(ds *devices, d *device, besides *experts, c kv.Options, s sizes) error {
	g := blank.graphs
	first := min(1, s.step-s.chunk) // where nothing need be aligned, and a result may have to be copied
	if d == ds.input {
		if _, err := g.embedTokens(first, s.chunk, 0); err != nil {
			return err
		}
	}
	for l, on := range ds.layers {
		if on != d {
			continue
		}
		if err := g.measure(l, c, s, first, g.build); err != nil {
			return err
		}
		if detour := g.layers[l][0].detour; detour != nil && besides != nil {
			if _, err := besides.find(l, detour); err != nil {
				return err
			}
		}
	}
	if d == ds.output {
		if _, err := g.logits(0, min(logitBatch, s.step)); err != nil {
			return err
		}
	}
	return nil
}

// measure builds the graphs of a layer's largest chunks: of all trees in place, and where they are not,
// of one tree, and of the most trees that there may be.
func (g *graphs) measure(l int, c kv.Options, s sizes, first int, build func(int, layerShape) *layerGraph) error {
	if !attends(g.config.Layers[l]) {
		return g.measureRecurrent(l, s, first, build)
	}
	meta := ggml.NewContext(2)
	defer meta.Close()
	shape := c.Layers[l]
	if w := g.config.Layers[l].Window; w > 0 {
		s.windows = windowsOf(g.config.Layers)
		s.cells = s.ringOf(w)
	}
	rows := kv.Rows{
		K: meta.New(c.TypeK, int64(shape.KeyDim), int64(s.cells), int64(shape.Heads)),
		V: meta.New(c.TypeV, int64(shape.ValueDim), int64(s.cells), int64(shape.Heads)),
	}
	kind := g.backend.BufferType()
	for _, t := range []*ggml.Tensor{rows.K, rows.V} {
		buffer, err := g.backend.Alloc(kind, kind.AllocSize(t), ggml.Regions)
		if err != nil {
			return err
		}
		defer buffer.Close()
		buffer.Place(t, 0)
	}
	var shapes []layerShape
	inPlace := g.inputs.visibilities.attendsInPlace(g.config.Layers[l])
	if inPlace {
		shapes = append(shapes, layerShape{first: first, n: s.chunk, inPlace: true})
	}
	if !inPlace || c.ForcedCopies && !g.inputs.forHost { // rows may be copied to slots
		shapes = append(shapes, chunks(s, first, min(max(1, c.Trees), s.chunk), rows)...)
	}
	for _, shape := range shapes {
		if _, err := g.find(l, shape, build); err != nil {
			return err
		}
	}
	return nil
}

// measureRecurrent builds the graphs of the largest chunks of a layer without rows: of one sequence, and
// of as many as there may be.
func (g *graphs) measureRecurrent(l int, s sizes, first int, build func(int, layerShape) *layerGraph) error {
	shape := layerShape{first: first, n: s.chunk}
	if values := g.config.Layers[l].State.Values(); values > 0 {
		meta := ggml.NewContext(1)
		defer meta.Close()
		kind := g.backend.BufferType()
		shape.states.T = meta.New(ggml.F32, int64(values), 1)
		buffer, err := g.backend.Alloc(kind, kind.AllocSize(shape.states.T), ggml.States)
		if err != nil {
			return err
		}
		defer buffer.Close()
		buffer.Place(shape.states.T, 0)
		shape.groups = []group{{first: first, n: s.chunk, seqs: 1, keep: 1}}
	}
	_, err := g.find(l, shape, build)
	return err
}

// chunks returns the shapes of the largest chunks of one tree and of several that share it, with
// the same rows for all.
func chunks(s sizes, first, trees int, rows kv.Rows) (shapes []layerShape) {
	one := layerShape{first: first, n: s.chunk, parts: []kv.Part{{First: first, N: s.chunk, Cells: s.cells, Rows: rows}}}
	shapes = append(shapes, one)
	if trees == 1 {
		return shapes
	}
	for _, longest := range []int{s.chunk - (trees - 1), (s.chunk + trees - 1) / trees} { // uneven and even
		shape, at := layerShape{first: first, n: s.chunk}, 0
		for tree := range trees {
			n := min(longest, s.chunk-at-(trees-tree-1))
			shape.parts = append(shape.parts, kv.Part{
				Tree: tree, First: first + at, N: n, Cells: s.cells, Input: at * kv.InputAlign, Mask: at * s.cells, Rows: rows,
			})
			at += n
		}
		shapes = append(shapes, shape)
	}
	return shapes
}

// largest returns the sizes for which inputs must have room.
func largest(c kv.Options, o Options) sizes {
	s := sizes{step: plan.StepTokens(c.StepTokens, c.Cells, c.Trees), cells: plan.WholeBlocks(c.Cells), k: c.TypeK, v: c.TypeV}
	s.chunk = min(c.ChunkTokens, s.step)
	if o.AttendAt != AttendAtDevice {
		s.hostTokens = min(kv.DefaultHostTokens, s.step)
	}
	return s
}

// Footprint returns what the device of the first layer takes besides K/V, with a context of some
// cells.
func (r *Runner) Footprint(cells int) (plan.Footprint, error) {
	backends, on := r.devices.layerDevices()
	c, err := r.cacheOptions(r.options, backends, on)
	if err != nil {
		return plan.Footprint{}, err
	}
	return r.footprint(r.options, c, r.devices.layers[0], cells)
}
