package bench

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/bench/families"
	"github.com/seed4d217819/ebb/bench/llamacpp"
	"github.com/seed4d217819/ebb/internal/measure/measuretest"
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

// TestFamiliesAreTheSameModelsInBothPrograms compares logits: what is measured against the peer must be
// what the peer computes.
func TestFamiliesAreTheSameModelsInBothPrograms(t *testing.T) {
	_ = small(t) // it skips the test where there are no libraries
	tokens := []int32{5, 900, 77, 3001, 12, 40}
	for _, f := range families.All() {
		t.Run(f.Name, func(t *testing.T) {
			path, err := f.Small().Write(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			e, err := ebb.Open(path, ebb.Options{Device: "cpu", Cache: kv.Static, Context: 64, Threads: 1, KVType: "f32"})
			if err != nil {
				t.Fatal(err)
			}
			defer closing(t, e)
			seq := e.NewSeq()
			defer closing(t, seq)
			got, err := e.Forward(t.Context(), []kv.Work{{Seq: seq, Tokens: tokens, Logits: 1}})
			if err != nil {
				t.Fatal(err)
			}
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
			if err := c.Decode(tokens, 0, true); err != nil {
				t.Fatal(err)
			}
			want := c.Logits()
			spread := slices.Max(want) - slices.Min(want)
			worst := float32(0)
			for i, w := range want {
				worst = max(worst, max(got[0][0][i]-w, w-got[0][0][i]))
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

func closing(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
