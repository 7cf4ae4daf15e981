package exec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// AttendAt says where attention over streamed layers is computed.
type AttendAt int

// The values of AttendAt.
const (
	// AttendAtDevice has every streamed layer visit its device: every policy gives the same bits.
	AttendAtDevice AttendAt = iota
	// AttendAtHost attends at the host to all streamed layers, or to as many as Options.HostLayers
	// says. Results are those of the CPU's kernels, and so the same within float error.
	AttendAtHost
	// AttendAuto attends at the host to as many streamed layers as makes a step shortest, by what
	// is measured when the engine opens.
	AttendAuto
)

var attendAtNames = [...]string{"device", "host", "auto"}

// ParseAttendAt returns the place of that name: device, host or auto.
func ParseAttendAt(name string) (AttendAt, error) {
	if i := slices.Index(attendAtNames[:], name); i >= 0 {
		return AttendAt(i), nil
	}
	return 0, fmt.Errorf("ebb: unknown place %q to attend: want one of %s", name, strings.Join(attendAtNames[:], ", "))
}

// String returns the place's name.
func (a AttendAt) String() string { return attendAtNames[a] }

// handover is memory on a device for the queries, keys and values that go to the host, and for the
// attention that comes back, of few tokens.
type handover struct {
	q, k, v *ggml.Tensor // [dim × heads, tokens]; nil where they are not needed
	out     *ggml.Tensor // [valueDim × heads, tokens]
}

// newHandover allocates the handover for some tokens. forHost says that q, k and v are needed as
// well.
func (in *inputs) newHandover(b *ggml.Backend, tokens int, forHost bool) error {
	if tokens == 0 {
		return nil
	}
	var q, k, v, out int
	for _, l := range in.layers {
		q, k = max(q, l.KeyDim*l.Heads), max(k, l.KeyDim*l.KVHeads)
		v, out = max(v, l.ValueDim*l.KVHeads), max(out, l.ValueDim*l.Heads)
	}
	row := func(n int) *ggml.Tensor { return in.meta.New(ggml.F32, int64(n), int64(tokens)) }
	in.handover.out = row(out)
	all := []*ggml.Tensor{in.handover.out}
	if forHost {
		in.handover.q, in.handover.k, in.handover.v = row(q), row(k), row(v)
		all = append(all, in.handover.q, in.handover.k, in.handover.v)
	}
	return in.allocate(b, ggml.Activations, all...)
}

// attendAtHost computes a layer's attention at the host, in the middle of its graph. The queries,
// keys and values of the new tokens go there, and the result comes back: a few kilobytes.
func (r *Runner) attendAtHost(step *kv.Step, d *device, layer *kv.Layer, lg *layerGraph, chunk int) error {
	h := r.devices.hostDevice
	for _, x := range [...]struct{ from, to *ggml.Tensor }{
		{lg.sent[0], h.inputs.handover.q}, {lg.sent[1], h.inputs.handover.k}, {lg.sent[2], h.inputs.handover.v},
	} {
		r.copyThroughHost(x.from, x.to, x.from.Bytes())
	}
	g, err := h.graphs.attention(step, layer, chunk)
	if err != nil {
		return err
	}
	h.inputs.visibilities.of(r.config.Layers[layer.Index]).set(step, chunk)
	if g.shape.inPlace {
		h.inputs.describe(step, layer, chunk, g)
	}
	if err := h.compute(g.graph, "attention", layer.Index, step.Chunks()[chunk].N); err != nil {
		return err
	}
	c := r.config.Layers[layer.Index]
	r.copyThroughHost(h.inputs.handover.out, d.inputs.handover.out, int64(c.ValueDim*c.Heads*step.Chunks()[chunk].N)*4)
	return nil
}

// copyThroughHost copies the first bytes of a tensor to a tensor of another device.
func (r *Runner) copyThroughHost(from, to *ggml.Tensor, bytes int64) {
	r.carried = slices.Grow(r.carried[:0], int(bytes))[:bytes]
	from.Get(r.carried, 0)
	to.Set(r.carried, 0)
}

// attention returns the graph of a layer's attention alone. It reads q, k and v from the handover
// and writes its result there.
func (g *graphs) attention(step *kv.Step, layer *kv.Layer, chunk int) (*layerGraph, error) {
	return g.find(layer.Index, g.shape(step, layer, chunk), g.buildAttention)
}

func (g *graphs) buildAttention(layer int, shape layerShape) *layerGraph {
	gr, c := g.backend.NewGraph(64+32*max(1, len(shape.parts))), g.config.Layers[layer]
	lg := &layerGraph{graph: gr, shape: shape}
	in, n := g.inputs.handover, int64(shape.n)
	heads := func(t *ggml.Tensor, dim, heads int) *ggml.Tensor { // [dim, heads, tokens]
		d, h := int64(dim), int64(heads)
		return gr.View3D(t, d, h, n, d*4, d*h*4, 0)
	}
	q, k, v := heads(in.q, c.KeyDim, c.Heads), heads(in.k, c.KeyDim, c.KVHeads), heads(in.v, c.ValueDim, c.KVHeads)
	all := g.attendAll(layer, lg, q, k, v, nil)
	gr.Expand(gr.Cpy(gr.Reshape2D(all, all.Ne(0)*all.Ne(1), n), gr.View2D(in.out, int64(c.ValueDim*c.Heads), n, int64(c.ValueDim*c.Heads)*4, 0)))
	lg.cut(dense, 0)
	return lg
}

// fromHost ends a stage of a layer's graph with the q, k and v that are sent to the host, and
// returns the attention that comes back, with which the next stage begins.
func (g *graphs) fromHost(gr *ggml.Graph, layer int, lg *layerGraph, sent [3]*ggml.Tensor) *ggml.Tensor {
	for _, t := range sent {
		gr.Output(t)
	}
	lg.sent = sent
	lg.cut(hostAttention, 0)
	c, n := g.config.Layers[layer], int64(lg.shape.n)
	row := int64(c.ValueDim * c.Heads)
	return gr.View2D(g.inputs.handover.out, row, n, row*4, 0) // [valueDim × heads, tokens]
}
