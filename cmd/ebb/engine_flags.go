package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/kv"
)

// engineFlags say which model is run, and how.
type engineFlags struct {
	model     string
	deviceMap string // a file
	options   ebb.Options
}

func (f *engineFlags) register(cmd *cobra.Command) {
	o, flags := &f.options, cmd.Flags()
	flags.StringVarP(&f.model, "model", "m", "", modelHelp)
	flags.StringVar(&o.Device, "device", "", "the `DEVICE` to compute on: cpu, vulkan0, … (default cpu)")
	flags.IntVar(&o.GPULayers, "gpu-layers", 0, "how many of the last layers the GPU computes (the first one, or the --device named); the CPU computes the others")
	flags.StringVar(&f.deviceMap, "device-map", "", "a JSON `FILE` that says which device computes what, as in {\"\": \"cpu\", \"model.layers.8-15\": \"vulkan0\"}")
	flags.IntVar(&o.Threads, "threads", 0, "CPU threads to compute with (default one a core, and fewer while other programs use the cores)")

	flags.Var(&parsed[kv.Policy]{&o.Cache, o.Cache.String(), "POLICY", kv.ParsePolicy}, "cache",
		"where K/V live: "+strings.Join(kv.PolicyNames(), ", "))
	flags.Var(&parsed[string]{&o.KVType, "f16", "TYPE", parseKVType}, "kv-type", "type of K/V: f32, f16, bf16, q8_0, q4_0")
	flags.IntVar(&o.Context, "context", 0, "tokens that prompt and answer may have together (default the model's, or what --kv-memory and --device-memory allow)")
	flags.Var(&parsed[int64]{&o.DeviceMemory, "", "SIZE", parseSize}, "device-memory", "device memory that all may take, weights and what a step needs and K/V, as in 8GiB, on each device but a CPU beside others (default no limit)")
	flags.Var(&parsed[int64]{&o.KVMemory, "", "SIZE", parseSize}, "kv-memory", "device memory that K/V may take, as in 512MiB, on each device but a CPU beside others (default no limit)")
	refuse(cmd, "memory", "the flag is now called --kv-memory (--device-memory bounds weights and steps too)")
	flags.IntVar(&o.ResidentLayers, "resident-layers", 0, "layers that stay on the device, of a cache that is offloaded (default as many as --kv-memory allows)")
	flags.IntVar(&o.Slots, "slots", kv.DefaultSlots, "layers that visit the device at a time, of a cache that is offloaded: those fetched while the logits are computed lie there too")
	flags.BoolVar(&o.ForcedCopies, "forced-copies", false, "copy layers on the CPU too, where they could be used in place")
	flags.Var(&parsed[float64]{&o.Link, "", "RATE", parseRate}, "link", "slow fetches down to this bandwidth, as in 2GB/s (default as fast as they go)")
	flags.Var(&parsed[attend.Kind]{&o.Attention, o.Attention.String(), "KIND", attend.ParseKind}, "attention", "how to compute attention: auto, kernel (ebb's own, on the CPU), flash, eager")

	flags.Var(&parsed[ebb.AttendAt]{&o.Attend, o.Attend.String(), "WHERE", ebb.ParseAttendAt}, "attend", "where attention over layers that are off the device is computed: device (they visit it), host (where they are), auto (as measured)")
	flags.IntVar(&o.HostLayers, "host-layers", 0, "with --attend host: to how many of the layers off the device the host attends (default all)")

	complete(cmd, "attend", "device", "host", "auto")
	complete(cmd, "cache", kv.PolicyNames()...)
	complete(cmd, "kv-type", "f32", "f16", "bf16", "q8_0", "q4_0")
	complete(cmd, "attention", "auto", "flash", "eager", "kernel")
	complete(cmd, "device", "cpu", "vulkan0")
	for flag, extension := range map[string]string{"model": "gguf", "device-map": "json"} {
		if err := cmd.MarkFlagFilename(flag, extension); err != nil {
			panic(err) // there is no such flag
		}
	}
}

func parseKVType(name string) (string, error) {
	_, err := kv.ParseType(name)
	return name, err
}

// check reports flags that make no sense, alone or together.
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
	if cmd.Flags().Changed("host-layers") && f.options.Attend != ebb.AttendAtHost {
		return misusef("--host-layers with --attend %v: want --attend host", f.options.Attend)
	}
	return f.checkDevices(cmd)
}

// checkDevices reports flags that contradict each other on where to compute.
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

// configure takes from the generation config what the flags leave open: the flags win, and cfg says so afterwards.
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
	if p := f.options.Cache; f.options.ResidentLayers > 0 && p != kv.Offloaded && p != kv.OffloadedStatic {
		return misusef("--resident-layers %d with --cache %v: all layers stay then; want --cache offloaded or offloaded_static",
			f.options.ResidentLayers, p)
	}
	return nil
}
