package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/plan"
)

// windowed returns the header of tiny-gemma3, whose layers 2 and 5 see the whole context and the other 5
// a window of 16, for contexts of some tokens.
func windowed(t *testing.T, context int) *gguf.File {
	t.Helper()
	data, err := os.ReadFile("../../testdata/models/tiny-gemma3.gguf")
	if err != nil {
		t.Fatal(err)
	}
	file, err := gguf.Parse(testmodel.Edit(t, data, []gguf.KV{{Key: "gemma3.context_length", Value: uint32(context)}}))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// A layer takes 256 bytes a token: 2 heads of 32 values in keys and in values.
func TestInspectSaysWhatGrowsWithTheContext(t *testing.T) {
	s := summarize(windowed(t, 32768))
	want := []layerKind{{"windowed", 5, 16, 2, 32, 32, 0}, {"full", 2, 0, 2, 32, 32, 0}}
	if diff := cmp.Diff(s.Kinds, want); diff != "" {
		t.Errorf("kinds (-got +want):\n%s", diff)
	}
	const ring = 768 // 16 - 1 + 512 cells
	f16 := s.KVBytes[1]
	if f16.Type != "f16" || f16.PerToken != 2*256 || f16.Fixed != 5*ring*256 || f16.Past != 5*256 {
		t.Errorf("%+v; want %d bytes a token, %d that do not grow, and %d a token behind the windows", f16, 2*256, 5*ring*256, 5*256)
	}
	var text bytes.Buffer
	printSummary(&text, s)
	for _, line := range []string{
		"attention      4 heads\n",
		"               5 layers with a window of 16 tokens: 2 KV heads, key dim 32, value dim 32\n",
		"               2 layers with the whole context: 2 KV heads, key dim 32, value dim 32\n",
		"               f16         512 B a token and  960.0 KiB that do not grow,   16.9 MiB for the whole context\n",
		"               and off the device, behind the windows: 1.2 KiB a token in f16, 40.0 MiB for the whole context; --window-rows keeps less\n",
	} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("inspect lacks %q in\n%s", line, text.String())
		}
	}
}

// A model may have windows in all layers, as Phi-3 mini.
func TestInspectSaysThatAllLayersHaveAWindow(t *testing.T) {
	file, err := gguf.Parse(testmodel.Golden(t, "tiny-phi3"))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	printSummary(&text, summarize(file))
	if want := "               1 layer with a window of 8 tokens: 1 KV head, key dim 32, value dim 32\n"; !strings.Contains(text.String(), want) {
		t.Errorf("inspect lacks %q in\n%s", want, text.String())
	}
}

func TestPlanSaysWhatIsBehindWindows(t *testing.T) {
	f := planFlags{model: "m.gguf", kvType: "f16", sequences: 2, beams: 1, machine: "rtx4080", deviceMemory: 140 << 20, hostMemory: 60 << 20, hostStated: true, disk: diskPlace{"/d", 1 << 30}}
	p, err := f.plan(t.Context(), windowed(t, 65536))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := p.print(&text); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"context      65536 tokens in each of 2 sequences, K/V in f16: 65.9 MiB\n",
		"             7 layers: 2 full, 5 with a window of 16; 512 B a token, and 960.0 KiB that do not grow with the context\n",
		"             160.0 MiB more behind the windows, off the device: steps do not read them\n",
		"  w windows     1.9 MiB  5 layers, whatever the context\n",
		"  R resident   64.0 MiB  2 of 2 layers\n",
		"layers                   wwRwwRw  R stays on the device, w keeps a window there\n",
		"  w windows    60.0 MiB  what is behind them: 5 layers of 24576 tokens\n",
		"  w windows   100.0 MiB  the rest of what is behind them\n",
	} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("plan lacks %q in\n%s", line, text.String())
		}
	}

	f.disk = diskPlace{}
	_, err = f.plan(t.Context(), windowed(t, 65536))
	want := "K/V off the device take 160.0 MiB for a context of 65536 tokens, 160.0 MiB of that behind the windows of layers, and host memory has room for 60.0 MiB; the least that works is --host-memory 160MiB, --disk DIR, --window-rows 23808, or --context 24576"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestPlanKeepsSomeRowsBehindWindows(t *testing.T) {
	f := planFlags{model: "m.gguf", kvType: "f16", sequences: 1, beams: 1, machine: "rtx4080", windowRows: 1000, context: 65536}
	p, err := f.plan(t.Context(), windowed(t, 65536))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := p.print(&text); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"             2.2 MiB more behind the windows, off the device: steps do not read them\n",
		"  w windows     2.2 MiB  what is behind them: 5 layers of the last 1792 tokens\n",
		"run it with  ebb run -m m.gguf --device DEVICE --context 65536 --window-rows 1000\n",
	} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("plan lacks %q in\n%s", line, text.String())
		}
	}
	f.windowRows = ebb.NoWindowRows
	if p, err = f.plan(t.Context(), windowed(t, 65536)); err != nil || !strings.HasSuffix(p.command(), " --window-rows 0") {
		t.Errorf("no rows: %s, %v", p.command(), err)
	}
}

