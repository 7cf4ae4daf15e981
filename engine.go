package ebb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/devicemap"
	"github.com/seed4d217819/ebb/internal/exec"
	"github.com/seed4d217819/ebb/internal/memory"
	"github.com/seed4d217819/ebb/internal/threads"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/gemma3"
	"github.com/seed4d217819/ebb/model/gemma4"
	"github.com/seed4d217819/ebb/model/glm4"
	"github.com/seed4d217819/ebb/model/glm4moe"
	"github.com/seed4d217819/ebb/model/gptoss"
	"github.com/seed4d217819/ebb/model/granite"
	"github.com/seed4d217819/ebb/model/granitehybrid"
	"github.com/seed4d217819/ebb/model/lfm2"
	"github.com/seed4d217819/ebb/model/llama"
	"github.com/seed4d217819/ebb/model/mistral3"
	"github.com/seed4d217819/ebb/model/nemotronh"
	"github.com/seed4d217819/ebb/model/phi3"
	"github.com/seed4d217819/ebb/model/qwen2"
	"github.com/seed4d217819/ebb/model/qwen2moe"
	"github.com/seed4d217819/ebb/model/qwen3"
	"github.com/seed4d217819/ebb/model/qwen35"
	"github.com/seed4d217819/ebb/model/qwen35moe"
	"github.com/seed4d217819/ebb/model/qwen3moe"
	"github.com/seed4d217819/ebb/model/qwen3next"
	"github.com/seed4d217819/ebb/model/smollm3"
	"github.com/seed4d217819/ebb/tokenizer"
)

// architectures lists what [Open] can run. A new one is a line here.
func architectures() []model.Architecture {
	return []model.Architecture{
		llama.Architecture(), mistral3.Architecture(), smollm3.Architecture(), granite.Architecture(), phi3.Architecture(),
		qwen2.Architecture(), qwen3.Architecture(), qwen2moe.Architecture(), qwen3moe.Architecture(),
		qwen3next.Architecture(), qwen35.Architecture(), qwen35moe.Architecture(),
		gemma3.Architecture(), gemma4.Architecture(), gptoss.Architecture(), glm4.Architecture(), glm4moe.Architecture(),
		lfm2.Architecture(), granitehybrid.Architecture(), nemotronh.Architecture(),
	}
}

// Architectures returns the values of general.architecture that [Open] accepts.
func Architectures() (names []string) {
	for _, a := range architectures() {
		names = append(names, a.Names...)
	}
	return names
}

// ReadConfig reads from a file's header what the K/V of its model are, and the vocabulary. It needs
// neither weights nor a device. An architecture that [Open] does not accept is an error.
func ReadConfig(f *gguf.File) (model.Config, error) { return model.ReadConfig(f, architectures()) }

// ReadBlock reads from a file's header what the K/V of the block are that drafts tokens with
// [Options.MTP]. A file without one is an error.
func ReadBlock(f *gguf.File) (model.Layer, error) { return model.ReadBlock(f, architectures()) }

// Engine is an opened model. It may be used from many goroutines: sequences are independent, and
// one step computes at a time while others wait their turn.
type Engine struct {
	file      *gguf.File
	placed    devicemap.Assignment
	runner    *exec.Runner
	tokenizer *tokenizer.Tokenizer
	notes     []string // on the file
	drafts    int      // tokens that may be drafted at a time

	closed sync.Once
}

func init() {
	exec.OfEngine = func(engine any) *exec.Runner { return engine.(*Engine).runner }
	exec.SetISA = func(options any, set isa.ISA) { options.(*Options).isa = set }
}

// Stats are what an engine has used and moved.
type Stats struct {
	Cache   kv.Stats
	Device  ggml.Usage    // bytes by purpose, of all devices together
	Counts  ggml.Stats    // buffers allocated, graphs built and computed, on all devices
	Devices []DeviceStats // a CPU that only attends for another device is the last
	Draft   DraftStats    // of the block that drafts tokens; zero without Options.MTP
}

type (
	// DeviceStats are what one device has used.
	DeviceStats = exec.DeviceStats
	// DraftStats say how many tokens the model's own block has drafted, and how many of them were right.
	DraftStats = exec.DraftStats
	// ThreadStats say with how many threads a CPU has computed.
	ThreadStats = threads.Stats
	// DeviceMap says which device computes which part of a model: Hugging Face's device_map. Keys
	// are modules ("" for all, "model.layers.0-11", "lm_head"), values are devices; the key that
	// names fewer layers wins.
	DeviceMap = devicemap.Map
	// AttendAt says where attention over streamed layers is computed.
	AttendAt = exec.AttendAt
)

// The values of [AttendAt].
const (
	// AttendAtDevice has every streamed layer visit its device, so that every policy gives the same
	// bits.
	AttendAtDevice = exec.AttendAtDevice
	// AttendAtHost computes the attention of all streamed layers, or of as many as
	// Options.HostLayers says, on the host. The results are those of the CPU's kernels, so they are
	// the same within float error.
	AttendAtHost = exec.AttendAtHost
	// AttendAuto chooses the number of layers with which a step is shortest, by what is measured
	// when the engine opens.
	AttendAuto = exec.AttendAuto
)

