package exec

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/devicemap"
	"github.com/seed4d217819/ebb/internal/threads"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/trace"
)

// Options say how a model is run.
type Options struct {
	Threads      int         // of the CPU; 0: one a core, and fewer while other programs use the cores
	Limit        int64       // bytes that may be allocated on each device in all, for tests of running out; 0: what it has
	Attention    attend.Kind // how attention is computed
	ISA          isa.ISA     // of ebb's kernels on the CPU; Best: the one that EBB_ISA names
	AttendAt     AttendAt    // where attention over streamed layers is computed in steps of few tokens
	HostLayers   int         // with AttendAtHost: to how many of the streamed layers the host attends; 0: all
	DeviceMemory int64       // bytes that weights, steps and K/V together may take on each device; 0: no limit. A CPU beside other devices has none
	KVMemory     int64       // bytes that K/V may take on each device, with the same exception; 0: no limit

	// NoPack leaves the weights of the CPU where their file is mapped.
	NoPack bool

	// HostRoom says how many bytes of host memory are free, and whether that is known. It is asked
	// before the model is loaded, and under the policy auto, from several goroutines. nil: it is not
	// known.
	HostRoom func() (bytes int64, known bool)
	// HostAlone says that rows have no place off their devices but host memory.
	HostAlone bool

	// Cache are the options of the cache. Open sets those that depend on model and devices: Layers,
	// On, Memory, Room, HostAttention, and Cells where they are 0.
	Cache kv.Options

	Trace trace.Func // receives a span for each computation and copy; nil: nothing is timed
}

// Runner takes steps through a model on its devices. One step computes at a time while others wait
// their turn.
type Runner struct {
	options   Options
	devices   *devices
	attending attending
	model     model.Model
	config    model.Config
	pool      *kv.Pool
	carried   []byte // activations on their way between devices
	context   int
	notes     []string
	trace     trace.Func
	drafter   *drafter // nil: no block drafts tokens

	// Of a block that drafts tokens: given writes the hidden states that a step reads. after is called
	// when the last layer has computed. Both nil: nothing.
	given func(to *ggml.Tensor)
	after func(ctx context.Context, step *kv.Step, at *device, batch []kv.Work) error

	closing atomic.Bool
}

// DeviceStats are what one device has used.
type DeviceStats struct {
	Name    string
	Device  ggml.Usage
	Counts  ggml.Stats
	Threads threads.Stats // of a CPU; zero where Options.Threads says how many
	ISA     isa.ISA       // of ebb's kernels, on a CPU: GGML where there are none; Best on other devices
}

// Open opens a model's devices, the model on them, and its cache. The caller closes the runner.
func Open(library *ggml.Library, m devicemap.Assignment, load func(model.Devices) (model.Model, error), o Options) (_ *Runner, err error) {
	r := &Runner{options: o, trace: o.Trace}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if r.attending, err = newAttending(o.Attention, o.ISA); err != nil {
		return nil, err
	}
	if r.devices, err = openDevices(library, m, o); err != nil {
		return nil, err
	}
	if note := r.attending.note(r.devices.layers); note != "" {
		r.notes = append(r.notes, note)
	}
	on := r.devices.backends(r.attending.set)
	if o.HostRoom != nil {
		if room, known := o.HostRoom(); known {
			on.Room = cmp.Or(room, model.NoRoom)
			on.Left = left(room) + process + min(plenty, room/4) // what is left free, and what K/V and steps may take
		}
	}
	on.Mapped = o.NoPack
	if r.model, err = r.load(load, on); err != nil {
		return nil, err
	}
	r.config = r.model.Config()
	if r.drafter = r.newDrafter(); r.drafter != nil {
		r.after = r.drafter.follow
	}
	if err = r.openCache(library, o); err != nil {
		return nil, err
	}
	return r, nil
}

// load loads the model. Its weights stay where their file is mapped if memory has no room for copies.
func (r *Runner) load(load func(model.Devices) (model.Model, error), on model.Devices) (model.Model, error) {
	m, err := load(on)
	short, ok := errors.AsType[*model.RoomError](err)
	if !ok {
		return m, err
	}
	on.Mapped = true
	if m, err = load(on); err == nil {
		r.notes = append(r.notes, short.Error()+": the weights stay in their file, and the CPU computes slower")
	}
	return m, err
}

