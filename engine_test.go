package ebb_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

// testAll is set to run every combination where a test else takes some.
var testAll = os.Getenv("EBB_TEST_ALL") != ""

// policies are all cache policies.
var policies = []kv.Policy{kv.Auto, kv.Dynamic, kv.Static, kv.Offloaded, kv.OffloadedStatic}

// place is a device and how rows reach it.
type place struct {
	name   string
	device string
	copies bool
	shared bool // the CPU computes the first half of the layers
}

// Where tests compute: on the CPU with rows used in place or copied, on the software Vulkan device,
// and with half of the layers on each.
var (
	cpuInPlace = place{name: "cpu in place", device: "cpu"}
	cpuCopies  = place{name: "cpu copies", device: "cpu", copies: true}
	onGPU      = place{name: "vulkan", device: secondDevice()}
	onBoth     = place{name: "half cpu, half vulkan", device: secondDevice(), copies: true, shared: true}

	cpuPlaces = []place{cpuInPlace, cpuCopies}
	allPlaces = []place{cpuInPlace, cpuCopies, onGPU, onBoth}
)

// secondDevice is the device that tests use beside the CPU: the software Vulkan one, or what
// EBB_TEST_DEVICE names.
func secondDevice() string {
	if name := os.Getenv("EBB_TEST_DEVICE"); name != "" {
		return name
	}
	return "vulkan0"
}

// devices is on how many devices the place's layers are, at most.
func (p place) devices() int {
	if p.shared {
		return 2
	}
	return 1
}

// short reports whether the place must do with little, as its device is a GPU: most likely it is the
// software Vulkan device, on which a token takes as long as a hundred on the CPU. That policies change
// nothing is proved there by package kv.
func (p place) short() bool { return p.device != "cpu" && !testAll }

// policies returns the policies under which the place computes what policies do not change.
func (p place) policies() []kv.Policy {
	switch {
	case !p.short():
		return policies
	case p.shared:
		return []kv.Policy{kv.OffloadedStatic}
	default:
		return []kv.Policy{kv.Offloaded}
	}
}

// rows returns the last rows that the place computes of some. The software Vulkan device has a shader for
// each number of rows up to 8, which takes 5 to 30 seconds to compile: there are steps of one and of two.
func (p place) rows(all [][]float32) [][]float32 {
	if p.short() {
		return all[max(0, len(all)-2):]
	}
	return all
}

// prompt reports whether the place computes a prompt of so many tokens: see rows.
func (p place) prompt(tokens int) bool { return !p.short() || tokens < 3 || tokens > 8 }

// softwareChunk is the most tokens of a chunk on the software Vulkan device: more than 32 rows take other
// shaders, and 30 divide the prompts of the tests into parts of 10 rows and more.
const softwareChunk = 30

// half returns the layers of a model that the second device of two computes.
func half(t *testing.T, path string) int {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return (model.LayerCount(f) + 1) / 2
}

// open opens a model in the place, or skips the test where there is no such device or long tests
// are left out. One thread computes unless the test says otherwise: threads wait for each other by
// spinning, which on a busy machine takes hundreds of times as long.
func (p place) open(t *testing.T, path string, o ebb.Options) *ebb.Engine {
	t.Helper()
	skipShort(t)
	return p.openShort(t, path, o)
}

// openShort is open for a test that make test-short runs too.
func (p place) openShort(t *testing.T, path string, o ebb.Options) *ebb.Engine {
	t.Helper()
	o.Device, o.ForcedCopies = p.device, p.copies
	if o.Threads == 0 {
		o.Threads = 1
	}
	if d := haveDevice(t, p.device); d.Software() && p.short() && (o.ChunkTokens == 0 || o.ChunkTokens > softwareChunk) {
		o.ChunkTokens = softwareChunk
	}
	if p.shared {
		o.GPULayers = half(t, path)
	}
	e, err := ebb.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// skipShort skips a test that computes with a model where only short tests run.
func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it computes with a model: make test-short leaves it out")
	}
}

// requireDevice skips a test whose device this machine does not have, or that is left out as it
// takes long.
func requireDevice(t *testing.T, name string) {
	t.Helper()
	skipShort(t)
	haveDevice(t, name)
}

// haveDevice returns a device, or skips a test whose device this machine does not have.
func haveDevice(t *testing.T, name string) *ggml.Device {
	t.Helper()
	library, err := ggml.Load()
	if errors.Is(err, ggml.ErrNoLibrary) {
		t.Skip("no ggml libraries: run make libs")
	}
	if err != nil {
		t.Fatal(err)
	}
	d, err := library.Device(name)
	if err != nil {
		t.Skipf("no device %s: run make vulkan", name)
	}
	return d
}