// ParseAttendAt returns the value of a name: device, host or auto.
func ParseAttendAt(name string) (AttendAt, error) { return exec.ParseAttendAt(name) }

// LoadDeviceMap reads a map from a JSON file: an object whose values are names of devices, or
// numbers of GPUs.
func LoadDeviceMap(path string) (DeviceMap, error) { return devicemap.Load(path) }

// Open opens the model in a GGUF file. The caller closes the engine.
func Open(path string, o Options) (_ *Engine, err error) {
	e := &Engine{drafts: o.MTP}
	run, err := o.resolve()
	if err != nil {
		return nil, err
	}
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
	wanted := devicemap.Options{Device: o.Device, GPULayers: o.GPULayers, Map: o.DeviceMap}
	if e.placed, err = devicemap.Resolve(wanted, knownDevices(library, wanted), model.LayerCount(e.file)); err != nil {
		return nil, err
	}
	if e.placed, err = e.placeExperts(o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	load := func(on model.Devices) (model.Model, error) {
		loader := model.NewLoader(e.file, on)
		if o.MTP > 0 {
			loader.WithDrafting()
		}
		loader.WithProgress(o.Loading)
		m, err := arch.Open(loader)
		if err == nil && o.MTP > 0 {
			err = checkDrafts(m)
		}
		if _, named := errors.AsType[*gguf.FormatError](err); named { // with the file's name
			return nil, err
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		e.notes = append(e.notes, loader.Notes()...)
		return m, nil
	}
	if e.runner, err = exec.Open(library, e.placed, load, run); err != nil {
		return nil, err
	}
	if e.tokenizer, err = tokenizer.Open(path); err != nil {
		return nil, err
	}
	if tokens, rows := e.tokenizer.Size(), e.Config().Vocab; tokens != rows {
		return nil, fmt.Errorf("ebb: %s: the tokenizer has %d tokens and token_embd.weight has %d rows: want one for each token", path, tokens, rows)
	}
	e.file.DropArrays()
	memory.Trim()
	return e, nil
}

// checkDrafts reports a model whose block that drafts tokens was not loaded, and closes it.
func checkDrafts(m model.Model) error {
	if d, ok := m.(model.Drafter); ok && d.Block() != nil {
		return nil
	}
	err := fmt.Errorf("ebb: models of architecture %s do not draft tokens: leave out MTP (--mtp)", m.Config().Architecture)
	return errors.Join(err, m.Close())
}

// placeExperts has the CPU compute the experts that the options say.
func (e *Engine) placeExperts(o Options) (devicemap.Assignment, error) {
	whole, _ := model.ExpertBytes(e.file)
	has := make([]bool, len(whole))
	for l, bytes := range whole {
		has[l] = bytes > 0
	}
	placed, err := e.placed.WithCPUExperts(o.CPUExperts, has, o.ForcedCopies)
	if err == nil && o.CPUExperts > 0 && placed.Experts == nil {
		e.notes = append(e.notes, fmt.Sprintf("experts on the CPU (CPUExperts, --cpu-experts) change nothing: the CPU computes those layers already (%s)", placed))
	}
	return placed, err
}

// knownDevices returns the devices that Options may name. It asks for other devices than the CPU,
// which loads the drivers of GPUs, only if the options do.
func knownDevices(l *ggml.Library, o devicemap.Options) (known []devicemap.Device) {
	if o.OnlyCPU() {
		return []devicemap.Device{{Name: "cpu"}}
	}
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

// Notes returns decisions that the user did not ask for and should know of.
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

// Stats returns what has been used and moved so far. It may be called after Close.
func (e *Engine) Stats() Stats {
	s := Stats{Cache: e.runner.Pool().Stats(), Draft: e.runner.DraftStats()}
	for _, d := range e.runner.Stats() {
		s.Device, s.Counts = s.Device.Plus(d.Device), s.Counts.Plus(d.Counts)
		s.Devices = append(s.Devices, d)
	}
	return s
}

// HostMemory returns where the engine's buffers are in the memory of the process: those of the CPU,
// and those of other devices that the program can address.
func (e *Engine) HostMemory() []ggml.HostMemory { return e.runner.HostMemory() }

// Forward takes the tokens of a batch through the model and returns, for each work, the logits of
// as many last tokens as it asked for: [work][row][vocab]. The sequences grow by their tokens. On
// an error, a cancelled context among them, they are as they were; [kv.ErrFull] says that tokens do
// not fit.
func (e *Engine) Forward(ctx context.Context, batch []kv.Work) ([][][]float32, error) {
	return e.runner.Forward(ctx, batch, nil)
}

// ForwardInto is Forward that writes over rows, the result of an earlier call, as far as that
// reaches, and returns them. A loop that passes on what it was returned leaves no logits to the
// garbage collector.
func (e *Engine) ForwardInto(ctx context.Context, batch []kv.Work, rows [][][]float32) ([][][]float32, error) {
	return e.runner.Forward(ctx, batch, rows)
}

// Close stops the step that is running, waits for it, and frees everything. It closes the sequences
// too. It may be called twice.
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
