package ebb_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

// mixtures are models with experts, one of each architecture.
var mixtures = []string{"tiny-qwen3moe", "tiny-qwen2moe", "tiny-glm4moe", "tiny-mixtral", "tiny-gemma4-moe", "tiny-gptoss"}

// expertBytes returns the bytes of the experts of the last n layers of a model's file.
func expertBytes(t *testing.T, path string, n int) (bytes int64) {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	whole, _ := model.ExpertBytes(f)
	for _, b := range whole[len(whole)-min(n, len(whole)):] {
		bytes += b
	}
	return bytes
}

func TestExpertsOnTheCPUEqualHuggingFaceAndLeaveTheDeviceTheirBytes(t *testing.T) {
	for _, name := range mixtures {
		for _, n := range []int{1, 99} {
			if onGPU.short() && n == 1 && name != "tiny-qwen3moe" && name != "tiny-gptoss" {
				continue // the shaders of other experts take long to compile
			}
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				path := goldenPath(t, name)
				o := ebb.Options{Cache: kv.Offloaded, KVType: "f32", CPUExperts: n}
				if onGPU.short() {
					o.ChunkTokens = 2 // the fewest shaders
				}
				e := onGPU.open(t, path, o)
				for _, c := range golden[goldenLogits](t, "logits_"+name)[:2] {
					s, want := e.NewSeq(), onGPU.rows(c.Logits)
					if d := worst(t, forward(t, e, s, c.Prompt, len(want)), want); d > onGPU.toleranceOf(name) {
						t.Errorf("prompt of %d: logits differ by %g; want at most %g", len(c.Prompt), d, onGPU.toleranceOf(name))
					}
					closeSeq(t, s)
				}
				devices := e.Stats().Devices
				if len(devices) != 2 || devices[1].Name != "cpu" {
					t.Fatalf("devices %+v; want the GPU and the CPU", devices)
				}
				if got, want := devices[1].Device.Current[ggml.Weights], expertBytes(t, path, n); got != want {
					t.Errorf("%d bytes of weights on the CPU, want %d: those of the experts", got, want)
				}
			})
		}
	}
}

// Where the CPU plays a device, the experts of its layers are computed apart from them, with the same
// arithmetic: several trees, chunks, prompts in several steps and attention at the host among it.
func TestExpertsBesideTheirLayersGiveTheBitsOfThoseInThem(t *testing.T) {
	for _, name := range append([]string{"tiny-gemma4-moe"}, mixtures...) { // whose shaders take long to compile
		for _, test := range []struct {
			layers  int
			options ebb.Options
		}{
			{99, ebb.Options{Cache: kv.Static}},
			{1, ebb.Options{Cache: kv.Offloaded, ChunkTokens: 16, StepTokens: 40}},
			{99, ebb.Options{Cache: kv.Offloaded, Attend: ebb.AttendAtHost}},
		} {
			t.Run(fmt.Sprintf("%s/%v/%v", name, test.options.Cache, test.options.Attend), func(t *testing.T) {
				o := test.options
				run := func(o ebb.Options) (all [][]float32) {
					o.KVType, o.Context = "f32", 256
					e := cpuCopies.open(t, goldenPath(t, name), o)
					var batch []kv.Work
					for i := range 3 {
						s := e.NewSeq()
						defer closeSeq(t, s)
						batch = append(batch, kv.Work{Seq: s, Tokens: prompt(i, 20+10*i), Logits: 2})
					}
					for step := range 4 { // a prompt, two steps of one token after which memory is given back, and another
						rows, err := e.Forward(t.Context(), batch)
						if err != nil {
							t.Fatal(err)
						}
						for i, r := range rows {
							all = append(all, r...)
							batch[i].Tokens, batch[i].Logits = prompt(i+step, 1), 1
						}
					}
					return all
				}
				o.CPUExperts = 0
				want := run(o)
				o.CPUExperts = test.layers
				for i, row := range run(o) {
					if !slices.Equal(row, want[i]) {
						t.Fatalf("row %d of logits differs", i)
					}
				}
			})
		}
	}
}

func TestExpertsThatNoOtherDeviceComputesAreSaidToStay(t *testing.T) {
	e := cpuInPlace.open(t, modelPath("tiny-qwen3moe"), ebb.Options{CPUExperts: 2})
	if notes := e.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "change nothing") {
		t.Errorf("notes %q; want one that says that the CPU computes all anyway", notes)
	}
}

func TestExpertsOnTheCPUThatMakeNoSenseAreErrors(t *testing.T) {
	for _, test := range []struct {
		model string
		n     int
		want  string
	}{
		{"tiny-gqa", 1, "the model has none"},
		{"tiny-qwen3moe", -1, "CPUExperts is -1 layers: want at least 0"},
	} {
		e, err := ebb.Open(modelPath(test.model), ebb.Options{CPUExperts: test.n})
		if err == nil {
			err = e.Close()
			t.Errorf("%s with the experts of %d layers on the CPU: opened", test.model, test.n)
		}
		if err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s with the experts of %d layers on the CPU: %v; want %q", test.model, test.n, err, test.want)
		}
	}
}
