package ebb

import (
	"errors"
	"fmt"
	"os"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/internal/exec"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/trace"
)

// Options say how a model is run. The zero value runs it on the CPU with the whole cache there.
type Options struct {
	Device    string    // a name of [ggml.Library.Devices]; "": cpu
	GPULayers int       // how many of the last layers a GPU computes, while the CPU computes the others; 0: Device computes all
	DeviceMap DeviceMap // which device computes what, instead of the two above; nil: they decide
	// CPUExperts is of how many of the last layers the CPU computes the experts, whose weights then stay
	// in host memory, while everything else of the layer is on its device; more than there are: of all;
	// 0: of none. The results are those of the CPU's kernels, so they are the same within float error.
	CPUExperts int

	// MTP is how many tokens a GenerationConfig may have drafted at a time by the model's own block for
	// multi-token prediction; 0: none, and the block is not loaded. Its K/V, one layer more, count
	// towards DeviceMemory and KVMemory, and so does a state of each recurrent layer for each of these
	// tokens. A file without such a block is an error.
	MTP int

	// Threads of the CPU; 0: one a core, and fewer while other programs use the cores. Their number
	// changes last bits where ggml's kernels compute, and none where ebb's own do.
	Threads int

	// NoPack leaves the weights that the CPU computes with where their file is mapped, so that the system
	// may drop and read them again: for models that memory has no room for. By default they are copied
	// into the order in which the CPU computes fastest, which is private memory as large as in the file,
	// and the file's pages are given back. Where the free memory has no room for these copies, the engine
	// does as with NoPack, and Notes says so.
	NoPack bool

	Cache          kv.Policy  // where K/V live; the zero value is [kv.Auto]
	KVType         string     // f32, f16, bf16, q8_0 or q4_0; "": f16
	Context        int        // tokens a sequence may hold; 0: what the model was made for, or less if DeviceMemory or KVMemory is too small
	DeviceMemory   int64      // bytes that weights, steps, K/V and states together may take, per device, unlimited for a CPU used beside a GPU; 0: no limit
	KVMemory       int64      // bytes that K/V and the states of recurrent layers may take, per device, unlimited for a CPU used beside a GPU; 0: no limit
	Sequences      int        // how many sequences share KVMemory; 0: 1
	ResidentLayers int        // layers that never leave their device while others do; 0: as many as memory allows
	Slots          int        // streamed layers that a device holds at a time; 0: 2
	HostMemory     int64      // with Disk: bytes of host memory that rows of streamed layers may take; 0: none
	Disk           string     // a folder for the rows that HostMemory has no room for; "": all are in host memory
	DiskBytes      int64      // bytes that they may take there; 0: what the file system has
	Tier           tier.Maker // makes the tier that holds the rows of a sequence's streamed layers, instead of the three above; nil: they decide
	WindowRows     int        // rows behind the windows of layers that are kept, in whole blocks and at least, so that sequences can be truncated and forked there; 0: all, under auto without a disk as many as half of the free host memory has room for; [NoWindowRows]: none
	SnapshotEvery  int        // tokens of a sequence after which a snapshot of the states of recurrent layers is kept, besides those at the ends of prompts and those that [kv.Seq.SnapshotAt] asks for; 0: 4096; [NoSnapshots]: no others
	SnapshotBytes  int64      // bytes that all snapshots may take together; 0: an eighth of the host memory that is free, and at least four snapshots of each sequence; [NoSnapshots]: none are kept
	Attend         AttendAt   // where attention over streamed layers is computed in steps of few tokens
	HostLayers     int        // with AttendAtHost: for how many of the streamed layers the host computes attention; 0: all
	ForcedCopies   bool       // copy rows on the CPU too, where they could be used in place
	Link           float64    // bytes a second that fetches are slowed down to; 0: not at all

	ChunkTokens int         // tokens that one graph computes at most; 0: 512
	StepTokens  int         // tokens that one step takes at most; 0: 4096
	Attention   attend.Kind // how attention is computed

	// Loading receives, while the engine opens, how many bytes of the weights are ready, of how many. It
	// is called from several goroutines, one at a time. nil: nobody hears of it.
	Loading func(done, total int64)

	Trace  trace.Func   // receives what happens when; nil: nothing is timed
	Notify func(string) // receives a line when K/V of layers leave the device under [kv.Auto], tokens are computed again whose K/V or states were not kept, or a snapshot cannot be kept, between steps; it must not use the engine. nil: nobody hears of it

	limit int64   // bytes that may be allocated on each device in all; 0: what it has. Tests of running out set it.
	isa   isa.ISA // of the kernels on the CPU; Best: the one that EBB_ISA names. Benchmarks set it.
}

