// Package devicemap decides which device computes which layer of a model. It is pure: it is told
// which devices there are.
package devicemap

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/seed4d217819/ebb/internal/textfile"
)

// Map says which device computes which part of a model: Hugging Face's device_map. Keys are
// modules. Values are names of devices, or "0" for the first GPU, "1" for the second, and so on.
// Where several keys name a part, the one that names fewer parts wins:
//
//	""                   the whole model
//	model                everything but the scores of the next token
//	model.embed_tokens   the embedding
//	model.layers         all layers
//	model.layers.0-11    some layers
//	model.layers.7       one layer
//	model.norm, lm_head  the scores; they are on one device
//
// K/V are on the device of their layer.
type Map map[string]string

// Load reads a map from a JSON file in UTF-8, or in UTF-16 with a byte order mark: an object whose
// values are strings or numbers.
func Load(path string) (Map, error) {
	data, err := textfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("ebb: device map: %w", err)
	}
	var raw map[string]any
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("ebb: device map %s: %w: want an object such as {\"model\": \"cpu\", \"lm_head\": \"vulkan0\"}", path, err)
	}
	m := Map{}
	for key, value := range raw {
		switch v := value.(type) {
		case string:
			m[key] = v
		case float64:
			m[key] = strconv.FormatFloat(v, 'g', -1, 64)
		default:
			return nil, fmt.Errorf("ebb: device map %s: %q is %v: want a device's name or a GPU's number", path, key, value)
		}
	}
	return m, nil
}

// Assignment names the device of each part of a model.
type Assignment struct {
	Input  string   // computes the embedding
	Layers []string // by layer
	Output string   // computes the scores of the next token

	// Experts says of which layers the CPU computes the experts although another device computes the
	// layer; nil: of none.
	Experts []bool
}

// String says which layers are on which device, in ranges.
func (m Assignment) String() string {
	var parts []string
	for first, end := range ranges(m.Layers) {
		parts = append(parts, layers(first, end)+" on "+m.Layers[first])
	}
	for first, end := range ranges(m.Experts) {
		if m.Experts[first] {
			parts = append(parts, "experts of "+layers(first, end)+" on the CPU")
		}
	}
	return strings.Join(parts, ", ")
}

// ranges returns the ranges [first, end) of equal elements.
func ranges[E comparable](all []E) iter.Seq2[int, int] {
	return func(yield func(first, end int) bool) {
		for first := 0; first < len(all); {
			end := first + 1
			for end < len(all) && all[end] == all[first] {
				end++
			}
			if !yield(first, end) {
				return
			}
			first = end
		}
	}
}

// layers names the layers [first, end).
func layers(first, end int) string {
	if end-first == 1 {
		return fmt.Sprintf("layer %d", first)
	}
	return fmt.Sprintf("layers %d to %d", first, end-1)
}

// Device is a device that a map may name.
type Device struct {
	Name string
	GPU  bool
}

// Options are the ways to choose devices.
type Options struct {
	Device    string // a device's name; "": cpu
	GPULayers int    // how many of the last layers a GPU computes, and the CPU the others; 0: Device computes all
	Map       Map    // instead of the two above; nil: they decide
}

// OnlyCPU reports whether the options name no device but the CPU. Then no other device need be
// known.
func (o Options) OnlyCPU() bool {
	for _, name := range o.Map {
		if !strings.EqualFold(name, "cpu") {
			return false
		}
	}
	return o.GPULayers == 0 && (o.Device == "" || strings.EqualFold(o.Device, "cpu"))
}

// Resolve returns the devices that the options ask for, for a model with a number of layers.
func Resolve(o Options, known []Device, layers int) (Assignment, error) {
	name := o.Device
	if name == "" {
		name = "cpu"
	}
	switch {
	case o.Map != nil && (o.Device != "" || o.GPULayers != 0):
		return Assignment{}, errors.New("ebb: a device map places the whole model: leave out the device and the number of layers on the GPU")
	case o.Map != nil:
		return o.Map.resolve(known, layers)
	case o.GPULayers < 0:
		return Assignment{}, fmt.Errorf("ebb: %d layers on the GPU: want at least 0", o.GPULayers)
	case o.GPULayers == 0:
		return Assignment{Input: name, Layers: slices.Repeat([]string{name}, layers), Output: name}, nil
	}
	gpu := name
	if o.Device == "" {
		var err error
		if gpu, err = gpuName(known, 0); err != nil {
			return Assignment{}, fmt.Errorf("ebb: %d layers on the GPU: %w", o.GPULayers, err)
		}
	} else if strings.EqualFold(name, "cpu") {
		return Assignment{}, fmt.Errorf("ebb: %d layers on the GPU, and the device is cpu: name the GPU, or no device", o.GPULayers)
	}
	n := min(o.GPULayers, layers)
	m := Assignment{Input: "cpu", Layers: slices.Repeat([]string{"cpu"}, layers-n), Output: gpu}
	m.Layers = append(m.Layers, slices.Repeat([]string{gpu}, n)...)
	if n == layers {
		m.Input = gpu
	}
	return m, nil
}

