package ebb_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// windowedModels are models with windows.
var windowedModels = []string{"tiny-gemma3", "tiny-gemma4", "tiny-gemma4-e", "tiny-gemma4-moe"}

// windowed opens a model with windows whose rings are a block: its context is two, and chunks are short.
func windowed(t *testing.T, model string, policy kv.Policy, chunk int) *ebb.Engine {
	t.Helper()
	o := ebb.Options{Cache: policy, KVType: "f32", ChunkTokens: chunk}
	if model == "tiny-gemma4-e" { // rings whose rows other layers share have room for a step
		o.StepTokens = 2 * chunk
	}
	return cpuCopies.openShort(t, goldenPath(t, model), o)
}

func TestWindowsInRingsEqualHuggingFace(t *testing.T) {
	for _, model := range windowedModels {
		for _, policy := range policies {
			t.Run(model+"/"+policy.String(), func(t *testing.T) {
				e := windowed(t, model, policy, 32)
				for _, c := range golden[goldenLogits](t, "logits_"+model) {
					s := e.NewSeq()
					got := forward(t, e, s, c.Prompt, len(c.Logits))
					if d := worst(t, got, c.in(cpuCopies)); d > cpuCopies.toleranceOf(model) {
						t.Errorf("prompt of %d: logits differ by %g", len(c.Prompt), d)
					}
					closeSeq(t, s)
				}
				if n := e.Stats().Cache.WindowedLayers; n == 0 {
					t.Error("no layer has a ring: the test shows nothing")
				}
			})
		}
	}
}

// Rings change no more than where rows are: a long prompt, truncation far behind the window and forks
// give what they give where all rows are kept in place, within the error of its GELU, and the same bits
// under every policy.
func TestRingsGiveTheLogitsOfAllRowsInPlace(t *testing.T) {
	skipShort(t)
	long := func(e *ebb.Engine) (rows [][]float32) {
		s := e.NewSeq()
		defer closeSeq(t, s)
		rows = forward(t, e, s, prompt(1, 470), 3)
		for i := range 3 {
			rows = append(rows, forward(t, e, s, prompt(2+i, 1), 1)...)
		}
		for _, to := range []int{465, 440, 60} {
			if err := s.Truncate(to); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, forward(t, e, s, prompt(to, 1), 1)...)
			rows = append(rows, forward(t, e, s, prompt(to, 5), 5)...)
		}
		f, err := s.Fork()
		if err != nil {
			t.Fatal(err)
		}
		defer closeSeq(t, f)
		rows = append(rows, forward(t, e, f, prompt(3, 100), 2)...)
		rows = append(rows, forward(t, e, s, prompt(4, 100), 2)...)
		return append(rows, forward(t, e, f, prompt(5, 1), 1)...)
	}
	for _, model := range windowedModels {
		t.Run(model, func(t *testing.T) {
			whole := windowed(t, model, kv.Static, 0)
			if n := whole.Stats().Cache.WindowedLayers; n != 0 {
				t.Fatalf("%d layers have rings with long chunks; want none", n)
			}
			want, static := long(whole), long(windowed(t, model, kv.Static, 32))
			if d := worst(t, static, want); d > cpuCopies.toleranceOf(model) {
				t.Errorf("logits differ by %g", d)
			}
			for _, policy := range policies {
				if d := worst(t, long(windowed(t, model, policy, 32)), static); d != 0 {
					t.Errorf("%v: logits differ by %g from those of static; want the same bits", policy, d)
				}
			}
		})
	}
}

// Rings add nothing to what a decode step leaves to the garbage collector.
func TestDecodeStepOfRingsLeavesNoGarbage(t *testing.T) {
	skipShort(t)
	e := windowed(t, "tiny-gemma3", kv.Static, 32)
	d := newDecoder(t, e)
	defer d.close()
	if got := testing.AllocsPerRun(150, d.step); got > 1 || e.Stats().Cache.WindowedLayers == 0 {
		t.Errorf("%g allocations a step with %d rings; want at most 1", got, e.Stats().Cache.WindowedLayers)
	}
}

