package exec

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/devicemap"
	"github.com/seed4d217819/ebb/internal/threads"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/product"
	"github.com/seed4d217819/ebb/trace"
)

// device computes some of a model's layers, and holds what a step needs for that.
type device struct {
	backend *ggml.Backend
	threads *threads.Watch // nil if their number is fixed
	inputs  *inputs
	inHost  bool // it computes in host memory
	small   int  // steps in a row that needed little of the inputs' room
	sinks   sinks
	graphs  *graphs
	trace   trace.Func
}

// newDevice returns a device. Its threads are watched if it is a CPU and the options leave their
// number open.
func newDevice(b *ggml.Backend, o Options) *device {
	d := &device{backend: b, trace: o.Trace}
	if b.Device().Type() == ggml.CPU && o.Threads == 0 {
		d.threads = threads.New(b.Threads(), threads.SystemClocks())
	}
	return d
}

// compute runs a graph. On a CPU whose threads are watched, as many threads compute as find a core
// to themselves. The trace shows the span under the name, with the layer (-1: none) and the number
// of tokens.
func (d *device) compute(g *ggml.Graph, name string, layer, tokens int) error {
	defer d.trace.End(trace.Span{Device: d.backend.Device().Name(), Track: trace.Compute, Name: name, Layer: layer, Tokens: tokens, Start: d.trace.Now()})
	if d.threads == nil {
		return d.backend.Compute(g)
	}
	d.threads.Enter()
	if err := d.backend.Compute(g); err != nil {
		return err
	}
	return d.backend.SetThreads(d.threads.Leave())
}

// attending says how attention is computed, where a device supports it.
type attending struct {
	kind attend.Kind
	set  isa.ISA // of the kernel on the CPU, and of products there
}

// newAttending returns how attention is computed. A set that is left open is the one that the
// environment names.
func newAttending(kind attend.Kind, set isa.ISA) (_ attending, err error) {
	if set == isa.Best {
		if set, err = isa.Parse(os.Getenv(isa.Variable)); err != nil {
			return attending{}, fmt.Errorf("ebb: %s: %w", isa.Variable, err)
		}
	}
	return attending{kind, set}, nil
}

// note says why tiles compute no attention, if they should and do not.
func (a attending) note(layers []*device) string {
	if a.kind != attend.Tiles || slices.ContainsFunc(layers, func(d *device) bool { return attend.On(d.backend.Device(), a.kind, a.set).Tiles() }) {
		return ""
	}
	why := "the CPU computes no layer"
	switch {
	case !slices.Contains(isa.All(), isa.AMX):
		why = "this processor has no AMX, or the system does not let programs use it"
	case a.set.Resolved() != isa.AMX:
		why = fmt.Sprintf("%s is %v", isa.Variable, a.set)
	}
	return "attention is computed as under auto, without tiles: " + why
}

// prepare allocates what small steps need on the device, of which the largest have the sizes.
// forHost says that the device computes attention for the others.
func (d *device) prepare(m model.Model, s sizes, a attending, forHost bool) (err error) {
	if d.inputs, err = newInputs(d.backend, m.Config(), s, attend.On(d.backend.Device(), a.kind, a.set), forHost); err != nil {
		return err
	}
	if d.sinks = sinksOf(m); forHost {
		if d.sinks, err = d.sinks.on(d.backend); err != nil {
			return err
		}
	}
	d.graphs = newGraphs(d.backend, m, d.inputs, d.sinks)
	d.inHost = d.backend.BufferType().IsHost()
	return nil
}

// release frees what prepare made; the backend stays open.
func (d *device) release() {
	if d.graphs != nil {
		d.graphs.close()
	}
	if d.inputs != nil {
		d.inputs.close()
	}
	d.sinks.close()
	d.graphs, d.inputs, d.sinks = nil, nil, sinks{}
}

// devices are the devices that compute a model.
type devices struct {
	all    []*device // each of them once
	input  *device
	layers []*device // by layer
	output *device

	// hostDevice computes attention where streamed rows are kept; nil: none does.
	hostDevice *device

	// experts computes the experts of some layers on the CPU; nil: the layers' devices compute all.
	experts *experts
}

// openDevice opens a device by name.
func openDevice(library *ggml.Library, name string, o Options) (*device, error) {
	found, err := library.Device(name)
	if err != nil {
		return nil, err
	}
	b, err := found.Open(ggml.Options{Threads: o.Threads, Limit: o.Limit})
	if err != nil {
		return nil, err
	}
	return newDevice(b, o), nil
}

// openDevices opens the devices of an assignment.
func openDevices(library *ggml.Library, m devicemap.Assignment, o Options) (_ *devices, err error) {
	ds, opened := &devices{}, map[string]*device{}
	defer func() {
		if err != nil {
			err = errors.Join(err, ds.close())
		}
	}()
	open := func(name string) (*device, error) {
		if d := opened[name]; d != nil {
			return d, nil
		}
		d, err := openDevice(library, name, o)
		if err != nil {
			return nil, err
		}
		opened[name], ds.all = d, append(ds.all, d)
		return d, nil
	}
	if ds.input, err = open(m.Input); err != nil {
		return nil, err
	}
	for _, name := range m.Layers {
		d, err := open(name)
		if err != nil {
			return nil, err
		}
		ds.layers = append(ds.layers, d)
	}
	if ds.output, err = open(m.Output); err != nil {
		return nil, err
	}
	if slices.Contains(m.Experts, true) {
		d, err := ds.openCPU(library, o)
		if err != nil {
			return nil, err
		}
		ds.experts = newExperts(d, m.Experts)
	}
	return ds, nil
}