// golden reads the cases of a golden file.
func golden[C any](t *testing.T, name string) []C {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "cases", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []C }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(file.Cases) == 0 {
		t.Fatalf("%s: no cases", name)
	}
	return file.Cases
}

func modelPath(name string) string { return filepath.Join("testdata", "models", name+".gguf") }

// forward takes tokens through one sequence and returns the last n rows.
func forward(t *testing.T, e *ebb.Engine, s *kv.Seq, tokens []int32, n int) [][]float32 {
	t.Helper()
	out, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: tokens, Logits: n}})
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

// greedy continues a prompt with the best token n times.
func greedy(t *testing.T, e *ebb.Engine, prompt []int32, n int) (ids []int32, rows [][]float32) {
	t.Helper()
	s := e.NewSeq()
	defer closeSeq(t, s)
	for in := prompt; len(ids) < n; in = ids[len(ids)-1:] {
		row := forward(t, e, s, in, 1)[0]
		rows, ids = append(rows, row), append(ids, best(row))
	}
	return ids, rows
}

func best(row []float32) int32 {
	return int32(slices.Index(row, slices.Max(row)))
}

func closeSeq(t *testing.T, s *kv.Seq) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close sequence: %v", err)
	}
}

// worst returns the largest difference between two sets of rows.
func worst(t *testing.T, got, want [][]float32) (d float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows; want %d", len(got), len(want))
	}
	for i := range want {
		if len(got[i]) != len(want[i]) {
			t.Fatalf("row %d: %d values; want %d", i, len(got[i]), len(want[i]))
		}
		for j := range want[i] {
			diff := math.Abs(float64(got[i][j]) - float64(want[i][j]))
			if math.IsNaN(diff) {
				return math.Inf(1)
			}
			d = max(d, diff)
		}
	}
	return d
}

// sameBits reports the first value in which rows differ.
func sameBits(got, want [][]float32) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d rows; want %d", len(got), len(want))
	}
	for i := range want {
		for j := range want[i] {
			if g, w := math.Float32bits(got[i][j]), math.Float32bits(want[i][j]); g != w {
				return fmt.Errorf("row %d, value %d: %v; want %v", i, j, got[i][j], want[i][j])
			}
		}
	}
	return nil
}

// Results that are passed on are written over; those of Forward are the caller's.
func TestLogitsAreWrittenOverOnlyWhereTheyArePassedOn(t *testing.T) {
	e := cpuInPlace.open(t, modelPath("tiny-gqa"), ebb.Options{KVType: "f32", StepTokens: 16})
	tokens := prompt(6, 40) // three steps
	s, fresh := e.NewSeq(), e.NewSeq()
	defer closeSeq(t, s)
	defer closeSeq(t, fresh)
	want := forward(t, e, fresh, tokens, 20)

	rows, err := e.ForwardInto(t.Context(), []kv.Work{{Seq: s, Tokens: tokens, Logits: 20}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rows, [][][]float32{want}); diff != "" {
		t.Errorf("into nothing (-got +want):\n%s", diff)
	}
	for _, n := range []int{3, 20, 0, 1} { // fewer rows than there are, and as many again
		if err := s.Truncate(0); err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			for _, logits := range row {
				clear(logits)
			}
		}
		rows, err = e.ForwardInto(t.Context(), []kv.Work{{Seq: s, Tokens: tokens, Logits: n}}, rows)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != 1 || len(rows[0]) != n {
			t.Fatalf("%d rows: got %d of %d works", n, len(rows[0]), len(rows))
		}
		if err := near(t, rows[0], want[20-n:]); err != nil { // the last matrix takes another path for one row
			t.Errorf("%d rows: %v", n, err)
		}
	}
	kept := forward(t, e, s, tokens[:1], 1)
	if err := s.Truncate(len(tokens)); err != nil {
		t.Fatal(err)
	}
	forward(t, e, s, tokens[1:2], 1)
	if err := s.Truncate(len(tokens)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(forward(t, e, s, tokens[:1], 1), kept); diff != "" {
		t.Errorf("Forward's logits changed later (-got +want):\n%s", diff)
	}
}

// A file that becomes shorter while it is loaded is an error that names it once.
func TestAFileThatBecomesShorterIsNamedOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the file is read when it is opened")
	}
	data, err := os.ReadFile(modelPath("tiny-gqa"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cut := false
	e, err := ebb.Open(path, ebb.Options{Loading: func(int64, int64) {
		if !cut {
			cut = os.Truncate(path, int64(len(data)/2)) == nil
		}
	}})
	if err == nil {
		t.Fatal(errors.Join(errors.New("the model was opened"), e.Close()))
	}
	if !errors.Is(err, gguf.ErrTruncated) || strings.Count(err.Error(), path) != 1 {
		t.Errorf("got %q, want %v, and the path once", err, gguf.ErrTruncated)
	}
}
