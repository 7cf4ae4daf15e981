package ebb_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/trace"
)

// hybridError is how far logits of a hybrid may be apart between splits of a prompt and batches, as a
// share of the largest. The norm behind a delta net divides by the length of what it reads from its
// memory, which magnifies rounding where little is there (2e-4 was measured).
const hybridError = 1e-3

// nearHybrid reports rows that differ by more than that.
func nearHybrid(t *testing.T, got, want [][]float32) error {
	t.Helper()
	scale := 0.0
	for _, row := range want {
		for _, v := range row {
			scale = max(scale, math.Abs(float64(v)))
		}
	}
	if d := worst(t, got, want); d > hybridError*scale {
		return fmt.Errorf("logits differ by %g; want at most %g of %g", d, hybridError, scale)
	}
	return nil
}

// hybrids are models with recurrent layers of each kind: delta nets, short convolutions, and Mamba-2, with
// and without experts. The first is tested most.
var hybrids = []string{"tiny-qwen35", "tiny-qwen35moe", "tiny-lfm2", "tiny-granitehybrid-moe", "tiny-nemotron"}

func TestHybridsGiveTheBitsOfStatic(t *testing.T) {
	for _, model := range hybrids {
		o := ebb.Options{Cache: kv.Static, Context: 512, ChunkTokens: 64}
		var want [][]float32
		for _, p := range cpuPlaces {
			for _, policy := range []kv.Policy{kv.Static, kv.Offloaded, kv.OffloadedStatic, kv.Dynamic, kv.Auto} {
				if model != hybrids[0] && (p.copies != (policy == kv.Offloaded) || policy == kv.Dynamic || policy == kv.Auto) && !testAll {
					continue // each value is there
				}
				o.Cache, o.KVMemory, o.Sequences = policy, 0, 0
				if policy == kv.Auto && p.copies && model == hybrids[0] { // the two layers that keep rows leave, and the states stay
					o.Sequences, o.KVMemory = 2, 750_000
				}
				e := p.open(t, goldenPath(t, model), o)
				got := script(t, e, 2)
				if want == nil {
					want = got
				}
				if err := sameBits(got, want); err != nil {
					t.Errorf("%s, %s, %v: %v", model, p.name, policy, err)
				}
				if s := e.Stats().Cache; s.RecomputedTokens == 0 || s.RecurrentLayers == 0 {
					t.Errorf("%s, %s, %v: %d tokens were computed again in %d recurrent layers: the test shows nothing", model, p.name, policy, s.RecomputedTokens, s.RecurrentLayers)
				}
				if s := e.Stats().Cache; o.KVMemory > 0 && s.Demotions == 0 && s.StreamedLayers == 0 {
					t.Errorf("no layer has left: the test shows nothing: %+v", s)
				}
			}
		}
	}
}

// A prompt in one chunk, in chunks of other sizes and token by token gives the same logits. Delta nets
// compute 64 tokens at a time.
func TestAnySplitOfAPromptGivesAHybridTheSameLogits(t *testing.T) {
	requireDevice(t, "cpu")
	tokens := prompt(1, 150)
	for _, model := range hybrids {
		open := func(chunk int) *ebb.Engine {
			return cpuCopies.open(t, goldenPath(t, model), ebb.Options{KVType: "f32", ChunkTokens: chunk})
		}
		e := open(512)
		s, one := e.NewSeq(), e.NewSeq()
		want := forward(t, e, s, tokens, len(tokens))
		sizes := []int{1, 2, 3, 5, 63, 64, 65}
		if model != hybrids[0] && !testAll {
			sizes = []int{1, 3, 65}
		}
		for _, chunk := range sizes {
			e := open(chunk)
			s := e.NewSeq()
			if err := nearHybrid(t, forward(t, e, s, tokens, len(tokens)), want); err != nil {
				t.Errorf("%s, chunks of %d: %v", model, chunk, err)
			}
			closeSeq(t, s)
		}
		var got [][]float32
		for i := range tokens {
			got = append(got, forward(t, e, one, tokens[i:i+1], 1)...)
		}
		if err := nearHybrid(t, got, want); err != nil {
			t.Errorf("%s, token by token: %v", model, err)
		}
		closeSeq(t, s)
		closeSeq(t, one)
	}
}

