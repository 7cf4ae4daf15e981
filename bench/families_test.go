package bench

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/bench/families"
	"github.com/seed4d217819/ebb/bench/llamacpp"
	"github.com/seed4d217819/ebb/internal/exec"
	"github.com/seed4d217819/ebb/internal/measure/measuretest"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
)

func TestFamiliesAreComparedWithThePeerWithoutAModel(t *testing.T) {
	o := small(t, "families")
	o.Model, o.Peer, o.smallFamilies = "", PeerLlama, true
	o.Families = []string{"qwen3-8b", "glm4moe-air"}
	o.Depths = []int{0, 40, deepFamily}
	r := run(t, o)
	for _, name := range o.Families {
		for _, depth := range o.Depths {
			want := []string{"ebb static", peerFlash, peerEager, "reading the bytes of a step"}
			if diff := cmp.Diff(measuretest.Arms(r, name, depth, 1), want); diff != "" {
				t.Errorf("arms of %s at depth %d (-got +want):\n%s", name, depth, diff)
			}
		}
	}
	for _, s := range r.Scores {
		want := 0.95
		if s.Depth >= deepFamily {
			want = 1
		}
		if s.Target != 0 && (s.Target != want || !strings.HasPrefix(s.Name, "ebb static / llama.cpp")) {
			t.Errorf("score %+v: want a target of %g, against the peer", s, want)
		}
	}
	if len(r.Notes) != 2 || !strings.Contains(r.Notes[0], "qwen3-8b: Qwen3 8B, 2 of 36 layers; random weights") {
		t.Errorf("notes %q: want one for each family that says what was measured", r.Notes)
	}
	if r.Model.File != "" {
		t.Errorf("the report is of the model %q, which nobody named", r.Model.File)
	}
}

func TestUnknownFamiliesAreRefused(t *testing.T) {
	o := small(t, "families")
	o.Families = []string{"qwen9"}
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), `unknown family "qwen9": want some of qwen2-7b, qwen3-8b`) {
		t.Errorf("error %v: want one that lists the families", err)
	}
}

// familyTokens are a short text that the models of families compute in tests.
var familyTokens = []int32{5, 900, 77, 3001, 12, 40}

// TestFamiliesAreTheSameModelsInBothPrograms compares logits: what is measured against the peer must be
// what the peer computes. ebb has ggml's products here, which are the peer's.
func TestFamiliesAreTheSameModelsInBothPrograms(t *testing.T) {
	_ = small(t) // it skips the test where there are no libraries
	for _, f := range families.All() {
		t.Run(f.Name, func(t *testing.T) {
			path, err := f.Small().Write(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			got := familyLogits(t, path, isa.GGML)
			m, err := llamacpp.OpenModel(path)
			if err != nil {
				t.Fatal(err)
			}
			defer closing(t, m)
			c, err := m.NewContext(llamacpp.ContextOptions{Ctx: 64, Threads: 1, Computed: true})
			if err != nil {
				t.Fatal(err)
			}
			defer closing(t, c)
			if err := c.Decode(familyTokens, 0, true); err != nil {
				t.Fatal(err)
			}
			want := c.Logits()
			spread := slices.Max(want) - slices.Min(want)
			worst := float32(0)
			for i, w := range want {
				worst = max(worst, max(got[i]-w, w-got[i]))
			}
			// Kernels round activations to 8 bits, and a value that lies between two steps may go
			// either way.
			const tolerance = 0.02
			if !(spread > 0.1) || !(worst <= tolerance*spread) {
				t.Errorf("logits differ by %g of a spread of %g: want at most %g of it", worst, spread, tolerance)
			}
			t.Logf("logits differ by %g of a spread of %g", worst, spread)
		})
	}
}

// Whatever the family, ebb's own products are as near to the weights as ggml's: both round activations
// to 8 bits, and the logits of the same weights in f32 say how far that leads.
func TestProductsOfFamiliesAreAsExactAsThoseOfGGML(t *testing.T) {
	_ = small(t) // it skips the test where there are no libraries
	some := []string{"qwen3-8b", "qwen3moe-30b-a3b", "gpt-oss-20b", "qwen35-9b"}
	for _, f := range families.All() {
		if os.Getenv("EBB_TEST_ALL") == "" && !slices.Contains(some, f.Name) {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			path, err := f.Small().Write(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			want := familyLogits(t, testmodel.Dequantized(t, path), isa.Best)
			own, ggmls := distance(familyLogits(t, path, isa.Best), want), distance(familyLogits(t, path, isa.GGML), want)
			const chance = 1.5 // the errors of two roundings are not of the same size in every text
			if !(own <= chance*ggmls) {
				t.Errorf("errors of %g with ebb's products, and of %g with ggml's", own, ggmls)
			}
			t.Logf("errors of %g with ebb's products, and of %g with ggml's", own, ggmls)
		})
	}
}

// distance returns the root of the mean square of differences.
func distance(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(a)))
}

// familyLogits returns the logits behind familyTokens.
func familyLogits(t *testing.T, path string, set isa.ISA) []float32 {
	t.Helper()
	o := ebb.Options{Device: "cpu", Cache: kv.Static, Context: 64, Threads: 1, KVType: "f32"}
	exec.SetISA(&o, set)
	e, err := ebb.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, e)
	seq := e.NewSeq()
	defer closing(t, seq)
	logits, err := e.Forward(t.Context(), []kv.Work{{Seq: seq, Tokens: familyTokens, Logits: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(logits[0][0])
}

func closing(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
