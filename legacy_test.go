package ebb_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/session"
)

type goldenLegacy struct {
	Prompt        []int32
	PastKeyValues [][2][][][][]float32 `json:"past_key_values"` // [layer][key, value][batch][head][token][dim]
}

// tensorsF32 reads a safetensors file, and returns its values in F32 by name.
func tensorsF32(t *testing.T, path string) map[string][]float32 {
	t.Helper()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(whole)
	var header map[string]struct {
		DType   string
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(whole[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	tensors := map[string][]float32{}
	for name, h := range header {
		if h.DType != "F32" {
			continue
		}
		for b := whole[8+int(n)+h.Offsets[0] : 8+int(n)+h.Offsets[1]]; len(b) > 0; b = b[4:] {
			tensors[name] = append(tensors[name], math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
	}
	return tensors
}

func TestExportedKVEqualHuggingFace(t *testing.T) {
	ownCache(t)
	for _, model := range []string{"tiny-gqa", "tiny-mha"} {
		for _, c := range golden[goldenLegacy](t, "legacy_"+model) {
			for name, tt := range map[string]struct {
				at        place
				o         ebb.Options
				tolerance float64
			}{
				"static":    {cpuInPlace, ebb.Options{Cache: kv.Static}, 1e-4},
				"offloaded": {cpuCopies, ebb.Options{Cache: kv.Offloaded}, 1e-4},
				"disk":      {cpuCopies, ebb.Options{Cache: kv.Offloaded, Disk: t.TempDir()}, 1e-4},
				"vulkan":    {onGPU, ebb.Options{Cache: kv.OffloadedStatic}, onGPU.tolerance()},
			} {
				if tt.at.short() && model != "tiny-gqa" {
					continue // shaders of other shapes take minutes to compile
				}
				t.Run(model+"/"+name, func(t *testing.T) {
					tt.o.KVType, tt.o.Context = "f32", 256
					e := tt.at.open(t, modelPath(model), tt.o)
					seq := e.NewSeq()
					defer closeSeq(t, seq)
					advance(t, e, seq, c.Prompt)
					path := filepath.Join(t.TempDir(), "kv.safetensors")
					if err := e.Export(t.Context(), path, ebb.ExportOptions{}, seq); err != nil {
						t.Fatal(err)
					}
					got := tensorsF32(t, path)
					if len(got) != 2*len(c.PastKeyValues) {
						t.Fatalf("%d tensors of %d layers", len(got), len(c.PastKeyValues))
					}
					for l, layer := range c.PastKeyValues {
						for i, name := range []string{"key", "value"} {
							values := got["past_key_values."+string(rune('0'+l))+"."+name]
							for _, heads := range layer[i] {
								for _, head := range heads {
									for _, want := range head {
										if d := worst(t, [][]float32{values[:len(want)]}, [][]float32{want}); d > tt.tolerance {
											t.Fatalf("layer %d: a %s differs by %g; want at most %g", l, name, d, tt.tolerance)
										}
										values = values[len(want):]
									}
								}
							}
							if len(values) != 0 {
								t.Errorf("layer %d: %d more values", l, len(values))
							}
						}
					}
				})
			}
		}
	}
}

// An import without an engine reads from the model's header what the engine would say.
func TestAModelsHeaderSaysWhatItsKVAre(t *testing.T) {
	paths := []string{modelPath("tiny-gqa"), modelPath("tiny-qwen2moe"), modelPath("tiny-glm4moe"), modelPath("tiny-longrope"), modelPath("tiny-gemma3"), modelPath("tiny-gemma4"), modelPath("tiny-gemma4-e")}
	for _, path := range paths {
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ebb.ReadConfig(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		want := cpuInPlace.openShort(t, path, ebb.Options{Context: 256}).Config()
		if got.Vocab != want.Vocab || len(got.Layers) != len(want.Layers) {
			t.Fatalf("%s: %d layers and %d ids; want %d and %d", path, len(got.Layers), got.Vocab, len(want.Layers), want.Vocab)
		}
		for l, w := range want.Layers {
			g := got.Layers[l]
			g.ExpertsUsed = w.ExpertsUsed // which is no part of it
			if g != w {
				t.Errorf("%s: layer %d is %+v; want %+v", path, l, g, w)
			}
		}
	}
}

// Of a model with two encodings of positions, K/V say which is theirs.
func TestImportsKeepHowPositionsAreEncoded(t *testing.T) {
	ownCache(t)
	path := modelPath("tiny-longrope")
	e := cpuInPlace.open(t, path, ebb.Options{Context: 256})
	seq := e.NewSeq()
	defer closeSeq(t, seq)
	advance(t, e, seq, prompt(1, 9))
	dir := t.TempDir()
	file, to := filepath.Join(dir, "kv.safetensors"), filepath.Join(dir, "talk.ebb")
	if err := e.Export(t.Context(), file, ebb.ExportOptions{}, seq); err != nil {
		t.Fatal(err)
	}
	if _, err := ebb.ImportSession(file, to, ebb.ImportSessionOptions{Model: path}); err != nil {
		t.Fatal(err)
	}
	if s := openSession(t, e, to); len(s.Tokens()) != 9 {
		t.Errorf("%d tokens; want 9", len(s.Tokens()))
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(whole, []byte(`"rope"`), []byte(`"none"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ebb.ImportSession(file, filepath.Join(dir, "x"), ebb.ImportSessionOptions{Model: path}); err == nil || !strings.Contains(err.Error(), `rope must be "longrope, short factors" or`) {
		t.Errorf("without rope: %v", err)
	}
}

// What is imported goes on as what was exported would have, and is exported to the same file again.
func TestImportedSequencesGoOnBitForBit(t *testing.T) {
	ownCache(t)
	alike := testmodel.WriteFile(t, testmodel.Options{Layers: 3, Seed: 3})
	for _, test := range []struct{ model, typ string }{{alike, "f32"}, {alike, "f16"}, {modelPath("tiny-gemma4-e"), "f16"}} {
		model, typ := test.model, test.typ
		o := ebb.Options{Context: 512, ChunkTokens: 64, StepTokens: 256, KVType: typ}
		e := cpuInPlace.open(t, model, o)
		seq := beginning(t, e)
		path, again := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "again")
		if err := e.Export(t.Context(), path, ebb.ExportOptions{}, seq); err != nil {
			t.Fatal(err)
		}
		o.Cache, o.Disk = kv.Offloaded, t.TempDir()
		other := cpuCopies.open(t, model, o)
		batch, err := other.Import(t.Context(), path, ebb.ImportOptions{})
		if err != nil || len(batch) != 1 || batch[0].Len() != 291 {
			t.Fatalf("imported %v, %v; want a sequence of 291 tokens", batch, err)
		}
		if err := other.Export(t.Context(), again, ebb.ExportOptions{}, batch[0]); err != nil {
			t.Fatal(err)
		}
		sameFiles(t, again, path)
		if err := sameBits(ending(t, other, batch[0]), ending(t, e, seq)); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
	}
}

// As in transformers' cache, layers that attend to another's K/V have none, and each other one has its
// own width.
func TestExportedKVAreThoseOfTheLayersThatHaveSome(t *testing.T) {
	ownCache(t)
	e := cpuInPlace.open(t, modelPath("tiny-gemma4-e"), ebb.Options{KVType: "f32"})
	seq := e.NewSeq()
	defer closeSeq(t, seq)
	const n = 20
	advance(t, e, seq, prompt(1, n))
	path := filepath.Join(t.TempDir(), "kv.safetensors")
	if err := e.Export(t.Context(), path, ebb.ExportOptions{}, seq); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for name, values := range tensorsF32(t, path) {
		got[name] = len(values)
	}
	want := map[string]int{
		"past_key_values.0.key": n * 32, "past_key_values.0.value": n * 32, "past_key_values.1.key": n * 32, "past_key_values.1.value": n * 32,
		"past_key_values.2.key": n * 64, "past_key_values.2.value": n * 64,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values of each tensor (-want +got):\n%s", diff)
	}
}

func sameFiles(t *testing.T, got, want string) {
	t.Helper()
	a, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("%s has other bytes than %s", got, want)
	}
}

func TestABatchIsExportedAndImported(t *testing.T) {
	ownCache(t)
	model := testmodel.WriteFile(t, testmodel.Options{Layers: 2, Seed: 3})
	e := cpuInPlace.open(t, model, ebb.Options{Context: 512})
	first := e.NewSeq()
	defer closeSeq(t, first)
	advance(t, e, first, prompt(1, 280))
	fork, err := first.Fork() // as a beam
	if err != nil {
		t.Fatal(err)
	}
	defer closeSeq(t, fork)
	advance(t, e, first, prompt(2, 3))
	advance(t, e, fork, prompt(4, 2))
	dir := t.TempDir()
	path := filepath.Join(dir, "batch.safetensors")
	if err := e.Export(t.Context(), path, ebb.ExportOptions{}, first, fork); err == nil || !strings.Contains(err.Error(), "a batch has one length") {
		t.Errorf("sequences of two lengths: %v", err)
	}
	advance(t, e, fork, prompt(5, 1))
	if err := e.Export(t.Context(), path, ebb.ExportOptions{}, first, fork); err != nil {
		t.Fatal(err)
	}
	other := cpuCopies.open(t, model, ebb.Options{Context: 512, Cache: kv.Offloaded})
	batch, err := other.Import(t.Context(), path, ebb.ImportOptions{})
	if err != nil || len(batch) != 2 {
		t.Fatalf("%d sequences, %v; want 2", len(batch), err)
	}
	again := filepath.Join(dir, "again")
	if err := other.Export(t.Context(), again, ebb.ExportOptions{}, batch...); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, again, path)
	for _, seq := range batch {
		closeSeq(t, seq)
	}

	to, one := filepath.Join(dir, "talk.ebb"), 1
	if _, err := ebb.ImportSession(path, to, ebb.ImportSessionOptions{}); !errors.Is(err, ebb.ErrChooseRow) {
		t.Errorf("a session of two sequences: %v", err)
	}
	if _, err := ebb.ImportSession(path, to, ebb.ImportSessionOptions{Row: &one}); err != nil {
		t.Fatal(err)
	}
	seq, err := openSession(t, e, to).Restore(t.Context(), fork.Len())
	if err != nil {
		t.Fatal(err)
	}
	defer closeSeq(t, seq)
	if got, want := seq.Tokens(), fork.Tokens(); !slices.Equal(got, want) {
		t.Errorf("row 1 has the tokens %v; want %v", got, want)
	}
}

func TestWhatCannotBeImportedLeavesNothing(t *testing.T) {
	ownCache(t)
	model := testmodel.WriteFile(t, testmodel.Options{Layers: 3, Seed: 3})
	e := cpuInPlace.open(t, model, ebb.Options{Context: 512, KVType: "f32"})
	seq := beginning(t, e)
	defer closeSeq(t, seq)
	path := filepath.Join(t.TempDir(), "kv.safetensors")
	if err := e.Export(t.Context(), path, ebb.ExportOptions{}, seq); err != nil {
		t.Fatal(err)
	}
	fails := func(what string, e *ebb.Engine, want error, text string) {
		t.Helper()
		before := e.Stats().Cache
		_, err := e.Import(t.Context(), path, ebb.ImportOptions{})
		if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v; want %v with %q", what, err, want, text)
		}
		if after := e.Stats().Cache; after.DeviceBytes != before.DeviceBytes || after.HostBytes != before.HostBytes {
			t.Errorf("%s: %+v is left; want %+v", what, after, before)
		}
	}
	half := cpuInPlace.open(t, model, ebb.Options{Context: 512})
	fails("another type", half, nil, "its keys are f32, and the session's would be f16: they are converted only where that is asked for")
	batch, err := half.Import(t.Context(), path, ebb.ImportOptions{Convert: true})
	if err != nil {
		t.Fatal(err)
	}
	got := [][]float32{advance(t, half, batch[0], prompt(3, 1))}
	if d := worst(t, got, [][]float32{advance(t, e, seq, prompt(3, 1))}); d == 0 || d > 2e-2 { // K/V in f16
		t.Errorf("converted to f16, logits differ by %g", d)
	}
	closeSeq(t, batch[0])
	fails("other weights", cpuInPlace.open(t, testmodel.WriteFile(t, testmodel.Options{Layers: 3, Seed: 4}), ebb.Options{Context: 512, KVType: "f32"}), session.ErrModel, "weights")
	fails("a short context", cpuInPlace.open(t, model, ebb.Options{Context: 256, KVType: "f32"}), kv.ErrFull, "291 tokens")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(whole[len(whole)-40:], 0x7fc00000)
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	fails("NaN", e, session.ErrTensors, "layer 2: the value of token 290")
}
