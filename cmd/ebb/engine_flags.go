package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// engineFlags are the flags that say which model is run, and how.
type engineFlags struct {
	model     string
	deviceMap string // a file
	disk      diskPlace
	options   ebb.Options

	packed int64 // bytes of weights that the opened engine has in memory of their own; 0: most are in the file
}

func (f *engineFlags) register(cmd *cobra.Command) {
	group(cmd, groupDevices, func(flags *pflag.FlagSet) {
		flags.StringVarP(&f.model, "model", "m", "", modelHelp)
	})
	f.registerOptions(cmd)
}

// registerOptions registers the flags that say how a model is run.
func (f *engineFlags) registerOptions(cmd *cobra.Command) {
	o := &f.options
	group(cmd, groupDevices, func(flags *pflag.FlagSet) {
		flags.StringVar(&o.Device, "device", "", "Compute on this `DEVICE`: cpu, vulkan0, … (default cpu)")
		flags.IntVar(&o.GPULayers, "gpu-layers", 0, "Compute the last `N` layers on the GPU (the first one, or the --device named) and the others on the CPU.")
		registerCPUExperts(flags, &o.CPUExperts, "Compute the experts of the last `N` layers, or of all, on the CPU: their weights stay in host memory, and everything else of the layers is on the device. (default none)")
		flags.StringVar(&f.deviceMap, "device-map", "", "Read from a JSON `FILE` which device computes what, as in {\"\": \"cpu\", \"model.layers.8-15\": \"vulkan0\"}.")
		flags.IntVar(&o.Threads, "threads", 0, "Compute with `N` CPU threads. (default one a core, and fewer while other programs use the cores)")
	})
	group(cmd, groupMemory, func(flags *pflag.FlagSet) {
		flags.Var(&parsed[kv.Policy]{&o.Cache, o.Cache.String(), "POLICY", kv.ParsePolicy}, "cache",
			"Where the K/V cache is. auto keeps it on the device as long as it fits, and then moves one layer after the other to host memory. dynamic and static keep it on the device; offloaded and offloaded_static keep it in host memory, and one layer at a time visits the device. The static ones allocate all of it at the start.")
		flags.Var(&parsed[string]{&o.KVType, "f16", "TYPE", parseKVType}, "kv-type",
			"The type of K/V: "+strings.Join(kv.TypeNames(), ", ")+". q8_0 takes half of f16, and q4_0 about a quarter.")
		flags.IntVar(&o.Context, "context", 0, "How many `TOKENS` prompt and answer may have together. (default the model's, or fewer where the next two flags say so)")
		flags.Var(&parsed[int64]{&o.DeviceMemory, "", "SIZE", parseSize}, "device-memory", "How much memory weights, K/V, states and computing may take together on each device, as in 8GiB. It does not bound a CPU beside a GPU. (default no limit)")
		flags.Var(&parsed[int64]{&o.KVMemory, "", "SIZE", parseSize}, "kv-memory", "How much memory K/V, and the states of recurrent layers, may take there, as in 512MiB. (default no limit)")
		flags.BoolVar(&o.NoPack, "no-pack", false, "Leave the weights that the CPU computes with in the model's file, from which the system reads them as it has room: for models larger than the memory. It is slower. (default packed: they are copied into the order in which the CPU computes fastest, if the free memory has room for all of them)")
		flags.IntVar(&o.ResidentLayers, "resident-layers", 0, "Keep the K/V of `N` layers on the device although the cache is offloaded; with --cache auto, at least those. (default as many as fit)")
		flags.Var(&parsed[int]{&o.WindowRows, "all", "all|N", parseWindowRows}, "window-rows", "Of layers with a sliding window the device keeps the window. This is how many rows behind it stay in host memory or on the disk: all, or at least `N`, in whole blocks of 256. Rows that were not kept are computed again when a conversation goes back to them. With --cache auto and without --disk, rows behind windows take at most half of the host memory that is free.")
		registerSnapshots(flags, o)
		flags.Var(&parsed[ebb.AttendAt]{&o.Attend, o.Attend.String(), "WHERE", ebb.ParseAttendAt}, "attend", "Where attention over offloaded K/V is computed: device (K/V are copied there), host (they stay), auto (the faster one, as measured). The last two imply --cache offloaded.")
	})
	group(cmd, groupMemory, func(flags *pflag.FlagSet) {
		flags.Var(&parsed[diskPlace]{&f.disk, "", "DIR[:SIZE]", parseDisk}, "disk", "Keep K/V that host memory has no room for in files in this folder, SIZE at most, as in /var/tmp:64GiB. (default no files)")
		flags.Var(&parsed[int64]{&o.HostMemory, "", "SIZE", parseBudget}, "host-memory", "With --disk: how much host memory K/V may take off the device, or 0. (default half of what is free; none if the CPU computes and the cache is auto, because what the device has is host memory then)")
	})
	group(cmd, groupDebug, func(flags *pflag.FlagSet) {
		flags.Var(&parsed[attend.Kind]{&o.Attention, o.Attention.String(), "KIND", attend.ParseKind}, "attention", "How attention is computed: auto, kernel (ebb's own, on the CPU), tiles (as kernel, with prompts in AMX's tiles: faster, but the last bits depend on how a prompt is cut), flash, eager.")
		flags.IntVar(&o.HostLayers, "host-layers", 0, "With --attend host: of how many layers, `N`, attention is computed on the host. (default all that are offloaded)")
		flags.Var(&parsed[float64]{&o.Link, "", "RATE", parseRate}, "link", "Slow copies to the device down to this bandwidth, as in 2GB/s. (default as fast as they go)")
		flags.BoolVar(&o.ForcedCopies, "forced-copies", false, "Copy layers on the CPU too, where they could be used in place.")
		flags.IntVar(&o.Slots, "slots", kv.DefaultSlots, "For how many offloaded layers, `N`, there is room on the device at a time, those fetched ahead among them.")
	})
	refuse(cmd, "memory", "the flag is now called --kv-memory (--device-memory bounds weights and steps too)")

	complete(cmd, "attend", "device", "host", "auto")
	complete(cmd, "cache", kv.PolicyNames()...)
	complete(cmd, "window-rows", "all")
	complete(cmd, "kv-type", kv.TypeNames()...)
	complete(cmd, "attention", "auto", "kernel", "tiles", "flash", "eager")
	complete(cmd, "device", "cpu", "vulkan0")
	for flag, extension := range map[string]string{"model": "gguf", "device-map": "json"} {
		if err := cmd.MarkFlagFilename(flag, extension); err != nil {
			panic(err) // there is no such flag
		}
	}
}

