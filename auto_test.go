package ebb_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
)

// On a device that is full, whatever allocation finds that out, auto gives the bits of static, or an
// error that says that there is no memory.
func TestAFullDeviceGivesTheBitsOfStatic(t *testing.T) {
	path := testmodel.WriteFile(t, testmodel.Options{Layers: 6, Seed: 6})
	run := func(o ebb.Options) (rows [][]float32, stats ebb.Stats, err error) {
		o.Context, o.ChunkTokens, o.Threads, o.ForcedCopies = 2048, 64, 1, true
		e, err := ebb.Open(path, o)
		if err != nil {
			return nil, stats, err
		}
		defer e.Close()
		s := e.NewSeq()
		defer closeSeq(t, s)
		for i, n := range []int{200, 1, 300, 1, 700, 1, 100, 1} {
			out, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: prompt(i, n), Logits: 1}})
			if err != nil {
				return rows, e.Stats(), err
			}
			rows = append(rows, out[0]...)
		}
		return rows, e.Stats(), nil
	}
	skipShort(t)
	requireDevice(t, "cpu")
	want, stats, err := run(ebb.Options{Cache: kv.Static})
	if err != nil {
		t.Fatal(err)
	}
	all := int64(0)
	for purpose, bytes := range stats.Device.Peak {
		if purpose != ggml.Weights {
			all += bytes
		}
	}
	weights := stats.Device.Peak[ggml.Weights] - stats.Device.Mapped
	same, demotions := 0, 0
	var lines []string
	for percent := int64(100); percent >= 10; percent -= 6 {
		o := ebb.Options{Notify: func(line string) { lines = append(lines, line) }}.WithLimit(weights + all*percent/100)
		got, stats, err := run(o)
		demotions += stats.Cache.Demotions
		switch {
		case err != nil && !errors.Is(err, ggml.ErrNoMemory) && !errors.Is(err, kv.ErrNoMemory):
			t.Errorf("%d%%: %v; want one of no memory", percent, err)
		case err == nil:
			same++
		}
		if err := sameBits(got, want[:len(got)]); err != nil {
			t.Errorf("%d%%: %v", percent, err)
		}
	}
	if same < 3 || demotions == 0 {
		t.Errorf("%d runs went to their end, and %d layers left", same, demotions)
	}
	if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasSuffix(line, "(the device had no memory for more)") }) {
		t.Errorf("lines %q; want one that says that the device had no memory", lines)
	}
}