// gpuName returns the name of the GPU with a number, counted from 0.
func gpuName(known []Device, number int) (string, error) {
	var gpus, all []string
	for _, d := range known {
		all = append(all, d.Name)
		if d.GPU {
			gpus = append(gpus, d.Name)
		}
	}
	switch {
	case len(gpus) == 0:
		return "", fmt.Errorf("there is no GPU, only %s; Mesa's software driver is one with GGML_VK_VISIBLE_DEVICES=0 in the environment", strings.Join(all, ", "))
	case number >= len(gpus):
		return "", fmt.Errorf("there is no GPU %d: the GPUs are %s, numbered from 0", number, strings.Join(gpus, ", "))
	}
	return gpus[number], nil
}

// mapKey is the set of parts that a key of a map names.
type mapKey struct {
	name      string
	all       bool // the whole model
	body      bool // everything but the scores
	embedding bool
	output    bool
	first, to int // layers [first, to)
}

// rank orders keys: one that names fewer parts has a greater rank.
func (k mapKey) rank(layers int) int {
	switch {
	case k.all:
		return 0
	case k.body:
		return 1
	default:
		return 2 + layers - (k.to - k.first)
	}
}

func (k mapKey) holds(layer int) bool {
	return k.all || k.body || k.first <= layer && layer < k.to
}

// parseKey reads a map's key.
func parseKey(name string, layers int) (mapKey, error) {
	k := mapKey{name: name}
	switch name {
	case "":
		k.all = true
	case "model":
		k.body = true
	case "model.embed_tokens":
		k.embedding = true
	case "model.norm", "lm_head":
		k.output = true
	case "model.layers":
		k.to = layers
	default:
		rest, ok := strings.CutPrefix(name, "model.layers.")
		first, last, isRange := strings.Cut(rest, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		switch {
		case !ok || err != nil || err2 != nil || from > to:
			return k, fmt.Errorf("unknown module %q: want model.embed_tokens, model.layers.N, model.layers.N-M, model.layers, model.norm, lm_head, model, or \"\" for all", name)
		case from < 0 || to >= layers:
			return k, fmt.Errorf("module %q: the model has the layers 0 to %d", name, layers-1)
		}
		k.first, k.to = from, to+1
	}
	return k, nil
}

// resolve finds the device of each part. It reports every fault of the map at once.
func (m Map) resolve(known []Device, layers int) (Assignment, error) {
	var errs []error
	var keys []mapKey
	names := map[string]string{} // of devices, by key
	for _, key := range slices.Sorted(maps.Keys(m)) {
		k, err := parseKey(key, layers)
		if err == nil {
			names[key], err = deviceName(known, m[key])
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		keys = append(keys, k)
	}
	// find returns the device of a part: that of the key that names the fewest parts.
	find := func(part string, holds func(mapKey) bool) string {
		best := -1
		for i, k := range keys {
			if !holds(k) {
				continue
			}
			if best >= 0 && k.rank(layers) == keys[best].rank(layers) && names[k.name] != names[keys[best].name] {
				errs = append(errs, fmt.Errorf("%s is on %s by %q and on %s by %q", part, names[keys[best].name], keys[best].name, names[k.name], k.name))
			}
			if best < 0 || k.rank(layers) > keys[best].rank(layers) {
				best = i
			}
		}
		if best < 0 {
			errs = append(errs, fmt.Errorf("%s is on no device: the key \"\" names every part that no other key names", part))
			return ""
		}
		return names[keys[best].name]
	}
	var out Assignment
	if len(errs) == 0 {
		out.Input = find("model.embed_tokens", func(k mapKey) bool { return k.all || k.body || k.embedding })
		for l := range layers {
			out.Layers = append(out.Layers, find(fmt.Sprintf("model.layers.%d", l), func(k mapKey) bool { return k.holds(l) }))
		}
		out.Output = find("lm_head", func(k mapKey) bool { return k.all || k.output })
	}
	if len(errs) > 0 {
		return Assignment{}, fmt.Errorf("ebb: device map: %w", errors.Join(errs...))
	}
	return out, nil
}

// deviceName returns the name of a device that is given by its name or by the number of a GPU.
func deviceName(known []Device, value string) (string, error) {
	if n, err := strconv.Atoi(value); err == nil && n >= 0 {
		return gpuName(known, n)
	}
	var all []string
	for _, d := range known {
		if strings.EqualFold(d.Name, value) {
			return d.Name, nil
		}
		all = append(all, d.Name)
	}
	return "", fmt.Errorf("no device %q: the devices are %s", value, strings.Join(all, ", "))
}
