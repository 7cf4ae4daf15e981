package exec

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

func TestRepeatedRowsAreThoseFromTheFirstOn(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    setting
	}{
		{"resident", setting{Options: Options{Cache: kv.Options{Policy: kv.Static}}}},
		{"in place", setting{Options: Options{Cache: kv.Options{Policy: kv.Offloaded}}}},
		{"copied", setting{Options: Options{Cache: kv.Options{Policy: kv.Offloaded, ForcedCopies: true}}}},
		{"some resident, q8_0", setting{kvType: "q8_0", Options: Options{Cache: kv.Options{Policy: kv.OffloadedStatic, ForcedCopies: true, ResidentLayers: 2}}}},
		{"steps shorter than the sequence", setting{Options: Options{Cache: kv.Options{Policy: kv.Dynamic, StepTokens: 3}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const period, all = 5, 18
			tt.o.devices = cpu
			e := tt.o.mustOpen(t)
			s := e.pool.NewSeq()
			tokens := []int32{5, 9, 12, 40, 77}
			if _, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: tokens}}, nil); err != nil {
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
func wantRepeatedRows(t *testing.T, e *Runner, s *kv.Seq, all, period, repeated int) {
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
		if rows.K == nil {
			continue // a recurrent layer
		}
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

// Rings of 256 places get rows for 300 tokens: none that a next token sees is zero.
func TestRepeatFillsRings(t *testing.T) {
	e := setting{devices: cpu, windows: true, Options: Options{Cache: kv.Options{Cells: 512, ChunkTokens: 64, Policy: kv.Dynamic}}}.mustOpen(t)
	s := e.pool.NewSeq()
	if _, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: []int32{5, 9, 12, 40, 77}}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := e.Repeat(t.Context(), s, 295); err != nil {
		t.Fatal(err)
	}
	if n := e.pool.Stats().WindowedLayers; n != 5 || s.Len() != 300 {
		t.Fatalf("%d layers have rings, and there are %d tokens; want 5 and 300", n, s.Len())
	}
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
		window := e.config.Layers[layer.Index].Window
		if window == 0 {
			continue
		}
		rows, last := layer.Rows(0).K, step.Places(window)[0]
		for i := range int64(window - 1) {
			row := make([]byte, rows.Nb(1))
			rows.Get(row, (last+rows.Ne(1)-1-i)%rows.Ne(1)*rows.Nb(1))
			if slices.Max(row) == 0 {
				t.Errorf("layer %d: the key %d tokens back is zero", layer.Index, i+1)
			}
		}
	}
}

// Steps of repeated tokens read the state in one place and write it to another, as all steps do.
func TestRepeatKeepsStates(t *testing.T) {
	e := setting{devices: cpu, hybrid: true, Options: Options{Cache: kv.Options{ChunkTokens: 4, Policy: kv.Static}}}.mustOpen(t)
	s := e.pool.NewSeq()
	if _, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: []int32{5, 9, 12, 40, 77}}}, nil); err != nil {
		t.Fatal(err)
	}
	before := statesBefore(t, e, s)
	if err := e.Repeat(t.Context(), s, 18); err != nil {
		t.Fatal(err)
	}
	wantRepeatedRows(t, e, s, 23, 5, 5)
	after := statesBefore(t, e, s)
	if len(after) != e.pool.Stats().RecurrentLayers || len(after) == 0 {
		t.Fatalf("%d layers have states: want all recurrent ones", len(after))
	}
	for i := range after {
		if slices.Max(after[i]) == 0 || !bytes.Equal(after[i], before[i]) {
			t.Errorf("recurrent layer %d: the state is zero, or another than before", i)
		}
	}
}

// Repeat computes the tokens whose states are lost before it repeats any.
func TestRepeatComputesWhatIsPending(t *testing.T) {
	o := Options{Cache: kv.Options{Policy: kv.Static, SnapshotBytes: kv.NoSnapshots}}
	e := setting{devices: cpu, hybrid: true, Options: o}.mustOpen(t)
	s := e.pool.NewSeq()
	if _, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: []int32{5, 9, 12, 40, 77}}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Truncate(3); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Pending()); n != 3 {
		t.Fatalf("%d tokens are pending: want 3", n)
	}
	if err := e.Repeat(t.Context(), s, 7); err != nil {
		t.Fatal(err)
	}
	want := []int32{5, 9, 12, 5, 5, 9, 12, 5, 5, 9}
	if got := s.Tokens(); !slices.Equal(got, want) || len(s.Pending()) > 0 {
		t.Errorf("tokens %d, of which %d are pending: want %d, and none", got, len(s.Pending()), want)
	}
}

// statesBefore returns what recurrent layers carry of a sequence before its next step.
func statesBefore(t *testing.T, e *Runner, s *kv.Seq) (states [][]byte) {
	t.Helper()
	step, err := e.pool.Begin(t.Context(), []kv.Work{{Seq: s, Tokens: []int32{1}}})
	if err != nil {
		t.Fatal(err)
	}
	for layer, err := range step.Layers(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if all := layer.States().T; all != nil {
			state := make([]byte, all.Nb(1))
			all.Get(state, int64(step.Recurrences(0)[0].From)*all.Nb(1))
			states = append(states, state)
		}
	}
	if err := step.Close(); err != nil {
		t.Fatal(err)
	}
	return states
}

func TestRepeatRefusesWhatItCannotCopy(t *testing.T) {
	e := setting{devices: cpu, Options: Options{Cache: kv.Options{Cells: 8}}}.mustOpen(t)
	s := e.pool.NewSeq()
	refused := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want one with %q", err, want)
		}
	}
	refused(e.Repeat(t.Context(), s, 1), "the sequence is empty")
	if _, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: []int32{5, 9}}}, nil); err != nil {
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
	if _, err := e.Forward(t.Context(), []kv.Work{{Seq: fork, Tokens: []int32{12}}}, nil); err != nil {
		t.Fatal(err)
	}
	refused(e.Repeat(t.Context(), s, 1), "shares its cells")
	if got := s.Len(); got != 2 {
		t.Errorf("%d tokens after what was refused: want 2", got)
	}
}
