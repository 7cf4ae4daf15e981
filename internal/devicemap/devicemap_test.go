package devicemap

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// twoGPUs is a machine with a CPU and two GPUs, in ggml's order.
var twoGPUs = []Device{{"vulkan0", true}, {"vulkan1", true}, {"cpu", false}}

func TestLayersAreMappedToDevices(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options Options
		want    Assignment
	}{
		{"nothing is said", Options{}, Assignment{Input: "cpu", Layers: []string{"cpu", "cpu", "cpu"}, Output: "cpu"}},
		{"one device", Options{Device: "vulkan1"}, Assignment{Input: "vulkan1", Layers: []string{"vulkan1", "vulkan1", "vulkan1"}, Output: "vulkan1"}},
		{"the last layers", Options{GPULayers: 2}, Assignment{Input: "cpu", Layers: []string{"cpu", "vulkan0", "vulkan0"}, Output: "vulkan0"}},
		{"the last layers on a GPU by name", Options{GPULayers: 1, Device: "vulkan1"}, Assignment{Input: "cpu", Layers: []string{"cpu", "cpu", "vulkan1"}, Output: "vulkan1"}},
		{"more layers than there are", Options{GPULayers: 99}, Assignment{Input: "vulkan0", Layers: []string{"vulkan0", "vulkan0", "vulkan0"}, Output: "vulkan0"}},
		{"all by one key", Options{Map: Map{"": "CPU"}}, Assignment{Input: "cpu", Layers: []string{"cpu", "cpu", "cpu"}, Output: "cpu"}},
		{
			"a key that names less wins",
			Options{Map: Map{"": "cpu", "model.layers": "0", "model.layers.1-2": "1", "model.layers.2": "cpu"}},
			Assignment{Input: "cpu", Layers: []string{"vulkan0", "vulkan1", "cpu"}, Output: "cpu"},
		},
		{
			"as Hugging Face writes it",
			Options{Map: Map{"model.embed_tokens": "0", "model.layers.0": "0", "model.layers.1": "1", "model.layers.2": "1", "model.norm": "1", "lm_head": "1"}},
			Assignment{Input: "vulkan0", Layers: []string{"vulkan0", "vulkan1", "vulkan1"}, Output: "vulkan1"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Resolve(tt.options, twoGPUs, 3)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, tt.want, cmp.AllowUnexported(Assignment{})); diff != "" {
				t.Errorf("devices (-got +want):\n%s", diff)
			}
		})
	}
}

func TestInvalidDeviceChoicesAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options Options
		known   []Device
		want    []string
	}{
		{"no GPU", Options{GPULayers: 2}, twoGPUs[2:], []string{"2 layers on the GPU", "there is no GPU, only cpu"}},
		{"fewer than none", Options{GPULayers: -1}, twoGPUs, []string{"-1 layers", "at least 0"}},
		{"layers on a GPU that is the CPU", Options{GPULayers: 2, Device: "cpu"}, twoGPUs, []string{"the device is cpu"}},
		{"a map and more", Options{GPULayers: 2, Map: Map{"": "cpu"}}, twoGPUs, []string{"a device map places the whole model"}},
		{"an empty map", Options{Map: Map{}}, twoGPUs, []string{"model.embed_tokens is on no device", "model.layers.2 is on no device", "lm_head is on no device"}},
		{"a device that is not there", Options{Map: Map{"": "cuda0"}}, twoGPUs, []string{`no device "cuda0": the devices are vulkan0, vulkan1, cpu`}},
		{"a GPU that is not there", Options{Map: Map{"": "2"}}, twoGPUs, []string{"no GPU 2: the GPUs are vulkan0, vulkan1"}},
		{"an unknown module", Options{Map: Map{"": "cpu", "model.layer.1": "cpu"}}, twoGPUs, []string{`unknown module "model.layer.1"`}},
		{"a range backwards", Options{Map: Map{"": "cpu", "model.layers.2-1": "cpu"}}, twoGPUs, []string{`unknown module "model.layers.2-1"`}},
		{"a layer past the last", Options{Map: Map{"": "cpu", "model.layers.1-3": "cpu"}}, twoGPUs, []string{"the layers 0 to 2"}},
		{
			"two answers for a layer",
			Options{Map: Map{"": "cpu", "model.layers.0-1": "0", "model.layers.1-2": "1"}},
			twoGPUs,
			[]string{`model.layers.1 is on vulkan0 by "model.layers.0-1" and on vulkan1 by "model.layers.1-2"`},
		},
		{"two answers for the scores", Options{Map: Map{"model": "cpu", "model.norm": "0", "lm_head": "1"}}, twoGPUs, []string{"lm_head is on"}},
		{"every fault", Options{Map: Map{"x": "cpu", "": "y"}}, twoGPUs, []string{`"x"`, `"y"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Resolve(tt.options, tt.known, 3)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("no %q in: %v", part, err)
				}
			}
		})
	}
}

func TestDeviceMapFilesAreReadOrRefused(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Map
		err  string
	}{
		{text: `{"": 0, "model.layers.0-3": "cpu"}`, want: Map{"": "0", "model.layers.0-3": "cpu"}},
		{text: "\xEF\xBB\xBF{\"\": \"cpu\"}", want: Map{"": "cpu"}},
		{text: "\xFE\xFF\x00{\x00\"\x00\"\x00:\x000\x00}", want: Map{"": "0"}},
		{text: `{"": 1.5}`, want: Map{"": "1.5"}}, // no device has that name: resolving says so
		{text: `{"": ["cpu"]}`, err: "want a device's name or a GPU's number"},
		{text: `["cpu"]`, err: "want an object such as"},
		{text: ``, err: "want an object such as"},
	} {
		path := filepath.Join(t.TempDir(), "map.json")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want one with %q", tt.text, err, tt.err)
			}
			continue
		}
		if diff := cmp.Diff(got, tt.want); err != nil || diff != "" {
			t.Errorf("%s: %v; map (-got +want):\n%s", tt.text, err, diff)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.json")); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestMappedLayersAreNamedInRanges(t *testing.T) {
	m := Assignment{Layers: []string{"cpu", "cpu", "vulkan0", "cpu"}}
	if got, want := m.String(), "layers 0 to 1 on cpu, layer 2 on vulkan0, layer 3 on cpu"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestOptionsThatNameNoGPU(t *testing.T) {
	for _, tt := range []struct {
		o    Options
		want bool
	}{
		{Options{}, true},
		{Options{Device: "CPU"}, true},
		{Options{Map: Map{"": "cpu", "lm_head": "Cpu"}}, true},
		{Options{Device: "vulkan0"}, false},
		{Options{GPULayers: 1}, false},
		{Options{Map: Map{"": "cpu", "lm_head": "0"}}, false},
	} {
		if got := tt.o.OnlyCPU(); got != tt.want {
			t.Errorf("%+v: %t, want %t", tt.o, got, tt.want)
		}
	}
}

func TestTheExpertsOfTheLastLayersAreOnTheCPU(t *testing.T) {
	m := Assignment{Input: "cpu", Layers: []string{"cpu", "vulkan0", "vulkan0", "vulkan0"}, Output: "vulkan0"}
	has := []bool{false, true, true, true}
	for _, tt := range []struct {
		n      int
		has    []bool
		played bool
		want   []bool
		text   string
	}{
		{0, has, false, nil, "layer 0 on cpu, layers 1 to 3 on vulkan0"},
		{0, nil, false, nil, "layer 0 on cpu, layers 1 to 3 on vulkan0"},
		{2, has, false, []bool{false, false, true, true}, "layer 0 on cpu, layers 1 to 3 on vulkan0, experts of layers 2 to 3 on the CPU"},
		{99, has, false, []bool{false, true, true, true}, "layer 0 on cpu, layers 1 to 3 on vulkan0, experts of layers 1 to 3 on the CPU"},
		{99, []bool{true, false, true, false}, false, []bool{false, false, true, false}, "layer 0 on cpu, layers 1 to 3 on vulkan0, experts of layer 2 on the CPU"},
		{99, []bool{true}, false, nil, "layer 0 on cpu, layers 1 to 3 on vulkan0"}, // the CPU has them anyway
		{99, []bool{true}, true, []bool{true, false, false, false}, "layer 0 on cpu, layers 1 to 3 on vulkan0, experts of layer 0 on the CPU"},
	} {
		got, err := m.WithCPUExperts(tt.n, tt.has, tt.played)
		if err != nil || !slices.Equal(got.Experts, tt.want) || got.String() != tt.text {
			t.Errorf("the last %d of %v: %v, %v, want %v, %s", tt.n, tt.has, got, err, tt.want, tt.text)
		}
	}
	for n, want := range map[int]string{-1: "want at least 0", 1: "the model has none"} {
		if _, err := m.WithCPUExperts(n, make([]bool, 4), false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the last %d of no experts: %v, want %q", n, err, want)
		}
	}
}
