package ebb

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/llama"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tokenizer"
	"github.com/seed4d217819/ebb/trace"
)

// Options say how a model is run. The zero value runs it on the CPU with all of
// the cache there.
type Options struct {
	Device    string    // a name of [ggml.Library.Devices]; "": cpu
	GPULayers int       // how many of the last layers a GPU computes, and the CPU the others; 0: Device computes all
	DeviceMap DeviceMap // which device computes what, instead of the two above; nil: they say it
	Threads   int       // of the CPU; 0: one a core, and fewer while other programs use the cores, which changes last bits

	Cache          kv.Policy
	KVType         string   // f32, f16, bf16, q8_0 or q4_0; "": f16
	Context        int      // tokens a sequence may hold; 0: what the model was made for, or less if Budget or DeviceMemory is too small
	Budget         int64    // bytes that weights, steps and K/V together may take on each device, but on a CPU beside others; 0: no limit
	DeviceMemory   int64    // bytes that K/V may take on each device, but on a CPU beside others; 0: no limit
	Sequences      int      // for how many sequences DeviceMemory is shared out; 0: 1
	ResidentLayers int      // layers that never leave their device when others do; 0: as many as DeviceMemory allows
	Slots          int      // layers that visit a device at a time when some do; 0: 2
	Attend         AttendAt // where attention over streamed layers is computed in steps of few tokens
	HostLayers     int      // with AttendAtHost: to how many of the streamed layers the host attends; 0: all
	ForcedCopies   bool     // copy rows on the CPU too, where they could be used in place
	Link           float64  // bytes a second that fetches are slowed down to; 0: not at all

	ChunkTokens int         // tokens a graph computes at most; 0: 512
	StepTokens  int         // tokens a pass through the layers takes at most; 0: 4096
	Attention   attend.Kind // how attention is computed
	Limit       int64       // bytes that may be allocated on each device in all, for tests of running out; 0: what it has

	Trace trace.Func // receives what happens when; nil: nothing is timed
}

// architectures lists what [Open] can run. A new one is a line here.
func architectures() []model.Architecture {
	return []model.Architecture{llama.Architecture()}
}

// Architectures returns the values of general.architecture that [Open] takes.
func Architectures() (names []string) {
	for _, a := range architectures() {
		names = append(names, a.Names...)
	}
	return names
}

// Engine is an opened model. It may be used from many goroutines: sequences are
// independent, and one step computes at a time while others wait their turn.
type Engine struct {
	file      *gguf.File
	devices   *devices
	attending attending
	placed    layerDevices
	model     model.Model
	config    model.Config
	tokenizer *tokenizer.Tokenizer
	pool      *kv.Pool
	carried   []byte // activations on their way between devices
	context   int
	notes     []string
	trace     trace.Func

	closing atomic.Bool
	closed  sync.Once
}

// Stats are what an engine has used and moved.
type Stats struct {
	Cache   kv.Stats
	Device  ggml.Usage    // bytes by purpose, of all devices together
	Counts  ggml.Stats    // buffers allocated, graphs built and computed, on all devices
	Devices []DeviceStats // a CPU that only attends for another device is the last
}

// DeviceStats are what one device has used.
type DeviceStats struct {
	Name    string
	Device  ggml.Usage
	Counts  ggml.Stats
	Threads ThreadStats // of a CPU; zero where Options.Threads says how many
}

// Open opens the model in a GGUF file. The caller closes the engine.
func Open(path string, o Options) (_ *Engine, err error) {
	e := &Engine{trace: o.Trace}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if e.file, err = gguf.Open(path); err != nil {
		return nil, err
	}
	arch, err := model.Find(e.file.Architecture(), architectures())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if e.attending, err = newAttending(o.Attention); err != nil {
		return nil, err
	}
	library, err := ggml.Load()
	if err != nil {
		return nil, err
	}
	if e.placed, err = mapDevices(o, knownDevices(library), model.LayerCount(e.file)); err != nil {
		return nil, err
	}
	if e.devices, err = openDevices(library, e.placed, o); err != nil {
		return nil, err
	}
	if e.model, err = arch.Open(model.NewLoader(e.file, e.devices.backends())); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	e.config = e.model.Config()
	if err = e.openCache(library, o); err != nil {
		return nil, err
	}
	if e.tokenizer, err = tokenizer.Open(path); err != nil {
		return nil, err
	}
	return e, nil
}

// openCache makes the cache, and what its steps need on the devices.
func (e *Engine) openCache(library *ggml.Library, o Options) error {
	backends, on := e.devices.places()
	cache, err := e.cacheOptions(o, backends, on)
	if err != nil {
		return err
	}
	e.context = cache.Cells
	if o.Attend != AttendAtDevice {
		if err := e.devices.openHost(library, o); err != nil {
			return err
		}
		if err := e.attendSomewhere(o, &cache, backends); err != nil {
			return err
		}
	}
	return e.makeCache(cache, backends)
}

// makeCache makes the cache and what its steps need.
func (e *Engine) makeCache(cache kv.Options, backends []*ggml.Backend) (err error) {
	if e.pool, err = kv.NewPool(cache, backends...); err != nil {
		return err
	}
	return e.devices.prepare(e.model, e.pool, e.attending)
}

