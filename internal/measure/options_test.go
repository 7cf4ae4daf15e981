package measure

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/kv"
)

func TestValidateReportsEveryFault(t *testing.T) {
	err := Options{
		Workloads: []string{"decode", "sleep", "disk"}, Threads: []int{2, 0}, KVTypes: []string{"f16", "f12"}, Context: -1,
		Depths: []int{0, -2}, Prompts: []int{0}, PromptDepths: []int{-3}, DiskDepth: -4, Ratios: []float64{1, 0, math.NaN()},
		Pace: Pace{Steps: -3},
	}.Validate(Workloads())
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{
		"no model", `"sleep": want some of roofline, decode, prefill, link, slots, disk`, "disk needs a disk", "threads 0", `K/V type "f12"`, "context -1",
		"depth -2", "prompt 0", "prompt depth -3", "disk depth -4", "ratio 0", "ratio NaN", "steps -3",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in: %v", part, err)
		}
	}
	if err := (Options{Model: "m"}).Validate(Workloads()); err != nil {
		t.Errorf("the zero value with a model: %v", err)
	}
}

func TestAWorkloadWithModelsOfItsOwnRunsWhereItIsNamedAndNeedsNoModel(t *testing.T) {
	all := []Workload{{Name: "usual"}, {Name: "own", Own: true}}
	for _, tt := range []struct {
		model   string
		named   []string
		chosen  []string
		refused bool
	}{
		{model: "m", chosen: []string{"usual"}},
		{refused: true, chosen: []string{"usual"}},
		{named: []string{"own"}, chosen: []string{"own"}},
		{named: []string{"own", "usual"}, chosen: []string{"usual", "own"}, refused: true},
	} {
		o := Options{Model: tt.model, Workloads: tt.named}
		chosen, _ := o.choose(all)
		if diff := cmp.Diff(Names(chosen), tt.chosen); diff != "" {
			t.Errorf("%+v: workloads that run (-got +want):\n%s", tt, diff)
		}
		if err := o.Validate(all); (err != nil) != tt.refused {
			t.Errorf("%+v: error %v", tt, err)
		}
	}
}

func TestDefaultsAreWhatTheContextHolds(t *testing.T) {
	for _, tt := range []struct {
		name    string
		context int
		given   Options
		want    Options
	}{
		{
			name: "a large one", context: 8192,
			want: Options{
				Context: 8192, Depths: []int{0, 512, 2048, 4096, 8000}, Prompts: []int{128, 512, 2048}, PromptDepths: []int{0, 4096}, LinkDepth: 1024, DiskDepth: 8000,
			},
		},
		{
			name: "a small one", context: 512,
			want: Options{Context: 512, Depths: []int{0}, Prompts: []int{128, 512}, PromptDepths: []int{0}, LinkDepth: 256, DiskDepth: 256},
		},
		{
			name: "what is given stays", context: 512,
			given: Options{Context: 1024, Depths: []int{700}, Prompts: []int{9}},
			want:  Options{Context: 1024, Depths: []int{700}, Prompts: []int{9}, PromptDepths: []int{0}, LinkDepth: 512, DiskDepth: 512},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := Model{Context: tt.context}
			got := tt.given.withDefaults(m)
			only := Options{Context: got.Context, Depths: got.Depths, Prompts: got.Prompts, PromptDepths: got.PromptDepths, LinkDepth: got.LinkDepth, DiskDepth: got.DiskDepth}
			if diff := cmp.Diff(only, tt.want, cmp.AllowUnexported(Options{})); diff != "" {
				t.Errorf("(-got +want):\n%s", diff)
			}
			if err := got.fit(m, Workloads()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDepthsBeyondTheContextAreRefused(t *testing.T) {
	m := Model{Context: 512}
	o := Options{Depths: []int{0, 500}, Prompts: []int{20}, PromptDepths: []int{0, 510}, LinkDepth: 600}.withDefaults(m)
	err := o.fit(m, Workloads())
	if !errors.Is(err, ErrContext) {
		t.Fatalf("error %v: want %v", err, ErrContext)
	}
	for _, part := range []string{"decode at depth 500 with 19 tokens, and the context is 512", "prefill at depth 510 with 20 tokens", "link at depth 600"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in: %v", part, err)
		}
	}
	onlyDecode := Workloads()[1:2]
	if err := o.fit(m, onlyDecode); err == nil || strings.Contains(err.Error(), "link") || strings.Contains(err.Error(), "prefill") {
		t.Errorf("error %v: want one of the workload that is chosen", err)
	}
	o.Context = 519
	if err := o.fit(m, onlyDecode); err != nil {
		t.Errorf("error %v with a context that was asked for", err)
	}
}

func TestEveryTypeIsMeasuredWithEveryNumberOfThreads(t *testing.T) {
	got := Options{Threads: []int{1, 2}, KVTypes: []string{"f16", "q8_0"}}.Settings()
	want := []Setting{{1, "f16"}, {1, "q8_0"}, {2, "f16"}, {2, "q8_0"}}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

func TestOnlyTheCPUIsTheCPU(t *testing.T) {
	for _, tt := range []struct {
		o    Options
		want bool
	}{
		{Options{}, true},
		{Options{Device: "CPU"}, true},
		{Options{Device: "vulkan0"}, false},
		{Options{GPULayers: 2, Policies: []kv.Policy{kv.Static}}, false},
	} {
		if got := tt.o.OnCPU(); got != tt.want {
			t.Errorf("device %q, %d layers on a GPU: on the CPU %t, want %t", tt.o.Device, tt.o.GPULayers, got, tt.want)
		}
	}
}
