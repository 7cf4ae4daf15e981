package measure

import (
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

func TestAStepReadsNoMoreOfALayerThanItsWindow(t *testing.T) {
	if _, err := ggml.Load(); err != nil {
		t.Skipf("cpu: no ggml libraries: run make libs: %v", err)
	}
	s := Setting{Threads: 1, KVType: "f16"}
	a, err := OpenEbb("gemma", Options{Model: "../../testdata/models/tiny-gemma3.gguf"}, s, ebb.Options{Cache: kv.Static, Context: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	bytes, err := a.ReadBytes(s)
	if err != nil {
		t.Fatal(err)
	}
	const inside, behind = 1, 1000 // tokens before the step
	all, full := int64(0), int64(0)
	for _, l := range a.Engine.Config().Layers {
		n := int64(l.KVHeads * (l.KeyDim + l.ValueDim) * 2)
		if all += n; l.Window == 0 {
			full += n
		}
	}
	if full == all || full == 0 {
		t.Fatalf("%d of %d bytes are in layers without a window: want some of each", full, all)
	}
	if got := bytes(inside+1) - bytes(inside); got != all {
		t.Errorf("a token inside all windows adds %d bytes, want %d", got, all)
	}
	if got := bytes(behind+1) - bytes(behind); got != full {
		t.Errorf("a token behind the windows adds %d bytes, want %d", got, full)
	}
}

// A turn begins where the one before began, and where layers carry a state that costs no computing.
func TestRewindingAHybridComputesNothing(t *testing.T) {
	if _, err := ggml.Load(); err != nil {
		t.Skipf("cpu: no ggml libraries: run make libs: %v", err)
	}
	o := Options{Model: "../../testdata/models/tiny-qwen35.gguf", Fill: 16}
	a, err := OpenEbb("qwen35", o, Setting{Threads: 1, KVType: "f16"}, ebb.Options{Cache: kv.Static, Context: 128})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	for range 3 {
		if err := a.Rewind(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		if have, again := a.Seq.Len(), len(a.Seq.Pending()); have != 100 || again != 0 {
			t.Errorf("%d tokens, of which %d are to be computed again: want 100 and 0", have, again)
		}
		if err := a.Step(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
}
