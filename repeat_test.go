package ebb

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// openTiny opens a small model on one thread of the CPU.
func openTiny(t *testing.T, o Options) *Engine {
	t.Helper()
	if _, err := ggml.Load(); err != nil {
		t.Skipf("no ggml libraries: run make libs: %v", err)
	}
	o.Threads = 1
	e, err := Open(filepath.Join("testdata", "models", "tiny-gqa.gguf"), o)
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

func TestRepeatedRowsAreThoseFromTheFirstOn(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
	}{
		{"resident", Options{Cache: kv.Static}},
		{"in place", Options{Cache: kv.Offloaded}},
		{"copied", Options{Cache: kv.Offloaded, ForcedCopies: true}},
		{"some resident, q8_0", Options{Cache: kv.OffloadedStatic, ForcedCopies: true, ResidentLayers: 2, KVType: "q8_0"}},
		{"steps shorter than the sequence", Options{Cache: kv.Dynamic, StepTokens: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const period, all = 5, 18
			e := openTiny(t, tt.o)
			s := e.NewSeq()
			tokens := []int32{5, 9, 12, 40, 77}
			if _, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: tokens}}); err != nil {
				t.Fatal(err)
			}
			if err := e.Repeat(t.Context(), s, all-period); err != nil {
				t.Fatal(err)
			}
			repeated := min(period, e.pool.StepTokens())
			for i, got := range s.Tokens() {
				want := tokens[i%period]
				if i >= period {
					want = tokens[(i-period)%repeated]
				}
				if got != want {
					t.Errorf("token %d is %d: want %d", i, got, want)
				}
			}
			wantRepeatedRows(t, e, s, all, period, repeated)
		})
	}
}

// wantRepeatedRows looks at the rows of a sequence's next step.
func wantRepeatedRows(t *testing.T, e *Engine, s *kv.Seq, all, period, repeated int) {
	t.Helper()
	step, err := e.pool.Begin(t.Context(), []kv.Work{{Seq: s, Tokens: []int32{1}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := step.Close(); err != nil {
			t.Error(err)
		}
	}()
	for layer, err := range step.Layers(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		rows := layer.Rows(0)
		for _, tensor := range []*ggml.Tensor{rows.K, rows.V} {
			for head := range tensor.Ne(2) {
				cell := func(c int) []byte {
					b := make([]byte, tensor.Nb(1))
					tensor.Get(b, head*tensor.Nb(2)+int64(c)*tensor.Nb(1))
					return b
				}
				for c := period; c < all; c++ {
					want := cell((c - period) % repeated)
					if slices.Max(want) == 0 {
						t.Fatalf("layer %d, head %d: a row of the prompt is zero", layer.Index, head)
					}
					if !bytes.Equal(cell(c), want) {
						t.Fatalf("layer %d, head %d: cell %d is not like cell %d", layer.Index, head, c, (c-period)%repeated)
					}
				}
			}
		}
	}
}

func TestRepeatRefusesWhatItCannotCopy(t *testing.T) {
	e := openTiny(t, Options{Context: 8})
	s := e.NewSeq()
	refused := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want one with %q", err, want)
		}
	}
	refused(e.Repeat(t.Context(), s, 1), "the sequence is empty")
	if _, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: []int32{5, 9}}}); err != nil {
		t.Fatal(err)
	}
	refused(e.Repeat(t.Context(), s, 7), kv.ErrFull.Error())
	if err := s.Truncate(2); err != nil {
		t.Fatal(err)
	}
	fork, err := s.Fork()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Forward(t.Context(), []kv.Work{{Seq: fork, Tokens: []int32{12}}}); err != nil {
		t.Fatal(err)
	}
	refused(e.Repeat(t.Context(), s, 1), "shares its cells")
	if got := s.Len(); got != 2 {
		t.Errorf("%d tokens after what was refused: want 2", got)
	}
}