// parseWindowRows parses the value of --window-rows.
func parseWindowRows(text string) (int, error) {
	if text == "all" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 0:
		return 0, errors.New("want all, or a number of rows from 0")
	case n == 0:
		return ebb.NoWindowRows, nil
	}
	return n, nil
}

func parseKVType(name string) (string, error) {
	_, err := kv.ParseType(name)
	return name, err
}

// check reports flags with impossible values, and flags that contradict each other.
func (f *engineFlags) check(cmd *cobra.Command) error {
	if f.model == "" {
		return misusef("say which model to run: -m FILE")
	}
	for _, n := range []struct {
		flag         string
		value, least int
	}{
		{"threads", f.options.Threads, 1},
		{"context", f.options.Context, 1},
		{"gpu-layers", f.options.GPULayers, 0},
		{"resident-layers", f.options.ResidentLayers, 0},
		{"slots", f.options.Slots, 1},
		{"host-layers", f.options.HostLayers, 1},
	} {
		if cmd.Flags().Changed(n.flag) && n.value < n.least {
			return misusef("--%s %d: want at least %d", n.flag, n.value, n.least)
		}
	}
	if f.options.Context > maxTokens {
		return misusef("--context %d: want 1 to %d", f.options.Context, int64(maxTokens))
	}
	if cmd.Flags().Changed("host-layers") && f.options.Attend != ebb.AttendAtHost {
		return misusef("--host-layers with --attend %v: want --attend host", f.options.Attend)
	}
	if cmd.Flags().Changed("host-memory") && f.disk.dir == "" {
		return misusef("--host-memory without --disk: K/V that do not fit into it have no place; add --disk DIR")
	}
	return f.checkDevices(cmd)
}

