package ebb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/devicemap"
	"github.com/seed4d217819/ebb/internal/exec"
	"github.com/seed4d217819/ebb/internal/threads"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/llama"
	"github.com/seed4d217819/ebb/model/qwen2"
	"github.com/seed4d217819/ebb/model/qwen3"
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
	Context        int      // tokens a sequence may hold; 0: what the model was made for, or less if DeviceMemory or KVMemory is too small
	DeviceMemory   int64    // bytes that weights, steps and K/V together may take on each device, but on a CPU beside others; 0: no limit
	KVMemory       int64    // bytes that K/V may take on each device, but on a CPU beside others; 0: no limit
	Sequences      int      // for how many sequences KVMemory is shared out; 0: 1
	ResidentLayers int      // layers that never leave their device when others do; 0: as many as KVMemory allows
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
	return []model.Architecture{llama.Architecture(), qwen2.Architecture(), qwen3.Architecture()}
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
	placed    devicemap.Assignment
	runner    *exec.Runner
	tokenizer *tokenizer.Tokenizer
	notes     []string // on the file

	closed sync.Once
}

func init() {
	exec.OfEngine = func(engine any) *exec.Runner { return engine.(*Engine).runner }
}

// Stats are what an engine has used and moved.
type Stats struct {
	Cache   kv.Stats
	Device  ggml.Usage    // bytes by purpose, of all devices together
	Counts  ggml.Stats    // buffers allocated, graphs built and computed, on all devices
	Devices []DeviceStats // a CPU that only attends for another device is the last
}

type (
	// DeviceStats are what one device has used.
	DeviceStats = exec.DeviceStats
	// ThreadStats say with how many threads a CPU has computed.
	ThreadStats = threads.Stats
	// DeviceMap says which device computes which part of a model.
	DeviceMap = devicemap.Map
	// AttendAt says where attention over streamed layers is computed.
	AttendAt = exec.AttendAt
)

// Where to attend.
const (
	AttendAtDevice = exec.AttendAtDevice
	AttendAtHost   = exec.AttendAtHost
	AttendAuto     = exec.AttendAuto
)

// ParseAttendAt returns the place of that name: device, host or auto.
func ParseAttendAt(name string) (AttendAt, error) { return exec.ParseAttendAt(name) }

// LoadDeviceMap reads a map from a JSON file: an object whose values are strings
// or numbers.
func LoadDeviceMap(path string) (DeviceMap, error) { return devicemap.Load(path) }

// Open opens the model in a GGUF file. The caller closes the engine.
func Open(path string, o Options) (_ *Engine, err error) {
	e := &Engine{}
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
	library, err := ggml.Load()
	if err != nil {
		return nil, err
	}
	if e.placed, err = devicemap.Resolve(devicemap.Options{Device: o.Device, GPULayers: o.GPULayers, Map: o.DeviceMap}, knownDevices(library), model.LayerCount(e.file)); err != nil {
		return nil, err
	}
	running, err := o.running()
	if err != nil {
		return nil, err
	}
	load := func(on model.Devices) (model.Model, error) {
		loader := model.NewLoader(e.file, on)
		m, err := arch.Open(loader)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		e.notes = loader.Notes()
		return m, nil
	}
	if e.runner, err = exec.Open(library, e.placed, load, running); err != nil {
		return nil, err
	}
	if e.tokenizer, err = tokenizer.Open(path); err != nil {
		return nil, err
	}
	return e, nil
}

// running returns the options of what runs the model's steps.
func (o Options) running() (exec.Options, error) {
	name := o.KVType
	if name == "" {
		name = "f16"
	}
	typ, err := kv.ParseType(name)
	if err != nil {
		return exec.Options{}, err
	}
	return exec.Options{
		Threads: o.Threads, Limit: o.Limit, Attention: o.Attention, AttendAt: o.Attend, HostLayers: o.HostLayers,
		DeviceMemory: o.DeviceMemory, KVMemory: o.KVMemory, Trace: o.Trace,
		Cache: kv.Options{
			Policy: o.Cache, TypeK: typ, TypeV: typ,
			Cells: o.Context, Trees: o.Sequences, ResidentLayers: o.ResidentLayers, Slots: o.Slots,
			Tier: host.New, ForcedCopies: o.ForcedCopies, Link: o.Link,
			ChunkTokens: o.ChunkTokens, StepTokens: o.StepTokens, Trace: o.Trace,
		},
	}, nil
}

// knownDevices returns the devices that a map may name.
func knownDevices(l *ggml.Library) (known []devicemap.Device) {
	for _, d := range l.Devices() {
		t := d.Type()
		known = append(known, devicemap.Device{Name: d.Name(), GPU: t == ggml.GPU || t == ggml.IGPU})
	}
	return known
}

// Config returns the model's shape.
func (e *Engine) Config() model.Config { return e.runner.Config() }

// Context returns how many tokens a sequence may hold.
func (e *Engine) Context() int { return e.runner.Context() }

// Notes returns decisions that the user did not ask for and should hear of.
func (e *Engine) Notes() []string { return slices.Concat(e.notes, e.runner.Notes()) }

// Tokenizer returns the model's tokenizer. It is the engine's.
func (e *Engine) Tokenizer() *tokenizer.Tokenizer { return e.tokenizer }

// Template returns the model's chat template.
func (e *Engine) Template() (*chat.Template, error) {
	source, err := e.file.String("tokenizer.chat_template")
	if errors.Is(err, gguf.ErrNoKey) {
		return nil, errors.New("ebb: the model has no chat template: give it a raw prompt")
	}
	if err != nil {
		return nil, fmt.Errorf("ebb: %w", err)
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
func (e *Engine) NewSeq() *kv.Seq { return e.runner.Pool().NewSeq() }

// Stats returns what has been used and moved so far.
func (e *Engine) Stats() Stats {
	s := Stats{Cache: e.runner.Pool().Stats()}
	for _, d := range e.runner.Stats() {
		s.Device, s.Counts = s.Device.Plus(d.Device), s.Counts.Plus(d.Counts)
		s.Devices = append(s.Devices, d)
	}
	return s
}

// Forward takes the tokens of a batch through the model and returns, for each
// work, the logits of as many last tokens as it asked for: [work][row][vocab].
// The sequences grow by their tokens. On an error, a cancelled context among
// them, they are as they were; [kv.ErrFull] says that tokens do not fit.
func (e *Engine) Forward(ctx context.Context, batch []kv.Work) ([][][]float32, error) {
	return e.runner.Forward(ctx, batch, nil)
}

// ForwardInto is Forward that writes over rows, the result of an earlier call,
// as far as that reaches, and returns them. A loop that passes on what it was
// returned leaves no logits to the garbage collector.
func (e *Engine) ForwardInto(ctx context.Context, batch []kv.Work, rows [][][]float32) ([][][]float32, error) {
	return e.runner.Forward(ctx, batch, rows)
}

// Close ends what runs, waits for it, and frees everything. The sequences are
// closed with it. It may be called twice.
func (e *Engine) Close() error {
	var errs []error
	e.closed.Do(func() {
		if e.runner != nil {
			errs = append(errs, e.runner.Close())
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