// openCPU opens the CPU beside the other devices. It has its own inputs and graphs, even if the CPU
// computes layers too, because its graphs run in the middle of those.
func (ds *devices) openCPU(library *ggml.Library, o Options) (*device, error) {
	for _, d := range ds.opened() {
		if d.backend.Device().Type() == ggml.CPU {
			return &device{backend: d.backend, threads: d.threads, trace: o.Trace}, nil
		}
	}
	return openDevice(library, "cpu", o)
}

// prepare allocates what small steps need on each device. Under a static policy a GPU has from the
// start what its largest steps need, so that memory is certain.
func (ds *devices) prepare(m model.Model, p *kv.Pool, a attending) error {
	s := sizes{step: p.StepTokens(), chunk: p.ChunkTokens(), cells: p.Cells(), hostTokens: p.HostTokens()}
	s.k, s.v = p.Types()
	policy := p.Policy()
	if ds.experts != nil {
		ds.experts.prepare(expertsUsed(m.Config()))
	}
	for _, d := range ds.all {
		s.detours = ds.detours(d)
		if err := d.prepare(m, s, a, false); err != nil {
			return err
		}
		if d.inHost || policy != kv.Static && policy != kv.OffloadedStatic {
			continue // host memory is taken when it is touched
		}
		if err := d.resize(d.inputs.most()); err != nil {
			return err
		}
	}
	if s.hostTokens == 0 {
		return nil
	}
	s.step, s.chunk, s.detours = s.hostTokens, s.hostTokens, false
	if err := ds.hostDevice.prepare(m, s, a, true); err != nil {
		return err
	}
	ds.hostDevice.sinks.fill()
	return nil
}

// detours reports whether the CPU computes experts of layers that d computes.
func (ds *devices) detours(d *device) bool {
	for l, on := range ds.layers {
		if on == d && ds.experts.of(l) != nil {
			return true
		}
	}
	return false
}

// expertsUsed returns the most experts that a token goes through in a layer.
func expertsUsed(c model.Config) (used int) {
	for _, l := range c.Layers {
		used = max(used, l.ExpertsUsed)
	}
	return used
}

// begin writes the inputs of a step to each device.
func (ds *devices) begin(step *kv.Step) error {
	for _, d := range ds.all {
		if err := d.begin(step); err != nil {
			return err
		}
	}
	if ds.experts != nil {
		ds.experts.begin(step)
	}
	if h := ds.hostDevice; h != nil && h.inputs != nil && len(step.Tokens()) <= h.inputs.step {
		return h.begin(step)
	}
	return nil
}

// begin makes room for a step's inputs and writes them.
func (d *device) begin(step *kv.Step) error {
	if err := d.fit(step); err != nil {
		return err
	}
	d.inputs.begin(step)
	return nil
}

// backends returns the devices of the model's weights. set are the instructions of products on the CPU.
func (ds *devices) backends(set isa.ISA) model.Devices {
	m := model.Devices{Input: ds.input.backend, Output: ds.output.backend}
	for l, d := range ds.layers {
		m.Layers = append(m.Layers, d.backend)
		m.Experts = append(m.Experts, ds.experts.of(l))
	}
	for _, d := range ds.opened() {
		if p := product.On(d.backend.Device(), set); p.Any() {
			m.Products = p
		}
	}
	return m
}

// layerDevices returns the devices that compute layers, and so hold their K/V, and for each layer
// the number of its device among them.
func (ds *devices) layerDevices() (backends []*ggml.Backend, on []int) {
	numbers := map[*device]int{}
	for _, d := range ds.layers {
		n, ok := numbers[d]
		if !ok {
			n = len(backends)
			numbers[d], backends = n, append(backends, d.backend)
		}
		on = append(on, n)
	}
	return backends, on
}

func (ds *devices) release() {
	for _, d := range ds.all {
		d.release()
	}
	if ds.hostDevice != nil {
		ds.hostDevice.release()
	}
	if ds.experts != nil {
		ds.experts.release()
	}
}

// opened returns all open devices, each backend once. A CPU that computes only attention and experts
// is the last.
func (ds *devices) opened() []*device {
	all := ds.all
	add := func(d *device) {
		if !slices.ContainsFunc(all, func(o *device) bool { return o.backend == d.backend }) {
			all = append(slices.Clone(all), d)
		}
	}
	if ds.experts != nil {
		add(ds.experts.device)
	}
	if ds.hostDevice != nil {
		add(ds.hostDevice)
	}
	return all
}

func (ds *devices) close() error {
	var errs []error
	for _, d := range ds.opened() {
		errs = append(errs, d.backend.Close())
	}
	return errors.Join(errs...)
}
