package exec

import (
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/memory"
	"github.com/seed4d217819/ebb/kv"
)

// experts computes, on the CPU, the experts of layers that other devices compute, so that the
// weights of experts stay in host memory. The activations go there and back: a few kilobytes a
// token.
type experts struct {
	device   *device
	on       []bool // by layer
	used     int    // the most experts that a token goes through
	scratch  *ggml.Scratch
	received *ggml.Buffer     // what the graphs receive; nil: none has been built
	graphs   [][]*expertGraph // by layer, used last first
	small    int              // steps in a row that needed little memory
}

// expertGraph computes the experts of one layer for some tokens.
type expertGraph struct {
	graph    *ggml.Graph
	meta     *ggml.Context // has the shapes of received
	received []*ggml.Tensor
	result   *ggml.Tensor // [hidden, tokens]
}

func (g *expertGraph) close() {
	g.graph.Close()
	g.meta.Close()
}

// newExperts returns experts that a device computes. It is the caller's.
func newExperts(d *device, on []bool) *experts { return &experts{device: d, on: on} }

// of returns the backend that computes a layer's experts, nil if the layer's device does.
func (e *experts) of(layer int) *ggml.Backend {
	if e == nil || layer >= len(e.on) || !e.on[layer] {
		return nil
	}
	return e.device.backend
}

// prepare makes the experts ready for a model whose tokens go through some experts at most.
func (e *experts) prepare(used int) {
	e.used, e.scratch, e.graphs = used, e.device.backend.NewScratch(), make([][]*expertGraph, len(e.on))
}

// begin gives memory back that a long prompt needed, once the steps are small again.
func (e *experts) begin(step *kv.Step) {
	if needOf(step, nil).chunk > leastTokens {
		e.small = 0
		return
	}
	if e.small++; e.small != smallSteps || e.bytes() < leastReturned {
		return
	}
	e.drop()
	e.scratch.Reset()
	e.received.Close()
	e.received = nil
	memory.Trim()
}

// bytes returns how much memory the graphs take.
func (e *experts) bytes() int64 {
	n := e.scratch.Size()
	if e.received != nil {
		n += e.received.Size()
	}
	return n
}

// find returns the graph for a detour of a layer's graph. It builds the graph unless it is kept.
func (e *experts) find(layer int, d *ggml.Detour) (*expertGraph, error) {
	kept := e.graphs[layer]
	for i, g := range kept {
		if g.result.Ne(1) == d.Result.Ne(1) {
			copy(kept[1:i+1], kept[:i])
			kept[0] = g
			return g, nil
		}
	}
	g, err := e.build(d)
	if err != nil {
		return nil, fmt.Errorf("ebb: experts of layer %d on %s: %w", layer, e.device.backend.Device().Name(), err)
	}
	kept = e.graphs[layer] // build may have dropped them
	if len(kept) == graphsKept {
		kept[graphsKept-1].close()
		kept = kept[:graphsKept-1]
	}
	e.graphs[layer] = slices.Insert(kept, 0, g)
	return g, nil
}

// build makes the graph for a detour. If its memory has to grow, all other graphs are dropped.
func (e *experts) build(d *ggml.Detour) (_ *expertGraph, err error) {
	b := e.device.backend
	g := &expertGraph{graph: b.NewGraph(32 + 2*e.used), meta: ggml.NewContext(len(d.Sent))}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	kind, size := b.BufferType(), int64(0)
	var offsets []int64
	for _, from := range d.Sent {
		t := g.meta.New(from.Type(), from.Ne(0), from.Ne(1), from.Ne(2))
		align := kind.Alignment()
		offsets = append(offsets, (size+align-1)/align*align)
		size = offsets[len(offsets)-1] + kind.AllocSize(t)
		g.received = append(g.received, t)
	}
	if err := e.fit(size); err != nil {
		return nil, err
	}
	for i, t := range g.received {
		e.received.Place(t, offsets[i])
	}
	g.result = d.Build(g.graph, g.received)
	g.graph.Expand(g.result)
	moved, err := e.scratch.Alloc(g.graph)
	if moved {
		e.drop()
	}
	return g, err
}

// fit gives what the graphs receive a number of bytes.
func (e *experts) fit(size int64) (err error) {
	if e.received != nil {
		if size <= e.received.Size() {
			return nil
		}
		e.drop()
		e.received.Close()
		e.received = nil
	}
	b := e.device.backend
	e.received, err = b.Alloc(b.BufferType(), size, ggml.Activations)
	return err
}

func (e *experts) drop() {
	for l := range e.graphs {
		for _, g := range e.graphs[l] {
			g.close()
		}
		e.graphs[l] = e.graphs[l][:0]
	}
}

// release frees what prepare and the graphs took; the backend stays open.
func (e *experts) release() {
	e.drop()
	if e.scratch != nil {
		e.scratch.Close()
	}
	if e.received != nil {
		e.received.Close()
	}
	e.scratch, e.received, e.graphs = nil, nil, nil
}

// computeExperts computes a layer's experts on the CPU, in the middle of the layer's graph.
func (r *Runner) computeExperts(layer int, d *ggml.Detour) error {
	e := r.devices.experts
	g, err := e.find(layer, d)
	if err != nil {
		return err
	}
	for i, from := range d.Sent {
		to := g.received[i]
		r.carried = slices.Grow(r.carried[:0], int(to.Bytes()))[:to.Bytes()]
		if from.Contiguous() {
			from.Get(r.carried, 0)
		} else {
			from.Get2D(r.carried, 0, to.Nb(1), int(to.Ne(1)), from.Nb(1), to.Nb(1))
		}
		to.Set(r.carried, 0)
	}
	if err := e.device.compute(g.graph, "experts", layer, int(g.result.Ne(1))); err != nil {
		return err
	}
	r.copyThroughHost(g.result, d.Result, g.result.Bytes())
	return nil
}