// Sequences of one tree and of several, with unequal and with equal numbers of tokens, have in a batch
// the logits that they have alone. So has one that was truncated, of which tokens are computed again.
func TestABatchOfHybridsEqualsItsMembers(t *testing.T) {
	requireDevice(t, "cpu")
	for _, model := range hybrids {
		t.Run(model, func(t *testing.T) { compareHybridBatch(t, model) })
	}
}

func compareHybridBatch(t *testing.T, model string) {
	t.Helper()
	e := cpuCopies.open(t, goldenPath(t, model), ebb.Options{KVType: "f32", Cache: kv.Offloaded, ChunkTokens: 32})
	var batch []kv.Work
	add := func(s *kv.Seq, tokens []int32) {
		t.Cleanup(func() { closeSeq(t, s) })
		batch = append(batch, kv.Work{Seq: s, Tokens: tokens, Logits: min(len(tokens), 2)})
	}
	first := e.NewSeq()
	forward(t, e, first, prompt(9, 20), 1)
	for i, n := range []int{2, 2, 5} { // of one tree
		fork, err := first.Fork()
		if err != nil {
			t.Fatal(err)
		}
		add(fork, prompt(20+i, n))
	}
	closeSeq(t, first)
	for i, n := range []int{3, 70, 1, 40} {
		add(e.NewSeq(), prompt(i, n))
	}
	for round := range 4 {
		got, err := e.Forward(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range batch {
			alone := e.NewSeq()
			if err := nearHybrid(t, got[i], forward(t, e, alone, w.Seq.Tokens(), len(got[i]))); err != nil {
				t.Errorf("round %d, sequence %d: %v", round, i, err)
			}
			closeSeq(t, alone)
			batch[i].Tokens, batch[i].Logits = prompt(100*round+i, 1), 1
		}
		for i := range round { // in the last rounds
			w := &batch[2*i]
			if err := w.Seq.Truncate(w.Seq.Len() - 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	if e.Stats().Cache.RecomputedTokens == 0 {
		t.Error("no token was computed again: the test shows nothing")
	}
}

// A step that is cancelled in any layer, or fails, leaves the state as it was: what follows has the bits
// of a sequence that never began it. The fork shares the state, and has them, too.
func TestAStepThatIsCancelledInAnyLayerLeavesTheState(t *testing.T) {
	requireDevice(t, "cpu")
	var cancel atomic.Pointer[context.CancelFunc]
	var at atomic.Int64
	o := ebb.Options{Cache: kv.Offloaded, Context: 256, ChunkTokens: 16, Trace: func(s trace.Span) {
		if f := cancel.Load(); f != nil && s.Track == trace.Compute && s.Name == "layer" && int64(s.Layer) == at.Load() {
			(*f)()
		}
	}}
	e := cpuCopies.open(t, modelPath("tiny-qwen35"), o)
	s, control := e.NewSeq(), e.NewSeq()
	forward(t, e, s, prompt(1, 40), 1)
	forward(t, e, control, prompt(1, 40), 1)
	fork, err := s.Fork()
	if err != nil {
		t.Fatal(err)
	}
	for layer := range 7 { // behind the last one nothing is cancelled
		ctx, end := context.WithCancel(t.Context())
		at.Store(int64(layer))
		cancel.Store(&end)
		_, err := e.Forward(ctx, []kv.Work{{Seq: s, Tokens: prompt(layer, 1+20*(layer%2)), Logits: 1}, {Seq: fork, Tokens: prompt(layer, 3)}})
		cancel.Store(nil)
		end()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("layer %d: %v; want %v", layer, err, context.Canceled)
		}
		if s.Len() != 40 || fork.Len() != 40 || len(s.Pending()) > 0 {
			t.Fatalf("layer %d: sequences of %d and %d tokens, %d to be computed again; want 40", layer, s.Len(), fork.Len(), len(s.Pending()))
		}
	}
	goOn := func(s *kv.Seq) (rows [][]float32) {
		for i := range 3 {
			rows = append(rows, forward(t, e, s, prompt(50+i, 1+i), 1)...)
		}
		closeSeq(t, s) // the next one has the same cells
		return rows
	}
	want := goOn(control)
	for _, s := range []*kv.Seq{fork, s} {
		if err := sameBits(goOn(s), want); err != nil {
			t.Error(err)
		}
	}
}

// If a later pass of a prompt is cancelled, the sequence has the state from before the first: no token is
// computed again, and no bit differs.
func TestCancellingALaterPassLeavesTheStateFromBeforeTheFirst(t *testing.T) {
	requireDevice(t, "cpu")
	var cancel atomic.Pointer[context.CancelFunc]
	var steps atomic.Int64
	o := ebb.Options{Context: 256, StepTokens: 32, Trace: func(s trace.Span) {
		if f := cancel.Load(); f != nil && s.Name == "layer" && s.Layer == 3 && steps.Add(1) == 3 {
			(*f)()
		}
	}}
	e := cpuInPlace.open(t, modelPath("tiny-qwen35"), o)
	s, control := e.NewSeq(), e.NewSeq()
	defer closeSeq(t, s)
	defer closeSeq(t, control)
	for _, s := range []*kv.Seq{s, control} {
		forward(t, e, s, prompt(1, 20), 1)
		forward(t, e, s, prompt(2, 1), 1)
	}
	ctx, end := context.WithCancel(t.Context())
	cancel.Store(&end)
	_, err := e.Forward(ctx, []kv.Work{{Seq: s, Tokens: prompt(3, 120), Logits: 1}})
	cancel.Store(nil)
	end()
	if !errors.Is(err, context.Canceled) || s.Len() != 21 {
		t.Fatalf("%v, and %d tokens; want %v, and 21", err, s.Len(), context.Canceled)
	}
	if err := sameBits(forward(t, e, s, prompt(4, 2), 1), forward(t, e, control, prompt(4, 2), 1)); err != nil {
		t.Error(err)
	}
	if n := e.Stats().Cache.RecomputedTokens; n > 0 {
		t.Errorf("%d tokens were computed again; want none", n)
	}
}

// Tokens that are computed again in passes, of which one is cancelled, are still the sequence's.
func TestCancellingWhileTokensAreComputedAgainLosesNone(t *testing.T) {
	requireDevice(t, "cpu")
	var cancel atomic.Pointer[context.CancelFunc]
	var steps atomic.Int64
	o := ebb.Options{Context: 256, StepTokens: 32, Trace: func(s trace.Span) {
		if f := cancel.Load(); f != nil && s.Name == "layer" && s.Layer == 3 && steps.Add(1) == 2 {
			(*f)()
		}
	}}
	e := cpuCopies.open(t, modelPath("tiny-qwen35"), o)
	s, fresh := e.NewSeq(), e.NewSeq()
	defer closeSeq(t, s)
	defer closeSeq(t, fresh)
	for i := range 5 {
		forward(t, e, s, prompt(i, 20), 1)
	}
	if err := s.Truncate(90); err != nil {
		t.Fatal(err)
	}
	tokens, next := s.Tokens(), prompt(7, 12)
	ctx, end := context.WithCancel(t.Context())
	cancel.Store(&end)
	_, err := e.Forward(ctx, []kv.Work{{Seq: s, Tokens: next, Logits: 1}})
	cancel.Store(nil)
	end()
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v; want %v", err, context.Canceled)
	}
	if !slices.Equal(s.Tokens(), tokens) || len(s.Pending()) != 58 {
		t.Errorf("%d tokens, %d to be computed again; want 90, 58 behind the first pass", s.Len(), len(s.Pending()))
	}
	got := forward(t, e, s, next, 1)
	if err := nearHybrid(t, got, forward(t, e, fresh, append(tokens, next...), 1)); err != nil {
		t.Error(err)
	}
}

// Beams share states and part: each text has the score that it has when it is computed alone.
func TestBeamsOfHybridsScoreAsIndependentRuns(t *testing.T) {
	requireDevice(t, "cpu")
	for _, policy := range []kv.Policy{kv.Static, kv.Offloaded} {
		e := cpuCopies.open(t, modelPath("tiny-qwen35"), ebb.Options{Cache: policy, KVType: "f32", Context: 256})
		start := prompt(3, 40)
		found, _ := search(t, e, [][]int32{start}, ebb.GenerationConfig{
			MaxNewTokens: 12, NumBeams: 4, NumReturnSequences: 4, EOSTokenID: endless,
		})
		for i, c := range found[0] {
			s, score := e.NewSeq(), 0.0
			rows := forward(t, e, s, append(slices.Clone(start), c.IDs[:len(c.IDs)-1]...), len(c.IDs))
			for j, id := range c.IDs {
				sum := 0.0
				for _, v := range rows[j] {
					sum += math.Exp(float64(v - rows[j][id]))
				}
				score -= math.Log(sum)
			}
			if score /= float64(len(c.IDs)); math.Abs(score-c.Score) > 1e-3*math.Abs(score) {
				t.Errorf("%v, beam %d: score %v; alone %v", policy, i, c.Score, score)
			}
			closeSeq(t, s)
		}
	}
}

// Guesses that are accepted in part leave the state as if there had been none.
func TestPromptLookupOfHybridsChangesNoText(t *testing.T) {
	requireDevice(t, "cpu")
	e := cpuInPlace.open(t, modelPath("tiny-qwen35"), ebb.Options{KVType: "f32", Context: 256})
	for _, c := range golden[goldenGreedy](t, "greedy_tiny-qwen35")[:1] {
		start := append(append(slices.Clone(c.Prompt), c.IDs[:10]...), c.Prompt...) // something to find
		want, _ := greedy(t, e, start, 24)
		for _, drafts := range []int{1, 2, 3, 8} {
			before := e.Stats().Cache
			s := e.NewSeq()
			got, err := generateIDs(t.Context(), e, s, start, ebb.GenerationConfig{
				MaxNewTokens: 24, PromptLookupNumTokens: drafts, MaxMatchingNGramSize: 1, EOSTokenID: endless,
			})
			if err != nil {
				t.Fatal(err)
			}
			closeSeq(t, s)
			if !slices.Equal(got, want) {
				t.Errorf("%d guesses:\n got %v\nwant %v", drafts, got, want)
			}
			after := e.Stats().Cache
			if n := after.RecomputedTokens - before.RecomputedTokens; n > 0 {
				t.Errorf("%d guesses: %d tokens were computed again; want none", drafts, n)
			}
		}
	}
}

// One short cell on the software device, whose shaders take long to compile: a prompt, a draft that is
// rejected in part, and a fork.
func TestHybridsOnAnotherDeviceEqualTheCPU(t *testing.T) {
	run := func(p place) (rows [][]float32) {
		e := p.open(t, modelPath("tiny-qwen35"), ebb.Options{Cache: kv.Offloaded, KVType: "f32", ChunkTokens: 8})
		s := e.NewSeq()
		defer closeSeq(t, s)
		rows = append(rows, forward(t, e, s, prompt(1, 7), 1)...)
		out, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: prompt(2, 3), Logits: 3, Drafts: 2}})
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, out[0]...)
		if err := s.Truncate(9); err != nil {
			t.Fatal(err)
		}
		fork, err := s.Fork()
		if err != nil {
			t.Fatal(err)
		}
		defer closeSeq(t, fork)
		rows = append(rows, forward(t, e, fork, prompt(3, 1), 1)...)
		out, err = e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: prompt(4, 1), Logits: 1}, {Seq: fork, Tokens: prompt(5, 1), Logits: 1}})
		if err != nil {
			t.Fatal(err)
		}
		return append(rows, append(out[0], out[1]...)...)
	}
	if d := worst(t, run(onGPU), run(cpuCopies)); d > onGPU.tolerance() {
		t.Errorf("logits differ by %g; want at most %g", d, onGPU.tolerance())
	}
}
