package ebb_test

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/session"
)

// goldenStates are states in the order of the model's file.
type goldenStates struct {
	Prompt []int32
	Layers []*struct {
		Conv [][]float32   // [channel][token]
		SSM  [][][]float32 // [value head][value dim][key dim]
	}
}

// What a session keeps of recurrent layers are the states of Hugging Face, whatever the place.
func TestSavedStatesEqualHuggingFace(t *testing.T) {
	ownCache(t)
	for name, tt := range map[string]struct {
		at place
		o  ebb.Options
	}{
		"static":    {cpuInPlace, ebb.Options{Cache: kv.Static}},
		"offloaded": {cpuCopies, ebb.Options{Cache: kv.Offloaded}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.o.KVType, tt.o.Context = "f32", 256
			e := tt.at.open(t, modelPath("tiny-qwen35"), tt.o)
			for _, c := range golden[goldenStates](t, "state_tiny-qwen35") {
				seq := e.NewSeq()
				defer closeSeq(t, seq)
				advance(t, e, seq, c.Prompt)
				s := openSession(t, e, filepath.Join(t.TempDir(), "talk.ebb"))
				if err := s.Save(t.Context(), seq, nil); err != nil {
					t.Fatal(err)
				}
				f, err := session.Open(s.Path())
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = f.Close() }()
				h, number := f.Header(), 0
				if h.Computed != len(c.Prompt) {
					t.Errorf("%d tokens have states; want %d", h.Computed, len(c.Prompt))
				}
				for l, want := range c.Layers {
					if want == nil {
						continue
					}
					state := make([]byte, h.States[number])
					if err := f.ReadState(0, number, state); err != nil {
						t.Fatal(err)
					}
					number++
					var got []float32
					for ; len(state) > 0; state = state[4:] {
						got = append(got, math.Float32frombits(binary.LittleEndian.Uint32(state)))
					}
					values := append(slices.Concat(slices.Concat(want.SSM...)...), slices.Concat(want.Conv...)...)
					if d := worst(t, [][]float32{got}, [][]float32{values}); d > 1e-4 { // which is what the data are good for
						t.Errorf("layer %d: states differ by %g; want at most 1e-4", l, d)
					}
				}
				if number != len(h.States) || number == 0 {
					t.Errorf("%d recurrent layers; want %d", len(h.States), number)
				}
			}
		})
	}
}

// Sessions know no family: states of any size, layers that keep nothing, and layers that keep rows.
func TestSessionsOfAllHybridsEqualThoseThatWereNeverClosed(t *testing.T) {
	ownCache(t)
	for _, model := range []string{"tiny-qwen3next", "tiny-lfm2", "tiny-granitehybrid", "tiny-nemotron"} {
		t.Run(model, func(t *testing.T) {
			e := cpuCopies.open(t, goldenPath(t, model), ebb.Options{Context: 512, ChunkTokens: 64, StepTokens: 256, Cache: kv.Offloaded})
			path := saved(t, e)
			want := ending(t, e, beginning(t, e))
			seq, err := openSession(t, e, path).Restore(t.Context(), 291)
			if err != nil {
				t.Fatal(err)
			}
			if err := sameBits(ending(t, e, seq), want); err != nil {
				t.Error(err)
			}
			if s := e.Stats().Cache; s.RecurrentLayers == 0 || s.RecomputedTokens != 2*50 {
				t.Errorf("%d recurrent layers, %d tokens computed again; want some, and 50 from a snapshot each time", s.RecurrentLayers, s.RecomputedTokens)
			}
		})
	}
}

// A state that is damaged is an error before anything is computed with it, and the tokens are there to be
// computed anew. That of a snapshot is missed by nobody who does not go back to it.
func TestDamagedStatesOfASessionAreComputedAnew(t *testing.T) {
	ownCache(t)
	var notes []string
	e := cpuInPlace.open(t, modelPath("tiny-qwen35"), ebb.Options{Context: 512, ChunkTokens: 64, StepTokens: 256, Notify: func(s string) { notes = append(notes, s) }})
	path := saved(t, e)
	want := ending(t, e, beginning(t, e))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := session.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	each := int64(0) // bytes of the states after some tokens
	for _, n := range f.Header().States {
		each += n
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	restored := func(back int64) *kv.Seq {
		t.Helper()
		bad := slices.Clone(whole)
		bad[int64(len(bad))-back*each-1] ^= 4
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s := openSession(t, e, path)
		defer func() { _ = s.Close() }()
		seq, err := s.Restore(t.Context(), 291)
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}

	seq := restored(0) // the last one
	if _, err := e.Forward(t.Context(), []kv.Work{{Seq: seq, Tokens: prompt(3, 1), Logits: 1}}); !errors.Is(err, session.ErrDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v; want %v and the file's name", err, session.ErrDamaged)
	}
	closeSeq(t, seq)
	if err := sameBits(ending(t, e, beginning(t, e)), want); err != nil {
		t.Error(err)
	}

	seq = restored(2) // that after 150 tokens, to which ending goes back
	got := ending(t, e, seq)
	if err := sameBits(got[:3], want[:3]); err != nil {
		t.Error(err)
	}
	if d := worst(t, got, want); d > cpuInPlace.toleranceOf("tiny-qwen35") { // as tokens are computed in other steps
		t.Errorf("logits differ by %g", d)
	}
	if !slices.ContainsFunc(notes, func(s string) bool { return strings.Contains(s, "the state after 150 tokens could not be read") }) {
		t.Errorf("notes: %q", notes)
	}
}