// checkDevices reports contradictions between the flags that choose devices.
func (f *engineFlags) checkDevices(cmd *cobra.Command) error {
	device, layers := cmd.Flags().Changed("device"), cmd.Flags().Changed("gpu-layers")
	switch {
	case f.deviceMap != "" && (device || layers):
		return misusef("--device-map says where all is computed: leave out --device and --gpu-layers")
	case layers && strings.EqualFold(f.options.Device, "cpu"):
		return misusef("--gpu-layers with --device cpu: name the GPU, or no device")
	case layers && device && f.options.GPULayers == 0:
		return misusef("--gpu-layers 0 leaves nothing to --device %s: leave one of them out", f.options.Device)
	}
	return nil
}

// configure applies what the generation config says about the cache, unless a flag says otherwise;
// cfg then agrees with the flags.
func (f *engineFlags) configure(cmd *cobra.Command, cfg *ebb.GenerationConfig) error {
	if cmd.Flags().Changed("cache") {
		cfg.CacheImplementation = ""
	}
	if cmd.Flags().Changed("context") {
		cfg.CacheConfig = nil
	}
	var err error
	if f.deviceMap != "" {
		if f.options.DeviceMap, err = ebb.LoadDeviceMap(f.deviceMap); err != nil {
			return err
		}
	}
	if f.options, err = f.options.Configure(*cfg); err != nil {
		return err
	}
	if f.options.Attend != ebb.AttendAtDevice && !cmd.Flags().Changed("cache") && cfg.Cache() == "" {
		f.options.Cache = kv.Offloaded
	}
	f.configureDisk(cmd)
	switch p := f.options.Cache; {
	case f.options.ResidentLayers > 0 && (p == kv.Dynamic || p == kv.Static):
		return misusef("--resident-layers %d with --cache %v: all layers stay then; want --cache auto, offloaded or offloaded_static",
			f.options.ResidentLayers, p)
	case f.disk.dir != "" && (p == kv.Dynamic || p == kv.Static):
		return misusef("--disk with --cache %v: all K/V stay on the device then; want --cache auto, offloaded or offloaded_static", p)
	case f.disk.dir != "" && f.options.Attend != ebb.AttendAtDevice:
		return misusef("--disk with --attend %v: K/V in files are copied to the device; want --attend device", f.options.Attend)
	case f.options.Attend != ebb.AttendAtDevice && p == kv.Auto:
		return misusef("--attend %v with --cache auto: which layers leave the device shows only as the cache grows; want --cache offloaded or offloaded_static", f.options.Attend)
	}
	return nil
}

// open opens the model in a file. Progress goes to w.
func (f *engineFlags) open(path string, w io.Writer) (*ebb.Engine, error) {
	bar := newLoadingBar(w)
	defer bar.clear()
	o := f.options
	o.Loading = bar.update
	engine, err := ebb.Open(path, o)
	if err != nil {
		return nil, err
	}
	weights := engine.Stats().Device
	if private := weights.Current[ggml.Weights] - weights.Mapped; private > weights.Mapped {
		f.packed = private
	}
	return engine, nil
}

// notes returns what the user should know about an engine that was opened with these flags.
func (f *engineFlags) notes(engine *ebb.Engine) []string {
	notes := slices.Clone(engine.Notes())
	if most := engine.Config().Context; f.options.Context > most {
		notes = append(notes, fmt.Sprintf("the context has %d tokens, and the model was made for %d: beyond those its text may get worse", f.options.Context, most))
	}
	return notes
}