// What a sequence needs that was not kept is computed again, and a line says so.
func TestRowsThatWereNotKeptAreComputedAgain(t *testing.T) {
	skipShort(t)
	var lines []string
	o := ebb.Options{
		Cache: kv.Static, KVType: "f32", Context: 1024, ChunkTokens: 32, StepTokens: 150, WindowRows: ebb.NoWindowRows,
		Notify: func(line string) { lines = append(lines, line) },
	}
	e := cpuCopies.openShort(t, goldenPath(t, "tiny-gemma3"), o)
	s := e.NewSeq()
	defer closeSeq(t, s)
	tokens := prompt(1, 900)
	forward(t, e, s, tokens, 1)
	before := e.Stats().Cache.HostBytes
	if err := s.Truncate(885); err != nil { // into the window
		t.Fatal(err)
	}
	forward(t, e, s, tokens[885:], 1)
	if len(lines) > 0 {
		t.Errorf("lines %q after a truncation into the window; want none", lines)
	}
	if err := s.Truncate(100); err != nil {
		t.Fatal(err)
	}
	got := forward(t, e, s, tokens[100:103], 3)
	if want := []string{"100 tokens are computed again: their K/V behind the windows of layers were not kept"}; !slices.Equal(lines, want) {
		t.Errorf("lines %q; want %q", lines, want)
	}
	if after := e.Stats().Cache.HostBytes; after != before {
		t.Errorf("%d bytes in host memory; want %d as before", after, before)
	}
	fresh := e.NewSeq()
	defer closeSeq(t, fresh)
	if d := worst(t, got, forward(t, e, fresh, tokens[:103], 3)); d > cpuCopies.toleranceOf("tiny-gemma3") {
		t.Errorf("logits differ by %g from those of a fresh sequence", d)
	}
}

// A session of a cache that keeps no rows behind windows has the windows, from which the sequence goes on
// with the same bits; what is further back is computed again.
func TestSessionsOfWindowedModelsGoOn(t *testing.T) {
	skipShort(t)
	for _, rows := range []int{0, ebb.NoWindowRows} {
		e := cpuCopies.openShort(t, goldenPath(t, "tiny-gemma3"), ebb.Options{Cache: kv.Offloaded, KVType: "f32", ChunkTokens: 32, WindowRows: rows})
		s := e.NewSeq()
		defer closeSeq(t, s)
		tokens := prompt(1, 470)
		forward(t, e, s, tokens, 1)
		saved, err := ebb.OpenSession(filepath.Join(t.TempDir(), "talk.ebb"), goldenPath(t, "tiny-gemma3"), ebb.Options{KVType: "f32"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = saved.Close() }()
		if err := errors.Join(saved.Bind(e), saved.Save(t.Context(), s, nil)); err != nil {
			t.Fatal(err)
		}
		again, err := saved.Restore(t.Context(), len(tokens))
		if err != nil {
			t.Fatal(err)
		}
		defer closeSeq(t, again)
		for _, next := range [][]int32{prompt(2, 1), prompt(3, 10)} {
			if d := worst(t, forward(t, e, again, next, 1), forward(t, e, s, next, 1)); d != 0 {
				t.Errorf("%d rows kept: logits differ by %g; want the same bits", rows, d)
			}
		}
		for _, q := range []*kv.Seq{s, again} {
			if err := q.Truncate(60); err != nil {
				t.Fatal(err)
			}
		}
		if d := worst(t, forward(t, e, again, prompt(4, 1), 1), forward(t, e, s, prompt(4, 1), 1)); d != 0 {
			t.Errorf("%d rows kept, truncated far back: logits differ by %g; want the same bits", rows, d)
		}
	}
}
