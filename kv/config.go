package kv

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/trace"
)

// Block is the number of cells by which caches are sized: see [plan.Block].
const Block = plan.Block

// Defaults of [Options].
const (
	DefaultSlots         = plan.DefaultSlots
	DefaultChunkTokens   = plan.DefaultChunkTokens
	DefaultStepTokens    = plan.DefaultStepTokens
	DefaultSnapshotEvery = DefaultStepTokens // so that a long prompt is computed in the same steps
	DefaultHostTokens    = 16                // beams and drafts; the device computes more of them faster
)

// Options are what the user of a cache asks for. Layers and Cells have no default.
type Options struct {
	Policy Policy
	Layers []Shape // of the model, in order
	TypeK  ggml.Type
	TypeV  ggml.Type
	Cells  int // tokens that a sequence tree may hold; memory is taken in whole blocks

	// On is, by layer, the number of the device that computes it among those given to NewPool. nil:
	// the first computes all.
	On []int

	// Memory is how many bytes K/V and states may take together on each device, by its number. 0 is no
	// bound, and so is nil.
	Memory []int64
	// ResidentLayers is how many layers stay on their device under a policy that streams. 0: as
	// many as Memory allows, and none without Memory. Under Auto it is how many never leave.
	ResidentLayers int
	// Slots is how many layers visit a device at a time. 0: 2.
	Slots int
	// Trees is the number of sequence trees between which Memory is divided. 0: 1.
	Trees int

	// Drafts is how many tokens are drafted at a time for a sequence: there is room planned for the states
	// of recurrent layers after each of them.
	Drafts int

	// Tier makes the tier that holds a tree's streamed rows, and those that leave the windows of
	// layers. It is needed where layers have windows shorter than the context, and where rows are
	// copied: under a policy that streams, on a device other than the CPU or with ForcedCopies.
	Tier tier.Maker
	// TierBytes is how many bytes those tiers can hold together, which [Pool.Fits] goes by. 0: it is not
	// known.
	TierBytes int64
	// WindowRows is how many rows behind the window are kept of a layer that has one, in whole blocks
	// and at least; 0: all, and NoWindowRows: none. What a sequence needs of the others is a [GoneError].
	WindowRows int
	// SnapshotEvery is after how many tokens of a sequence a snapshot of the states of its recurrent
	// layers is taken, to which it can be truncated. 0: 4096; NoSnapshots: only those are that
	// [Seq.SnapshotAt] asks for. Snapshots are in tiers that Tier makes; without it none are kept.
	SnapshotEvery int
	// SnapshotBytes is how many bytes the snapshots of all sequences may take together. 0: there is no
	// bound; NoSnapshots: none are kept.
	SnapshotBytes int64
	// SlotAlign is the alignment in bytes of rows in slots that are memory of the host, so that a
	// tier can read straight into them. 0: none.
	SlotAlign int64
	// ForcedCopies copies rows on a CPU device too, where they could be used in place.
	ForcedCopies bool
	// HostAttention is, by layer, whether attention may be computed on the host. A streamed layer
	// that is so marked has its rows in plain host memory, and visits its device only in steps that
	// HostTokens and HostDepth exclude. nil: no layer.
	HostAttention []bool
	// HostTokens is how many tokens a step may have at most for its attention to be computed on the
	// host. 0: 16.
	HostTokens int
	// HostDepth is how many cells a tree of the step must hold for its attention to be computed on
	// the host.
	HostDepth int
	// Link is the bandwidth that fetches are slowed down to, in bytes a second. 0: they are not.
	Link float64

	// ChunkTokens is how many tokens one graph computes at most. 0: 512.
	ChunkTokens int
	// StepTokens is how many tokens one step takes at most. 0: 4096.
	StepTokens int

	// Trace receives a span for each fetch and store, and for each time that the computation waits
	// for one. nil: nothing is timed.
	Trace trace.Func

	// Room says how many bytes more may be taken now on a device, by its number, or in host memory
	// (HostMemory), and whether that is known. If there are at least enough, it need not say how many
	// more. It is asked under Auto, when sequences need more memory than they have. nil: nothing is
	// known but Memory, and what allocations refuse.
	Room func(device int, enough int64) (bytes int64, known bool)
	// Notify receives a line when layers leave their device under Auto, when the tokens of a GoneError are
	// computed again, and when a snapshot is not kept or cannot be read. It is called between steps; until
	// it returns none begins, so it must not begin one. nil: nobody hears of it.
	Notify func(string)
}

// NoSnapshots says in [Options.SnapshotEvery] and [Options.SnapshotBytes] that no snapshots are taken.
const NoSnapshots = -1

// NoWindowRows says in [Options.WindowRows] that no rows behind windows are kept.
const NoWindowRows = -1

// HostMemory is the number by which [Options.Room] knows the memory of the host.
const HostMemory = -1

