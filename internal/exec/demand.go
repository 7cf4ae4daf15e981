package exec

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

// shareOut gives K/V what weights and steps leave of each device's memory. A
// context that the user left open is cut to what fits.
func (r *Runner) shareOut(o Options, c *kv.Options, backends []*ggml.Backend) (err error) {
	defer recoverMisuse(&err) // shapes that no cache has
	if o.DeviceMemory < 0 {
		return fmt.Errorf("ebb: %d bytes of device memory: want a number above 0", o.DeviceMemory)
	}
	b := r.budget(o, *c, backends)
	open := c.Cells == 0
	if open {
		if c.Cells, err = b.most(r.config.Context); err != nil {
			return err
		}
		if c.Cells == 0 {
			c.Cells = min(kv.Block, r.config.Context) // nothing fits: the error names the least that would
		}
	}
	left, err := b.left(c.Cells)
	if short, ok := errors.AsType[*budgetError](err); ok && !open {
		most, err := b.most(c.Cells)
		if err != nil {
			return err
		}
		short.most = most
	}
	if err != nil {
		return err
	}
	for i, d := range b.devices {
		if n := d.kv; n != noKV && (c.Memory[n] == 0 || left[i] < c.Memory[n]) {
			c.Memory[n] = left[i]
		}
	}
	if open {
		if most := kv.MostCells(*c); most > 0 { // by KVMemory, where that is less
			c.Cells = min(c.Cells, most)
		}
		if c.Cells < r.config.Context {
			r.notes = append(r.notes, fmt.Sprintf("context cut from %d to %d tokens to fit %d bytes of device memory", r.config.Context, c.Cells, o.DeviceMemory))
		}
	}
	return nil
}

// budget returns what is to be shared out: the memory of all devices but of a
// CPU beside others, see memories.
func (r *Runner) budget(o Options, c kv.Options, backends []*ggml.Backend) budget {
	b := budget{bytes: o.DeviceMemory, least: func(cells int) []int64 {
		of := c
		of.Cells = cells
		return kv.Least(of)
	}}
	for _, d := range r.devices.all {
		if len(r.devices.all) > 1 && d.backend.Device().Type() == ggml.CPU {
			continue
		}
		b.devices = append(b.devices, claim{
			name: d.backend.Device().Name(), kv: slices.Index(backends, d.backend),
			demand: func(cells int) (demand, error) { return r.demand(o, c, d, cells) },
		})
	}
	return b
}

// demand returns what a device takes besides K/V with a context of some cells.
func (r *Runner) demand(o Options, c kv.Options, d *device, cells int) (demand, error) {
	c.Cells, c.ChunkTokens = cells, chunkTokens(o, cells)
	steps, err := measureSteps(r.devices, d, r.model, c, o, r.attending)
	if err != nil {
		return nil, fmt.Errorf("ebb: measuring what a step takes on %s: %w", d.backend.Device().Name(), err)
	}
	steps[ggml.Weights] = d.backend.Usage().Current[ggml.Weights]
	return steps, nil
}

// measureSteps returns what steps take on a device at most, by building the
// largest graphs there without memory. What a backend takes for itself while it
// computes is not among it.
func measureSteps(ds *devices, d *device, m model.Model, c kv.Options, o Options, a attending) (_ demand, err error) {
	b := d.backend.Measure()
	defer func() { err = errors.Join(err, b.Close()) }()
	defer recoverMisuse(&err)
	s := largest(c, o)
	blank := &device{backend: b}
	if err := blank.prepare(m, s, a, false); err != nil {
		return nil, err
	}
	defer blank.release()
	if err := blank.measure(ds, d, c, s); err != nil {
		return nil, err
	}
	if s.host > 0 && d.backend.Device().Type() == ggml.CPU { // it attends for itself too, with inputs of its own
		s.step, s.chunk = s.host, s.host
		host := &device{backend: b}
		if err := host.prepare(m, s, a, true); err != nil {
			return nil, err
		}
		defer host.release()
		for l := range ds.layers {
			if err := host.graphs.measure(l, c, s, 0, host.graphs.buildAttention); err != nil {
				return nil, err
			}
		}
	}
	taken := demand{}
	for _, p := range purposes {
		taken[p] = b.Usage().Current[p]
	}
	return taken, nil
}

// measure builds the largest graphs of what a device, for which blank stands,
// computes.
func (blank *device) measure(ds *devices, d *device, c kv.Options, s sizes) error {
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
	}
	if d == ds.output {
		if _, err := g.logits(0, min(logitBatch, s.step)); err != nil {
			return err
		}
	}
	return nil
}

// measure builds the graphs of a layer's largest chunks: of one tree, and of as
// many as there may be.
func (g *graphs) measure(l int, c kv.Options, s sizes, first int, build func(*kv.Layer, layerShape) *layerGraph) error {
	meta := ggml.NewContext(2)
	defer meta.Close()
	shape := c.Layers[l]
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
	trees := min(max(1, c.Trees), s.chunk)
	layer := kv.Blank(l, slices.Repeat([]kv.Rows{rows}, trees))
	for _, shape := range chunks(s, first, trees) {
		if _, err := g.find(l, shape, func(shape layerShape) *layerGraph { return build(layer, shape) }); err != nil {
			return err
		}
	}
	return nil
}

// chunks returns the shapes of the largest chunks of one tree and of several
// that share it.
func chunks(s sizes, first, trees int) (shapes []layerShape) {
	one := layerShape{first: first, n: s.chunk, parts: []partShape{{n: s.chunk, attended: s.cells}}}
	shapes = append(shapes, one)
	if trees == 1 {
		return shapes
	}
	for _, longest := range []int{s.chunk - (trees - 1), (s.chunk + trees - 1) / trees} { // uneven and even
		shape, at := layerShape{first: first, n: s.chunk}, 0
		for tree := range trees {
			n := min(longest, s.chunk-at-(trees-tree-1))
			shape.parts = append(shape.parts, partShape{tree: tree, first: at, n: n, attended: s.cells, mask: at * s.cells, cells: at * apart})
			at += n
		}
		shapes = append(shapes, shape)
	}
	return shapes
}

// largest returns what inputs must have room for.
func largest(c kv.Options, o Options) sizes {
	s := sizes{step: c.StepTokens, chunk: c.ChunkTokens, cells: (c.Cells + kv.Block - 1) / kv.Block * kv.Block}
	if s.step == 0 {
		s.step = kv.DefaultStepTokens
	}
	s.step = min(s.step, c.Cells*max(1, c.Trees))
	s.chunk = min(s.chunk, s.step)
	s.k, s.v = c.TypeK, c.TypeV
	if o.AttendAt != AttendAtDevice {
		s.host = min(kv.DefaultHostTokens, s.step)
	}
	return s
}
