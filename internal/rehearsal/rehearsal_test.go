package rehearsal

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/exec"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/plan"
)

// golden opens one of the golden models, and returns what a plan knows of it. Its layers are alike.
func golden(t *testing.T, name string) (path string, f *gguf.File, r plan.Request) {
	t.Helper()
	path = filepath.Join("../../testdata/models", name+".gguf")
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	e, err := ebb.Open(path, ebb.Options{Context: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	for _, l := range e.Config().Layers {
		layer := plan.Layer{Window: l.Window, Shares: l.SharesKV, Of: l.KVOf, NoRows: l.KVHeads == 0}
		layer.StateBytes = kv.Shape{State: l.State.Values()}.StateBytes()
		if !l.SharesKV && !layer.NoRows {
			layer.RowBytes = kv.Shape{Heads: l.KVHeads, KeyDim: l.KeyDim, ValueDim: l.ValueDim}.Bytes(ggml.F16, ggml.F16)
		}
		r.Layers = append(r.Layers, layer)
	}
	for _, tensor := range f.Tensors() {
		r.Model.Weights += tensor.Size
	}
	r.Model.Weights -= model.DraftBytes(f)
	r.StepWeights, r.HeadWeights = r.Model.Weights, HeadBytes(f)
	return path, f, r
}

// models returns the golden models that ebb can run.
func models(t *testing.T) (names []string) {
	t.Helper()
	paths, err := filepath.Glob("../../testdata/models/tiny-*.gguf")
	if err != nil || len(paths) == 0 {
		t.Fatal("no models", err)
	}
	for _, p := range paths {
		f, err := gguf.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(ebb.Architectures(), f.Architecture()) {
			names = append(names, strings.TrimSuffix(filepath.Base(p), ".gguf"))
		}
		_ = f.Close()
	}
	return names
}

func TestASketchHasTheShapesOfItsModel(t *testing.T) {
	for _, name := range models(t) {
		_, f, r := golden(t, name)
		for _, layers := range []int{1, min(2, len(r.Layers)), len(r.Layers)} {
			chosen := choose(r.Layers, layers)
			path, err := write(f, r.Layers, chosen)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			sketch, err := gguf.Open(path)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if n, err := sketch.Int(f.Architecture() + ".block_count"); err != nil || int(n) != layers {
				t.Errorf("%s: %d layers, %v; want %d", name, n, err, layers)
			}
			tensors := 0
			for _, want := range f.Tensors() {
				at := want.Name
				if l, of := layerOf(want.Name); of {
					if !slices.Contains(chosen, l) {
						continue
					}
					at = strings.Replace(at, fmt.Sprintf("blk.%d.", l), fmt.Sprintf("blk.%d.", slices.Index(chosen, l)), 1)
				}
				tensors++
				got, _ := sketch.Tensor(at)
				want = cut(want, len(r.Layers), len(chosen))
				if got.Type != want.Type || !slices.Equal(got.Shape, want.Shape) {
					t.Errorf("%s: %s is %v %v, want %v %v", name, want.Name, got.Type, got.Shape, want.Type, want.Shape)
				}
			}
			if got := len(sketch.Tensors()); got != tensors {
				t.Errorf("%s: a sketch of %d layers has %d tensors; want %d", name, layers, got, tensors)
			}
			c, err := ebb.ReadConfig(sketch)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for i, l := range c.Layers {
				want := r.Layers[chosen[i]]
				if state := (kv.Shape{State: l.State.Values()}).StateBytes(); l.Window != want.Window || state != want.StateBytes {
					t.Errorf("%s: layer %d of the sketch has a window of %d and a state of %d bytes; want %d and %d", name, i, l.Window, state, want.Window, want.StateBytes)
				}
			}
			if err := errors.Join(sketch.Close(), os.Remove(path)); err != nil {
				t.Error(err)
			}
		}
	}
}

// All layers of Phi-3 mini have a window, and its architecture reads no list of those that do.
func TestASketchHasNoListOfWindowsThatItsArchitectureDoesNotRead(t *testing.T) {
	f, err := gguf.Parse(testmodel.Golden(t, "tiny-phi3"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range metadata(f, 1, []plan.Layer{{RowBytes: 128, Window: 8}}, []int{0}) {
		if strings.Contains(kv.Key, "sliding_window_pattern") {
			t.Errorf("%s is %v", kv.Key, kv.Value)
		}
	}
}

// Of layers with windows and others a sample has both, and enough of those that stream.
func TestSamplesHaveLayersOfEachKind(t *testing.T) {
	const w = 512
	gemma := slices.Repeat([]int{w, w, w, w, w, 0}, 10)
	for _, test := range []struct {
		windows []int
		n       int
		want    []int
	}{
		{[]int{0, 0, 0, 0, 0}, 3, []int{0, 1, 2}},
		{gemma, 1, []int{5}},
		{gemma, 2, []int{0, 5}},
		{gemma, 5, []int{0, 5, 11, 17, 23}},
		{gemma, 8, []int{0, 1, 2, 3, 5, 11, 17, 23}},
		{gemma[:18], 18, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}},
		{[]int{w, 0, w, 0}, 3, []int{0, 1, 3}},
		{[]int{w, w, w}, 2, []int{0, 1}},
	} {
		var layers []plan.Layer
		for _, window := range test.windows {
			layers = append(layers, plan.Layer{RowBytes: 1, Window: window})
		}
		layers = append(layers, plan.Layer{Shares: true})
		if diff := cmp.Diff(choose(layers, test.n), test.want); diff != "" {
			t.Errorf("%d of %v (-got +want):\n%s", test.n, test.windows, diff)
		}
	}
}

// Of a hybrid, one layer of each kind is rehearsed wherever two fit the memory.
func TestSamplesOfHybridsHaveLayersOfBothKinds(t *testing.T) {
	_, f, r := golden(t, "tiny-qwen35")
	layers, others := layerBytes(f, len(r.Layers))
	row := slices.MaxFunc(r.Layers, func(a, b plan.Layer) int { return int(a.RowBytes - b.RowBytes) }).RowBytes
	state := r.Layers[0].StateBytes * statesOfSequence
	two := 2 * (others + 2*(slices.Max(layers)+state+row*kv.Block))
	for _, test := range []struct {
		memory          int64
		full, recurrent int
	}{{two, 1, 1}, {two - 2, 1, 0}} {
		s, err := Options{Depth: 1000, Memory: test.memory}.withDefaults().sample(f, r)
		if err != nil {
			t.Fatal(err)
		}
		if s.full != test.full || len(s.layers)-s.full != test.recurrent || s.weights < 1 {
			t.Errorf("with %d bytes of memory: layers %v, of which %d keep all rows, and %d bytes of weights; want %d and %d recurrent ones",
				test.memory, s.layers, s.full, s.weights, test.full, test.recurrent)
		}
	}
}

// What a rehearsal says that a model takes is what the engine measures when it opens the model, to
// the byte.
func TestFootprintsAreThoseOfTheEngine(t *testing.T) {
	for _, name := range models(t) {
		path, f, r := golden(t, name)
		h, err := Open(t.Context(), f, r, Options{Depth: 300})
		if err != nil {
			t.Fatal(err)
		}
		e, err := ebb.Open(path, ebb.Options{Context: 64})
		if err != nil {
			t.Fatal(err)
		}
		for _, cells := range []int{256, 1000, 1 << 18} {
			got, err := h.Footprint(cells)
			if err != nil {
				t.Fatal(err)
			}
			want, err := exec.OfEngine(e).Footprint(cells)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("%s, %d cells (-got +want):\n%s", name, cells, diff)
			}
		}
		if err := errors.Join(e.Close(), h.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestARehearsalMeasuresEveryRateAndLeavesNothing(t *testing.T) {
	for _, name := range []string{"tiny-gqa", "tiny-gemma3", "tiny-qwen35"} {
		t.Run(name, func(t *testing.T) { wantRates(t, name) })
	}
}

func wantRates(t *testing.T, name string) {
	folder, temporary := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temporary)
	_, f, r := golden(t, name)
	h, err := Open(t.Context(), f, r, Options{Depth: 2000, Sequences: 2, Beams: 2})
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.Compute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := plan.Machine{Compute: c, Unified: true}
	for _, disk := range []string{"", folder} {
		if m, err = h.Copies(t.Context(), m, disk); err != nil {
			t.Fatal(err)
		}
	}
	for what, rate := range map[string]float64{
		"weights": m.WeightRate, "K/V": m.KVRate, "the output matrix": m.HeadRate, "a step": m.StepSeconds, "copies": m.LinkRate, "the disk": m.DiskRate,
	} {
		if !(rate > 0) || math.IsInf(rate, 1) {
			t.Errorf("%s: %g, want a number above 0", what, rate)
		}
	}
	if _, err := h.Compute(t.Context()); err == nil {
		t.Error("computing a second time: no error")
	}
	if err := errors.Join(h.Close(), h.Close()); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{os.Getenv("TMPDIR"), folder} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%v, %v are left in %s", left, err, dir)
		}
	}
}

// A burst of 10 GB/s is over after the second measurement; the fourth is like the third.
func TestADiskIsMeasuredUntilItsRateIsSteady(t *testing.T) {
	rates := []int64{10e9, 4e9, 2e9, 1.95e9, 5e9}
	measured := 0
	next := func() (spent, error) {
		measured++
		return spent{fetch: time.Second, fetched: rates[measured-1]}, nil
	}
	first, _ := next()
	got, err := steady(first, time.Now().Add(time.Hour), next)
	if err != nil || got.fetched != 1.95e9 || measured != 4 {
		t.Errorf("%d bytes a second after %d measurements, %v; want 1950000000 after 4", got.fetched, measured, err)
	}
	if got, err := steady(first, time.Now(), next); err != nil || got.fetched != first.fetched || measured != 4 {
		t.Errorf("without time: %d bytes a second after %d measurements, %v; want those of the first", got.fetched, measured, err)
	}
	failed := errors.New("no disk")
	if _, err := steady(first, time.Now().Add(time.Hour), func() (spent, error) { return spent{}, failed }); !errors.Is(err, failed) {
		t.Errorf("got %v, want %v", err, failed)
	}
}

func TestAModelThatCannotBeRehearsedIsAnError(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	_, f, r := golden(t, "tiny-gqa")
	if _, err := Open(t.Context(), f, r, Options{Memory: 1 << 10}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("with a KiB of memory: %v, want %v", err, ErrTooLarge)
	}
	if _, err := Open(t.Context(), f, r, Options{Device: "nowhere0"}); err == nil {
		t.Error("on a device that is not there: no error")
	}
	shapeless := filepath.Join(t.TempDir(), "shapeless.gguf")
	out, err := os.Create(shapeless)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(gguf.Write(out, []gguf.KV{{Key: "general.architecture", Value: "llama"}}, nil), out.Close()); err != nil {
		t.Fatal(err)
	}
	header, err := gguf.Open(shapeless)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = header.Close() }()
	if path, err := write(header, nil, []int{0}); err == nil || path != "" {
		t.Errorf("a header without layers is written to %q, %v; want no file, and an error", path, err)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v are left", left, err)
	}
}

// A sample is as large as may be, and never larger.
func TestSamplesKeepTheirBudget(t *testing.T) {
	_, f, r := golden(t, "tiny-gqa")
	layers, others := layerBytes(f, len(r.Layers))
	largest := slices.Max(layers)
	for _, depth := range []int{1, 256, 100_000, 1 << 24} {
		for _, memory := range []int64{8 << 20, 64 << 20, 8 << 30} {
			s, err := Options{Depth: depth, Memory: memory}.withDefaults().sample(f, r)
			if err != nil {
				t.Fatal(err)
			}
			taken := int64(len(s.layers))*largest + s.reads(s.depth)
			if most := min(sampleBytes, memory/2-others); taken > most || len(s.layers) < 1 || s.depth < 1 {
				t.Errorf("depth %d, %d bytes: %+v takes %d, want at most %d", depth, memory, s, taken, most)
			}
		}
	}
}