// openCache makes the cache, and allocates what its steps need on the devices.
func (r *Runner) openCache(library *ggml.Library, o Options) error {
	backends, on := r.devices.layerDevices()
	cache, err := r.cacheOptions(o, backends, on)
	if err != nil {
		return err
	}
	r.context = cache.Cells
	if m, ok := r.model.(model.ByContext); ok {
		r.model = m.InContext(r.context)
		r.config = r.model.Config()
	}
	if o.AttendAt != AttendAtDevice {
		if r.devices.hostDevice, err = r.devices.openCPU(library, o); err != nil {
			return err
		}
		if err := r.planHostAttention(o, &cache, backends); err != nil {
			return err
		}
	}
	if err := r.makeCache(cache, backends); err != nil || r.drafter == nil {
		return err
	}
	return r.drafter.openCache(cache)
}

// makeCache makes the pool, and allocates on each device what its steps need.
func (r *Runner) makeCache(cache kv.Options, backends []*ggml.Backend) (err error) {
	if r.pool, err = kv.NewPool(cache, backends...); err != nil {
		return err
	}
	return r.devices.prepare(r.model, r.pool, r.attending)
}

// cacheOptions turns the user's options into the cache's, for layers on some devices. A context
// that the user left open is cut to what fits the memory.
func (r *Runner) cacheOptions(o Options, backends []*ggml.Backend, on []int) (kv.Options, error) {
	c := o.Cache
	c.On, c.Memory = on, memories(o.KVMemory, backends)
	for _, l := range r.config.Layers {
		c.Layers = append(c.Layers, kv.Shape{
			Heads: l.KVHeads, KeyDim: l.KeyDim, ValueDim: l.ValueDim, Window: l.Window, Shares: l.SharesKV, Of: l.KVOf, State: l.State.Values(),
		})
	}
	if err := r.fitMemory(o, &c, backends); err != nil {
		return kv.Options{}, err
	}
	if c.Policy == kv.Auto {
		c.Room = r.newFreeMemory(o, c, backends).room
	}
	c.ChunkTokens = plan.ChunkTokens(o.Cache.ChunkTokens, c.Cells)
	r.boundPast(o, &c, backends)
	boundSnapshots(o, &c, backends)
	return c, nil
}

// memories returns how many bytes K/V may take on each device. The memory of a CPU beside other
// devices is not bounded, because streamed rows are kept there as well.
func memories(each int64, backends []*ggml.Backend) []int64 {
	out := make([]int64, len(backends))
	for i, b := range backends {
		if len(backends) == 1 || b.Device().Type() != ggml.CPU {
			out[i] = each
		}
	}
	return out
}

// Context returns how many tokens a sequence may hold.
func (r *Runner) Context() int { return r.context }

// Config returns the model's shape.
func (r *Runner) Config() model.Config { return r.config }

// Notes returns decisions that the user did not ask for and should know of.
func (r *Runner) Notes() []string { return r.notes }

// Pool returns the cache. It is the runner's.
func (r *Runner) Pool() *kv.Pool { return r.pool }

// Stats returns what each device has used. A CPU that only attends or computes experts for another
// device is the last.
func (r *Runner) Stats() (all []DeviceStats) {
	for _, d := range r.devices.opened() {
		one := DeviceStats{Name: d.backend.Device().Name(), Device: d.backend.Usage(), Counts: d.backend.Stats()}
		if d.threads != nil {
			one.Threads = d.threads.Stats()
		}
		if d.backend.Device().Type() == ggml.CPU {
			one.ISA = r.attending.set.Resolved()
		}
		all = append(all, one)
	}
	return all
}

// DraftStats returns how the block that drafts tokens has done; zero without one.
func (r *Runner) DraftStats() DraftStats {
	if r.drafter == nil {
		return DraftStats{}
	}
	return r.drafter.stats()
}

// HostMemory returns the memory of the open buffers that the program can address.
func (r *Runner) HostMemory() (all []ggml.HostMemory) {
	for _, d := range r.devices.opened() {
		all = append(all, d.backend.HostMemory()...)
	}
	return all
}

// Close stops the step that is running, waits for it, and frees everything, the sequences among it.
// It is called once.
func (r *Runner) Close() error {
	var errs []error
	r.closing.Store(true)
	if r.drafter != nil {
		r.drafter.block.closing.Store(true)
	}
	if r.pool != nil {
		errs = append(errs, r.pool.Close())
	}
	if r.drafter != nil {
		errs = append(errs, r.drafter.close())
	}
	if r.devices != nil {
		r.devices.release()
	}
	if r.model != nil {
		errs = append(errs, r.model.Close())
	}
	if r.devices != nil {
		errs = append(errs, r.devices.close())
	}
	return errors.Join(errs...)
}