// maxMask bounds the bytes of a chunk's attention mask.
const maxMask = 64 << 20

// cacheOptions turns the user's options into the cache's, for layers on some
// devices. A context that the user left open is cut to what fits the memory.
func (e *Engine) cacheOptions(o Options, backends []*ggml.Backend, on []int) (kv.Options, error) {
	name := o.KVType
	if name == "" {
		name = "f16"
	}
	typ, err := kv.ParseType(name)
	if err != nil {
		return kv.Options{}, err
	}
	c := kv.Options{
		Policy: o.Cache, TypeK: typ, TypeV: typ,
		On: on, Memories: memories(o.DeviceMemory, backends),
		Cells: o.Context, Trees: o.Sequences, ResidentLayers: o.ResidentLayers, Slots: o.Slots,
		Tier: host.New, ForcedCopies: o.ForcedCopies, Link: o.Link,
		ChunkTokens: o.ChunkTokens, StepTokens: o.StepTokens, Trace: o.Trace,
	}
	for _, l := range e.config.Layers {
		c.Layers = append(c.Layers, kv.Shape{Heads: l.KVHeads, KeyDim: l.KeyDim, ValueDim: l.ValueDim})
	}
	if o.Budget != 0 {
		if err := e.shareOut(o, &c, backends); err != nil {
			return kv.Options{}, err
		}
	}
	if c.Cells == 0 {
		c.Cells = e.config.Context
		switch most := kv.MostCells(c); {
		case most == 0:
			c.Cells = min(c.Cells, kv.Block) // nothing fits: the error names the least that would
		case most < c.Cells:
			e.notes = append(e.notes, fmt.Sprintf("context cut from %d to %d tokens to fit %d bytes of device memory", c.Cells, most, o.DeviceMemory))
			c.Cells = most
		}
	}
	c.ChunkTokens = chunkTokens(o, c.Cells)
	return c, nil
}

// chunkTokens returns how many tokens a graph computes at most, with a context
// of some cells.
func chunkTokens(o Options, cells int) int {
	n := o.ChunkTokens
	if n == 0 {
		n = kv.DefaultChunkTokens
	}
	return max(1, min(n, maxMask/2/max(cells, 1)))
}

// memories returns what K/V may take on each device. The memory of a CPU beside
// other devices is where streamed rows live as well: it is not bounded.
func memories(each int64, backends []*ggml.Backend) []int64 {
	out := make([]int64, len(backends))
	for i, b := range backends {
		if len(backends) == 1 || b.Device().Type() != ggml.CPU {
			out[i] = each
		}
	}
	return out
}

// Config returns the model's shape.
func (e *Engine) Config() model.Config { return e.config }

// Context returns how many tokens a sequence may hold.
func (e *Engine) Context() int { return e.context }

// Notes returns decisions that the user did not ask for and should hear of.
func (e *Engine) Notes() []string { return e.notes }

// Tokenizer returns the model's tokenizer. It is the engine's.
func (e *Engine) Tokenizer() *tokenizer.Tokenizer { return e.tokenizer }

// Template returns the model's chat template.
func (e *Engine) Template() (*chat.Template, error) {
	source, ok := e.file.String("tokenizer.chat_template")
	if !ok {
		return nil, errors.New("ebb: the model has no chat template: give it a raw prompt")
	}
	vars := chat.Vars{}
	if id, ok := e.tokenizer.BOS(); ok {
		vars.BOS = e.tokenizer.Decode([]int32{id}, false)
	}
	if id, ok := e.tokenizer.EOS(); ok {
		vars.EOS = e.tokenizer.Decode([]int32{id}, false)
	}
	return chat.New(source, vars)
}

// Devices says in words which layers are on which device.
func (e *Engine) Devices() string { return e.placed.String() }

// NewSeq returns an empty sequence. The caller closes it.
func (e *Engine) NewSeq() *kv.Seq { return e.pool.NewSeq() }

// Stats returns what has been used and moved so far.
func (e *Engine) Stats() Stats {
	s := Stats{Cache: e.pool.Stats()}
	for _, d := range e.devices.opened() {
		one := DeviceStats{Name: d.backend.Device().Name(), Device: d.backend.Usage(), Counts: d.backend.Stats()}
		if d.threads != nil {
			one.Threads = d.threads.Stats()
		}
		s.Device, s.Counts = s.Device.Plus(one.Device), s.Counts.Plus(one.Counts)
		s.Devices = append(s.Devices, one)
	}
	return s
}

// Close ends what runs, waits for it, and frees everything. The sequences are
// closed with it. It may be called twice.
func (e *Engine) Close() error {
	var errs []error
	e.closing.Store(true)
	e.closed.Do(func() {
		if e.pool != nil {
			errs = append(errs, e.pool.Close())
		}
		if e.devices != nil {
			e.devices.release()
		}
		if e.model != nil {
			errs = append(errs, e.model.Close())
		}
		if e.devices != nil {
			errs = append(errs, e.devices.close())
		}
		if e.tokenizer != nil {
			errs = append(errs, e.tokenizer.Close())
		}
		if e.file != nil {
			errs = append(errs, e.file.Close())
		}
	})
	return errors.Join(errs...)
}
