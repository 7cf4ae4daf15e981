package ebb_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

// Whatever windows a file says that its layers have, and whichever layers have one, a policy changes no
// bit: of a text that is longer than all rings, of what follows a truncation far behind its end, and of
// a fork beside it.
func TestAnyWindowsGiveTheBitsOfStatic(t *testing.T) {
	requireDevice(t, "cpu")
	path := filepath.Join(t.TempDir(), "model.gguf")
	for _, name := range []string{"tiny-gemma3", "tiny-gemma4", "tiny-gemma4-e", "tiny-gptoss"} {
		data := testmodel.Golden(t, name)
		file, err := gguf.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		layers, key := model.LayerCount(file), file.Architecture()+".attention.sliding_window"
		patterns := []any{nil, uint32(2), slices.Repeat([]bool{true}, layers), uint32(1), uint32(7), make([]bool, layers)}
		for w, window := range []uint32{1, 257, 2, 255, 1 << 24} {
			for p, pattern := range patterns {
				if !testAll && (w > 1 || p > 2) || p > 0 && file.Architecture() == "gemma4" {
					continue // the shapes of gemma4's layers follow from their pattern
				}
				meta := []gguf.KV{{Key: key, Value: window}}
				if pattern != nil {
					meta = append(meta, gguf.KV{Key: key + "_pattern", Value: pattern})
				}
				if err := os.WriteFile(path, testmodel.Edit(t, data, meta), 0o600); err != nil {
					t.Fatal(err)
				}
				t.Run(fmt.Sprintf("%s/%d/%d", name, window, p), func(t *testing.T) {
					want := farBack(t, path, kv.Static)
					if err := sameBits(farBack(t, path, kv.Offloaded), want); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

// farBack opens a model, and takes a text through it that is cut far behind its end and forked.
func farBack(t *testing.T, path string, policy kv.Policy) (rows [][]float32) {
	t.Helper()
	e := cpuCopies.open(t, path, ebb.Options{Cache: policy, Context: 1024, ChunkTokens: 64})
	s := e.NewSeq()
	defer closeSeq(t, s)
	step := func(s *kv.Seq, seed, n int) { rows = append(rows, forward(t, e, s, prompt(seed, n), 1)...) }
	step(s, 1, 700)
	step(s, 2, 1)
	if err := s.Truncate(300); err != nil {
		t.Fatal(err)
	}
	step(s, 3, 5)
	fork, err := s.Fork()
	if err != nil {
		t.Fatal(err)
	}
	defer closeSeq(t, fork)
	step(fork, 4, 70)
	step(s, 5, 70)
	step(fork, 6, 1)
	return rows
}