// Plan returns the cache on some devices as package plan sees it. It takes options that [NewPool]
// would refuse, too.
func (o Options) Plan(devices ...*ggml.Backend) plan.Cache {
	c := plan.Cache{
		Layers: make([]plan.Layer, len(o.Layers)), Cells: o.Cells, Trees: o.Trees, Slots: o.Slots,
		Streams: o.Policy.streams(), IfNeeded: o.Policy.adapts(), Resident: o.ResidentLayers, Memory: o.Memory,
		ChunkTokens: o.ChunkTokens, StepTokens: o.StepTokens, Drafts: o.Drafts,
	}
	if o.StepTokens > 0 {
		c.ChunkTokens = min(orDefault(o.ChunkTokens, DefaultChunkTokens), o.StepTokens)
	}
	for _, b := range devices { // what would be used in place gains nothing by leaving
		c.StatesStay = append(c.StatesStay, !o.copies(b))
	}
	if c.IfNeeded {
		c.Stay = c.StatesStay
	}
	for l, s := range o.Layers {
		c.Layers[l] = plan.Layer{Device: o.deviceOf(l), Window: s.Window, Shares: s.Shares, Of: s.Of}
		if !s.Shares {
			c.Layers[l].RowBytes = s.Bytes(o.TypeK, o.TypeV)
		}
		c.Layers[l].StateBytes, c.Layers[l].NoRows = s.StateBytes(), !s.attends()
	}
	return c
}

// copies reports whether layers that stream are copied to a device, and not used in place.
func (o Options) copies(b *ggml.Backend) bool {
	return o.ForcedCopies || b.Device().Type() != ggml.CPU
}

func (o Options) deviceOf(layer int) int {
	if o.On == nil {
		return 0
	}
	return o.On[layer]
}

// validate reports every fault of the options for a cache on a number of devices.
func (o Options) validate(devices int) error {
	var errs []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("kv: "+format, args...))
		}
	}
	fault(o.Policy < 0 || int(o.Policy) >= len(policyNames), "unknown cache policy %d", int(o.Policy))
	fault(len(o.Layers) == 0, "a cache needs at least one layer")
	fault(devices == 0, "a cache needs at least one device")
	fault(o.On != nil && len(o.On) != len(o.Layers), "devices are given for %d layers: the model has %d", len(o.On), len(o.Layers))
	for l, d := range o.On {
		fault(d < 0 || d >= devices, "layer %d is on device %d: there are %d, from 0", l, d, devices)
	}
	fault(o.HostAttention != nil && len(o.HostAttention) != len(o.Layers), "attention on the host is given for %d layers: the model has %d", len(o.HostAttention), len(o.Layers))
	fault(o.HostAttention != nil && o.Policy.adapts(), "attention on the host under the policy %v: its results are the same only within float error, and layers may leave their device at any step", o.Policy)
	fault(o.Memory != nil && len(o.Memory) != devices, "memory is given for %d devices: there are %d", len(o.Memory), devices)
	fault(o.Cells < 1 || o.Cells > math.MaxInt32/2, "context of %d tokens: want 1 to %d", o.Cells, math.MaxInt32/2)
	fault(o.ResidentLayers < 0 || o.ResidentLayers > len(o.Layers), "%d resident layers: the model has %d", o.ResidentLayers, len(o.Layers))
	fault(o.ResidentLayers > 0 && !o.Policy.streams(), "resident layers are chosen under the policies auto, offloaded and offloaded_static; %v keeps all of them", o.Policy)
	sizes := []int{o.Slots, o.Trees, o.HostTokens, o.HostDepth, o.Drafts, o.ChunkTokens, o.StepTokens}
	for _, n := range o.Memory {
		sizes = append(sizes, int(n))
	}
	fault(slices.Min(sizes) < 0, "sizes must not be negative")
	fault(o.SlotAlign < 0 || o.SlotAlign&(o.SlotAlign-1) != 0, "slots aligned to %d bytes: want a power of two", o.SlotAlign)
	fault(o.WindowRows < NoWindowRows, "%d rows behind windows: want at least 0", o.WindowRows)
	fault(o.SnapshotEvery < NoSnapshots, "snapshots every %d tokens: want at least 1", o.SnapshotEvery)
	fault(o.SnapshotBytes < NoSnapshots, "%d bytes of snapshots: want at least 0", o.SnapshotBytes)
	fault(o.Link < 0 || math.IsNaN(o.Link) || math.IsInf(o.Link, 0), "link of %v bytes a second: want a positive rate", o.Link)
	for l, s := range o.Layers {
		if err := s.validate(o.TypeK, o.TypeV); err != nil {
			errs = append(errs, fmt.Errorf("kv: layer %d: %w", l, err))
			break // other layers mostly have the same fault
		}
		if err := o.validateShared(l, s); err != nil {
			errs = append(errs, err)
			break
		}
	}
	return errors.Join(errs...)
}