// NoSnapshots says in [Options.SnapshotEvery] and [Options.SnapshotBytes] that no snapshots are kept.
const NoSnapshots = kv.NoSnapshots

// NoWindowRows says in [Options.WindowRows] that no rows behind windows are kept.
const NoWindowRows = kv.NoWindowRows

// validate reports every number that no engine can be opened with.
func (o Options) validate() error {
	var errs []error
	for _, n := range []struct {
		name  string
		value int64
		unit  string
	}{
		{"Threads", int64(o.Threads), "threads"},
		{"MTP", int64(o.MTP), "tokens"},
		{"CPUExperts", int64(o.CPUExperts), "layers"},
		{"Context", int64(o.Context), "tokens"},
		{"DeviceMemory", o.DeviceMemory, "bytes"},
		{"KVMemory", o.KVMemory, "bytes"},
		{"HostMemory", o.HostMemory, "bytes"},
		{"DiskBytes", o.DiskBytes, "bytes"},
		{"Sequences", int64(o.Sequences), "sequences"},
		{"ResidentLayers", int64(o.ResidentLayers), "layers"},
		{"Slots", int64(o.Slots), "layers"},
		{"HostLayers", int64(o.HostLayers), "layers"},
		{"ChunkTokens", int64(o.ChunkTokens), "tokens"},
		{"StepTokens", int64(o.StepTokens), "tokens"},
	} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("%s is %d %s: want at least 0", n.name, n.value, n.unit))
		}
	}
	if o.WindowRows < NoWindowRows {
		errs = append(errs, fmt.Errorf("WindowRows is %d rows: want at least 0, or NoWindowRows", o.WindowRows))
	}
	if o.SnapshotEvery < NoSnapshots || o.SnapshotBytes < NoSnapshots {
		errs = append(errs, fmt.Errorf("SnapshotEvery is %d tokens and SnapshotBytes %d bytes: want at least 0, or NoSnapshots", o.SnapshotEvery, o.SnapshotBytes))
	}
	if !(o.Link >= 0) { // NaN too
		errs = append(errs, fmt.Errorf("the option Link is %g bytes a second: want at least 0", o.Link))
	}
	if _, err := kv.ParseType(o.KVType); err != nil {
		errs = append(errs, fmt.Errorf("KVType: %w", err))
	}
	if o.Cache == kv.Auto && o.Attend != AttendAtDevice {
		errs = append(errs, fmt.Errorf("attention at %v with the policy auto: its results are the same only within float error, and which layers leave the device shows only as the cache grows; want offloaded or offloaded_static", o.Attend))
	}
	errs = append(errs, o.validateTiers()...)
	if len(errs) > 0 {
		return fmt.Errorf("ebb: options: %w", errors.Join(errs...))
	}
	return nil
}

// withDefaults returns the options with the defaults that need no model. What depends on the model
// or on sizes (Context, the tokens of chunks and steps) is decided when the cache is made.
func (o Options) withDefaults() Options {
	if o.KVType == "" {
		o.KVType = "f16"
	}
	return o
}

// resolve validates the options and returns those of the runner.
func (o Options) resolve() (exec.Options, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return exec.Options{}, err
	}
	typ, err := kv.ParseType(o.KVType)
	if err != nil {
		return exec.Options{}, err
	}
	running := exec.Options{
		Threads: o.Threads, Limit: o.limit, Attention: o.Attention, ISA: o.isa, AttendAt: o.Attend, HostLayers: o.HostLayers,
		DeviceMemory: o.DeviceMemory, KVMemory: o.KVMemory, NoPack: o.NoPack, Trace: o.Trace,
		HostRoom:  func() (int64, bool) { return doctor.ReadRoom(os.DirFS("/")) },
		HostAlone: o.Disk == "" && o.Tier == nil,
		Cache: kv.Options{
			Policy: o.Cache, TypeK: typ, TypeV: typ,
			Cells: o.Context, Trees: o.Sequences, ResidentLayers: o.ResidentLayers, Slots: o.Slots, Drafts: o.MTP,
			ForcedCopies: o.ForcedCopies, Link: o.Link, WindowRows: o.WindowRows,
			SnapshotEvery: o.SnapshotEvery, SnapshotBytes: o.SnapshotBytes,
			ChunkTokens: o.ChunkTokens, StepTokens: o.StepTokens, Trace: o.Trace, Notify: o.Notify,
		},
	}
	return running, o.openTiers(&running.Cache)
}