// More host memory than a machine has is no advice.
func TestPlanAdvisesOnlyWhatTheMachineHas(t *testing.T) {
	f := planFlags{model: "m.gguf", kvType: "f16", sequences: 1, beams: 1, machine: "rtx4080", context: 24_000_000}
	_, err := f.plan(t.Context(), windowed(t, 65536))
	if err == nil || !strings.Contains(err.Error(), "host memory has room for 28.0 GiB; the least that works is --disk DIR, --window-rows 2") {
		t.Errorf("got  %v", err)
	}
}

func TestPlanSaysWhatWindowsNeed(t *testing.T) {
	f := planFlags{model: "m.gguf", kvType: "f16", sequences: 2, beams: 1, machine: "rtx4080", deviceMemory: 60 << 20}
	_, err := f.plan(t.Context(), windowed(t, 65536))
	want := "K/V at least 33.9 MiB, 1.9 MiB of that for windows, which stay there; the least that works is --device-memory "
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestKindsOfLayersAreDescribed(t *testing.T) {
	full, small := model.Layer{KVHeads: 1, KeyDim: 512, ValueDim: 512}, model.Layer{KVHeads: 4, KeyDim: 256, ValueDim: 256, Window: 512}
	layers := []model.Layer{small, full, small, {SharesKV: true, KVOf: 1}}
	var lines []string
	for _, k := range kindsOf(layers) {
		lines = append(lines, k.String())
	}
	if diff := cmp.Diff(lines, []string{
		"2 layers with a window of 512 tokens: 4 KV heads, key dim 256, value dim 256",
		"1 layer with the whole context: 1 KV head, key dim 512, value dim 512",
		"1 layer that uses the K/V of an earlier one",
	}); diff != "" {
		t.Errorf("kinds (-got +want):\n%s", diff)
	}
	for _, test := range []struct {
		k    plan.Kinds
		want string
	}{
		{plan.Kinds{Full: 30, TokenBytes: 1 << 10}, "30 layers"},
		{plan.Kinds{Full: 3, Windowed: 15, LeastWindow: 512, MostWindow: 512, TokenBytes: 3 << 10, RingBytes: 15 << 20}, "18 layers: 3 full, 15 with a window of 512; 3.0 KiB a token, and 15.0 MiB that do not grow with the context"},
		{plan.Kinds{Full: 3, Windowed: 12, Shared: 20, LeastWindow: 256, MostWindow: 512, TokenBytes: 3 << 10, RingBytes: 1 << 20}, "35 layers: 3 full, 12 with windows of 256 to 512, 20 that share K/V; 3.0 KiB a token, and 1.0 MiB that do not grow with the context"},
	} {
		if got := describeKinds(test.k); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// Where rows behind windows have no room, there may be fewer of them.
func TestFewerRowsBehindWindowsAreAdvised(t *testing.T) {
	for _, test := range []struct {
		policy kv.Policy
		cause  error
		want   string
	}{
		{kv.Static, kv.ErrWindowRows, "no room; --window-rows N keeps fewer rows behind the windows of layers"},
		{kv.Auto, kv.ErrWindowRows, "no room; --window-rows N keeps fewer rows behind the windows of layers; with --disk DIR K/V that have no room in memory go to files"},
		{kv.Auto, nil, "no room; with --disk DIR K/V that have no room in memory go to files"},
	} {
		f := engineFlags{options: ebb.Options{Cache: test.policy}}
		err := kv.NoMemory(noRoomError{test.cause})
		if got := f.explainMemory(err); got.Error() != test.want {
			t.Errorf("%v, %v: got %q, want %q", test.policy, test.cause, got, test.want)
		}
	}
}

// Where packed weights take memory that ends, there is a flag that leaves them in their file.
func TestWeightsInTheFileAreAdvisedWherePackedOnesTakeTheMemory(t *testing.T) {
	const advice = "; 1.0 GiB of the memory are packed weights: with --no-pack they stay in the model's file, which leaves more to K/V"
	for name, test := range map[string]struct {
		packed  int64
		options ebb.Options
		advised bool
	}{
		"packed":                       {1 << 30, ebb.Options{}, true},
		"in the file":                  {0, ebb.Options{}, false},
		"another device":               {1 << 30, ebb.Options{Device: "vulkan0"}, false},
		"the user's bound":             {1 << 30, ebb.Options{KVMemory: 1 << 20}, false},
		"the user's bound of a device": {1 << 30, ebb.Options{DeviceMemory: 1 << 20}, false},
	} {
		f := engineFlags{options: test.options, packed: test.packed}
		got := f.explainMemory(kv.NoMemory(noRoomError{})).Error()
		if strings.Contains(got, advice) != test.advised {
			t.Errorf("%s: got %q; advised: want %v", name, got, test.advised)
		}
	}
}

// noRoomError is an error with a cause that its text does not have.
type noRoomError struct{ cause error }

func (noRoomError) Error() string   { return "no room" }
func (e noRoomError) Unwrap() error { return e.cause }