// validateShared reports a layer that cannot attend to the rows of the layer whose it shares.
func (o Options) validateShared(l int, s Shape) error {
	if !s.Shares {
		return nil
	}
	if s.Of < 0 || s.Of >= l || o.Layers[s.Of].Shares {
		return fmt.Errorf("kv: layer %d shares the K/V of layer %d: want an earlier layer that has its own", l, s.Of)
	}
	of := o.Layers[s.Of]
	if s.Shares, s.Of = false, of.Of; s != of {
		return fmt.Errorf("kv: layer %d shares K/V of another shape or window: %+v, and it is of %+v", l, of, s)
	}
	if o.On != nil && len(o.On) == len(o.Layers) && o.On[l] != o.On[o.Layers[l].Of] {
		first := len(o.Layers)
		for _, s := range o.Layers {
			if s.Shares {
				first = min(first, s.Of)
			}
		}
		return fmt.Errorf("kv: layer %d shares the K/V of layer %d, which another device computes: let one device compute the last %d layers", l, o.Layers[l].Of, len(o.Layers)-first)
	}
	return nil
}

// config is [Options] resolved for the devices of a pool: defaults and bounds have been applied.
type config struct {
	policy      Policy
	shapes      []Shape       // by layer
	layouts     []tier.Layout // by layer: of its rows
	keeps       []int         // the layers that keep rows
	typeK       ggml.Type
	typeV       ggml.Type
	capacity    int // tokens that a sequence tree may hold
	cells       int // the same in whole blocks
	devices     []deviceConfig
	windows     []window // for which trees have rings
	pastCells   int      // that the tiers of layers with rings have room for; 0: all
	onHost      []bool   // by layer: its attention may be computed on the host
	hostTokens  int      // of a step whose attention may
	hostDepth   int      // cells that a tree of that step holds at least
	chunkTokens int
	stepTokens  int

	snapshotEvery int   // tokens; 0: never
	snapshotBytes int64 // 0: no bound; below 0: none are kept

	trees      int // between which memory is shared out
	firstCells int // that a tree has room for at first, under the policy auto

	newTier      tier.Maker // nil: none is needed
	tierBytes    int64      // that tiers can hold; 0: not known
	slotAlign    int64
	forcedCopies bool
	link         float64 // bytes a second; 0: no bound
	trace        trace.Func
	room         func(device int, enough int64) (bytes int64, known bool)
	notify       func(string)
}

// deviceConfig is the part of a config that belongs to one device.
type deviceConfig struct {
	placement plan.Placement
	memory    int64 // that its K/V may take; 0: no bound
	least     int   // layers that stay whatever the memory
	slots     int   // layers that visit it at a time, if as many stream
}

// resolve returns the config of the options on a number of devices.
func (o Options) resolve(devices []*ggml.Backend) (config, error) {
	if err := o.validate(len(devices)); err != nil {
		return config{}, err
	}
	if o.Memory == nil {
		o.Memory = make([]int64, len(devices))
	}
	placements, err := o.Plan(devices...).Place()
	if err != nil {
		return config{}, noMemory("kv: %w", err)
	}
	unbound := o.Plan(devices...)
	if unbound.IfNeeded { // how many layers must leave shows as sequences grow
		unbound.Memory = nil
		if placements, err = unbound.Place(); err != nil {
			return config{}, err
		}
	}
	c := config{
		policy: o.Policy, shapes: o.Layers, layouts: make([]tier.Layout, len(o.Layers)), typeK: o.TypeK, typeV: o.TypeV,
		capacity: o.Cells, cells: plan.WholeBlocks(o.Cells),
		onHost: o.HostAttention, hostTokens: orDefault(o.HostTokens, DefaultHostTokens), hostDepth: o.HostDepth,
		newTier: o.Tier, tierBytes: o.TierBytes, slotAlign: max(o.SlotAlign, 1), forcedCopies: o.ForcedCopies, link: o.Link, trace: o.Trace,
		snapshotEvery: max(0, orDefault(o.SnapshotEvery, DefaultSnapshotEvery)), snapshotBytes: o.SnapshotBytes,
		trees: max(1, o.Trees), firstCells: firstCells, room: o.Room, notify: o.Notify,
	}
	for l, s := range o.Layers {
		c.layouts[l] = s.layout(o.TypeK, o.TypeV)
		if s.keepsRows() {
			c.keeps = append(c.keeps, l)
		}
	}
	for n, least := range unbound.LeastResident() {
		c.devices = append(c.devices, deviceConfig{placement: placements[n], memory: o.Memory[n], least: least, slots: orDefault(o.Slots, DefaultSlots)})
	}
	c.windows = o.windows(placements)
	c.pastCells = o.pastCells(c.windows)
	if len(c.windows) > 0 && o.Tier == nil {
		return config{}, errNoPast
	}
	if c.onHost == nil {
		c.onHost = make([]bool, len(o.Layers))
	}
	c.stepTokens = plan.StepTokens(o.StepTokens, o.Cells, o.Trees)
	c.chunkTokens = min(plan.ChunkTokens(o.ChunkTokens, o.Cells), c.stepTokens)
	return c, nil
}

// orDefault returns n, or a default for 0.
func orDefault(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}

// kind returns the kind of a step of some tokens, whose largest tree holds some cells.
func (c *config) kind(tokens, cells int) stepKind {
	if tokens > c.hostTokens || cells < c.hostDepth {
		return deviceStep
	}
	return hostStep
}
