package ebb_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/sample"
)

// strategies are requests of all kinds of search. No choice after these prompts is closer than
// float error.
func strategies(t *testing.T) (requests []ebb.Request) {
	t.Helper()
	beam, diverse := golden[goldenBeam](t, "beam_tiny-gqa"), golden[goldenBeam](t, "diverse_tiny-gqa")
	greedy := golden[goldenGreedy](t, "greedy_tiny-gqa")
	add := func(prompt []int32, c ebb.GenerationConfig) {
		requests = append(requests, ebb.Request{Prompt: prompt, Config: c})
	}
	add(greedy[1].Prompt, ebb.GenerationConfig{MaxNewTokens: 20, EOSTokenID: endless, OutputScores: true})
	add(beam[0].Prompt, beam[0].config(t))
	add(greedy[2].Prompt, ebb.GenerationConfig{MaxNewTokens: 12, EOSTokenID: endless, PromptLookupNumTokens: 4, OutputScores: true})
	add(diverse[1].Prompt, diverse[1].config(t))
	add(greedy[0].Prompt, ebb.GenerationConfig{
		MaxNewTokens: 16, EOSTokenID: endless, DoSample: true, Seed: new(uint64(3)), NumReturnSequences: 3, OutputScores: true,
	})
	add(beam[2].Prompt, beam[2].config(t))
	return requests
}

// nearly allows scores to differ by float error.
var nearly = cmp.Comparer(func(a, b float64) bool { return a == b || math.Abs(a-b) <= 1e-4*max(1, math.Abs(b)) })

// runBatch generates for all requests at once.
func runBatch(t *testing.T, e *ebb.Engine, requests []ebb.Request, run func(*ebb.Batch) error) (found [][]ebb.Completion) {
	t.Helper()
	b := e.NewBatch(ebb.BatchOptions{})
	var generations []*ebb.Generation
	for _, r := range requests {
		g, err := b.Add(r)
		if err != nil {
			t.Fatal(err)
		}
		generations = append(generations, g)
	}
	if err := run(b); err != nil {
		t.Fatal(err)
	}
	for _, g := range generations {
		if err := g.Err(); err != nil {
			t.Fatal(err)
		}
		found = append(found, g.Completions())
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if c := e.Stats().Cache; c.Policy == kv.Offloaded && c.HostBytes != 0 {
		t.Errorf("%d bytes of K/V are left after Close", c.HostBytes)
	}
	return found
}

func TestABatchOfSearchesEqualsItsMembers(t *testing.T) {
	requests := strategies(t)
	for i, policy := range policies {
		p := cpuPlaces[i%2]
		t.Run(p.name+"/"+policy.String(), func(t *testing.T) {
			e := p.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: policy, KVType: "f32"})
			run := func(b *ebb.Batch) error { return b.Run(t.Context()) }
			before := e.Stats().Cache.Steps
			together := runBatch(t, e, requests, run)
			if steps := e.Stats().Cache.Steps - before; steps > 50 {
				t.Errorf("%d steps, want no more than the longest search takes, which are 50", steps)
			}
			for i, r := range requests {
				alone := runBatch(t, e, []ebb.Request{r}, run)
				if diff := cmp.Diff(together[i], alone[0], nearly); diff != "" {
					t.Errorf("request %d (-together +alone):\n%s", i, diff)
				}
			}
		})
	}
}

func TestGoldenBatchesHaveTheirIDsInABatch(t *testing.T) {
	requireDevice(t, "cpu")
	for i, model := range []string{"tiny-gqa", "tiny-mha"} {
		for j, policy := range policies {
			e := cpuPlaces[(i+j)%2].open(t, modelPath(model), ebb.Options{Cache: policy, KVType: "f32"})
			for k, c := range golden[goldenBatch](t, "batch_"+model) {
				config := ebb.GenerationConfig{MaxNewTokens: 40, EOSTokenID: endless}
				if c.EOS != nil {
					config.EOSTokenID = ebb.TokenIDs{*c.EOS}
				}
				found, _ := search(t, e, unpad(c), config)
				for r, sequences := range found {
					want := c.IDs[r]
					if c.EOS != nil {
						if end := slices.Index(want, *c.EOS); end >= 0 {
							want = want[:end+1]
						}
					}
					if diff := cmp.Diff(sequences[0].IDs, want); diff != "" {
						t.Errorf("%s, %v, case %d, row %d (-got +want):\n%s", model, policy, k, r, diff)
					}
				}
			}
		}
	}
}

// Cancelled at any moment of a step, a batch goes on to the same bits.
func TestACancelledBatchResumesAsIfItHadNotBeen(t *testing.T) {
	requests := strategies(t)
	for i, policy := range policies {
		p := cpuPlaces[1-i%2]
		t.Run(p.name+"/"+policy.String(), func(t *testing.T) {
			e := p.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: policy, KVType: "f32"})
			want := runBatch(t, e, requests, func(b *ebb.Batch) error { return b.Run(t.Context()) })
			cancelled := 0
			got := runBatch(t, e, requests, func(b *ebb.Batch) error {
				for moment := 0; ; moment++ {
					ctx := &countdown{Context: t.Context()}
					ctx.left.Store(int64(moment * 17 % 300)) // a step asks less than 150 times
					switch err := b.Run(ctx); {
					case err == nil:
						return nil
					case !errors.Is(err, context.Canceled):
						return err
					}
					cancelled++
				}
			})
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("after %d cancellations (-got +want):\n%s", cancelled, diff)
			}
			if cancelled < 10 {
				t.Errorf("cancelled %d times; want 10 at least", cancelled)
			}
		})
	}
}

// countdown is a context that is cancelled once it was asked a number of times.
type countdown struct {
	context.Context //nolint:containedctx // it is one
	left            atomic.Int64
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// Groups of one beam, and a penalty that is nothing beside a log-probability, make each group a
// greedy search.
func TestAsManyGroupsAsBeamsAreGreedySearches(t *testing.T) {
	requireDevice(t, "cpu")
	e := cpuCopies.open(t, modelPath("tiny-mha"), ebb.Options{Cache: kv.Offloaded, KVType: "f32"})
	for _, c := range golden[goldenGreedy](t, "greedy_tiny-mha") {
		found, _ := search(t, e, [][]int32{c.Prompt}, ebb.GenerationConfig{
			MaxNewTokens: 24, NumBeams: 3, NumBeamGroups: 3, DiversityPenalty: 1e-30, NumReturnSequences: 3, EOSTokenID: endless,
		})
		greedy, _ := search(t, e, [][]int32{c.Prompt}, ebb.GenerationConfig{MaxNewTokens: 24, NumBeams: 1, EOSTokenID: endless, OutputScores: true})
		if diff := cmp.Diff(greedy[0][0].IDs, c.IDs[:24]); diff != "" {
			t.Errorf("one beam (-got +want):\n%s", diff)
		}
		for i, s := range found[0] {
			if diff := cmp.Diff(s.IDs, c.IDs[:24]); diff != "" {
				t.Errorf("group %d (-got +want):\n%s", i, diff)
			}
			if got, want := s.Score*24, greedy[0][0].Score; math.Abs(got-want) > 1e-3 { // float32 sums of 24 numbers
				t.Errorf("group %d: log-probability %v, want %v", i, got, want)
			}
		}
	}
}

// All margins of these texts are above float error.
func TestSpeculationGivesTheGreedyIDsUnderEveryPolicy(t *testing.T) {
	requireDevice(t, "cpu")
	for i, policy := range policies {
		for _, model := range []string{"tiny-gqa", "tiny-one"} {
			e := cpuPlaces[i%2].open(t, modelPath(model), ebb.Options{Cache: policy, KVType: "f32"})
			guessed := 0
			for _, c := range golden[goldenGreedy](t, "greedy_"+model) {
				seq := newSeq(t, e)
				before := e.Stats().Cache.Steps
				got, err := generateIDs(t.Context(), e, seq, c.Prompt, ebb.GenerationConfig{
					MaxNewTokens: 64, EOSTokenID: endless, PromptLookupNumTokens: 3, MaxMatchingNGramSize: 1,
				})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(got, c.IDs); diff != "" {
					t.Errorf("%s, %v, prompt of %d (-got +want):\n%s", model, policy, len(c.Prompt), diff)
				}
				if diff := cmp.Diff(seq.Tokens(), slices.Concat(c.Prompt, got[:63])); diff != "" {
					t.Errorf("%s, %v: the sequence (-got +want):\n%s", model, policy, diff)
				}
				guessed += 64 - (e.Stats().Cache.Steps - before)
			}
			if guessed == 0 {
				t.Errorf("%s, %v: as many steps as tokens: nothing was guessed right", model, policy)
			}
		}
	}
}

// Every token takes one random number, guessed or not; that the distribution is the same is tested
// in package generate.
func TestSpeculationGivesTheSampledIDsUnderEveryPolicy(t *testing.T) {
	requireDevice(t, "cpu")
	plain := ebb.GenerationConfig{MaxNewTokens: 40, EOSTokenID: endless, DoSample: true, Seed: new(uint64(4)), Temperature: new(0.5), TopK: new(3)}
	guessing := plain
	guessing.PromptLookupNumTokens, guessing.MaxMatchingNGramSize = 3, 1
	for i, policy := range policies {
		e := cpuPlaces[i%2].open(t, modelPath("tiny-gqa"), ebb.Options{Cache: policy, KVType: "f32"})
		guessed := 0
		for n := range 4 {
			want, err := generateIDs(t.Context(), e, newSeq(t, e), prompt(n, 30), plain)
			if err != nil {
				t.Fatal(err)
			}
			before := e.Stats().Cache.Steps
			got, err := generateIDs(t.Context(), e, newSeq(t, e), prompt(n, 30), guessing)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("%v, prompt %d (-got +want):\n%s", policy, n, diff)
			}
			guessed += 40 - (e.Stats().Cache.Steps - before)
		}
		if guessed == 0 {
			t.Errorf("%v: as many steps as tokens: nothing was guessed right", policy)
		}
	}
}

func TestASeedRepeatsATextUnderEveryPolicy(t *testing.T) {
	requireDevice(t, "cpu")
	c := ebb.GenerationConfig{MaxNewTokens: 30, DoSample: true, Seed: new(uint64(11)), Temperature: new(0.8), TopP: new(0.95), EOSTokenID: endless}
	var want []int32
	for _, policy := range policies {
		for _, p := range cpuPlaces {
			e := p.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: policy, KVType: "f32"})
			for range 2 {
				got, err := generateIDs(t.Context(), e, newSeq(t, e), []int32{22, 70}, c)
				if err != nil {
					t.Fatal(err)
				}
				if want == nil {
					want = got
				}
				if diff := cmp.Diff(got, want); diff != "" {
					t.Errorf("%v, %s (-got +want):\n%s", policy, p.name, diff)
				}
			}
		}
	}
	e := cpuInPlace.open(t, modelPath("tiny-gqa"), ebb.Options{KVType: "f32"})
	c.Seed = new(uint64(12))
	if got, err := generateIDs(t.Context(), e, newSeq(t, e), []int32{22, 70}, c); err != nil || slices.Equal(got, want) {
		t.Errorf("another seed: %v, error %v; want another text", got, err)
	}
}

func TestBeamsThatDoNotFitSayHowManyWould(t *testing.T) {
	for _, policy := range []kv.Policy{kv.Static, kv.OffloadedStatic} {
		e := openEngine(t, ebb.Options{Cache: policy, Context: 64})
		c := ebb.GenerationConfig{ // groups have little in common
			MaxNewTokens: 21, NumBeams: 8, NumBeamGroups: 4, DiversityPenalty: 9, NumReturnSequences: 2, EOSTokenID: endless,
		}
		found, err := e.Complete(t.Context(), prompt(1, 4), c)
		want := "8 beams of up to 21 new tokens after a prompt of 4 do not fit into a context of 64, 3 are sure to"
		if !errors.Is(err, kv.ErrFull) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %v with %q", policy, err, kv.ErrFull, want)
		}
		if len(found) != 2 || len(found[0].IDs) == 0 || found[0].Text == "" {
			t.Errorf("%v: found %+v, want what was generated before", policy, found)
		}
		c.NumBeams, c.NumBeamGroups = 3, 3
		if _, err := e.Complete(t.Context(), prompt(1, 4), c); err != nil {
			t.Errorf("%v: 3 beams: %v", policy, err)
		}
	}
}

func TestABatchTakesASequenceAndItsLogitsAndLeavesItAsItIs(t *testing.T) {
	e := openEngine(t, ebb.Options{Cache: kv.Offloaded, ForcedCopies: true})
	tokens := prompt(3, 20)
	c := ebb.GenerationConfig{MaxNewTokens: 10, NumBeams: 4, NumReturnSequences: 4, EOSTokenID: endless}
	want, err := e.Complete(t.Context(), tokens, c)
	if err != nil {
		t.Fatal(err)
	}
	seq := newSeq(t, e)
	forward(t, e, seq, tokens[:19], 1)
	run := func(b *ebb.Batch) error { return b.Run(t.Context()) }
	if diff := cmp.Diff(runShared(t, e, ebb.Request{Seq: seq, Prompt: tokens[19:], Config: c}, run), want, nearly); diff != "" {
		t.Errorf("after 19 tokens in the cache (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(seq.Tokens(), tokens[:19]); diff != "" {
		t.Errorf("the sequence (-got +want):\n%s", diff)
	}
	logits := forward(t, e, seq, tokens[19:], 1)[0]
	if diff := cmp.Diff(runShared(t, e, ebb.Request{Seq: seq, Logits: logits, Config: c}, run), want, nearly); diff != "" {
		t.Errorf("from logits (-got +want):\n%s", diff)
	}
}

// runShared generates for one request, whose sequence is in the cache afterwards.
func runShared(t *testing.T, e *ebb.Engine, r ebb.Request, run func(*ebb.Batch) error) []ebb.Completion {
	t.Helper()
	b := e.NewBatch(ebb.BatchOptions{})
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	g, err := b.Add(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(run(b), g.Err()); err != nil {
		t.Fatal(err)
	}
	return g.Completions()
}

func TestWhatFailsInABatchKeepsItsTextAndDoesNotEndTheOthers(t *testing.T) {
	e := openEngine(t, ebb.Options{Cache: kv.Static, Context: 24})
	broken := ebb.GenerationConfig{MaxNewTokens: 12, EOSTokenID: endless, Processors: []sample.Processor{
		sample.Func(func(ids []int32, scores []float32) error {
			if len(ids) == 6 {
				for i := range scores {
					scores[i] = float32(math.Inf(-1))
				}
			}
			return nil
		}),
	}}
	fine := ebb.GenerationConfig{MaxNewTokens: 12, EOSTokenID: endless}
	full := ebb.GenerationConfig{MaxNewTokens: 40, EOSTokenID: endless}
	b := e.NewBatch(ebb.BatchOptions{})
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	var g []*ebb.Generation
	for _, c := range []ebb.GenerationConfig{broken, full, fine} {
		generation, err := b.Add(ebb.Request{Prompt: prompt(5, 3), Config: c})
		if err != nil {
			t.Fatal(err)
		}
		g = append(g, generation)
	}
	if _, err := b.Add(ebb.Request{Config: fine}); err == nil {
		t.Error("an empty prompt was taken")
	}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g[0].Err(); !errors.Is(err, sample.ErrNoToken) || !strings.Contains(err.Error(), "token 4") {
		t.Errorf("a processor that forbids all: error %v, want %v at token 4", err, sample.ErrNoToken)
	}
	if err := g[1].Err(); !errors.Is(err, kv.ErrFull) {
		t.Errorf("a full cache: error %v, want %v", err, kv.ErrFull)
	}
	if err := g[2].Err(); err != nil {
		t.Errorf("the third: %v", err)
	}
	for i, want := range []struct {
		tokens int
		finish generate.Finish
	}{{3, generate.Unfinished}, {22, generate.Unfinished}, {12, generate.LengthLimit}} {
		if s := g[i].Completions()[0]; len(s.IDs) != want.tokens || s.Finish != want.finish {
			t.Errorf("generation %d: %d tokens (%v), want %d (%v)", i, len(s.IDs), s.Finish, want.tokens, want.finish)
		}
	}
}

func TestEndedGenerationFreesItsCacheWhileOthersGoOn(t *testing.T) {
	for _, c := range []ebb.GenerationConfig{{MaxNewTokens: 4}, {MaxNewTokens: 4, DoSample: true, NumReturnSequences: 3}} {
		c.EOSTokenID = endless
		e := openEngine(t, ebb.Options{Cache: kv.Offloaded, ForcedCopies: true})
		b := e.NewBatch(ebb.BatchOptions{})
		first, err := b.Add(ebb.Request{Prompt: prompt(2, 30), Config: c})
		if err != nil {
			t.Fatal(err)
		}
		second, err := b.Add(ebb.Request{Prompt: prompt(3, 30), Config: ebb.GenerationConfig{MaxNewTokens: 12, EOSTokenID: endless}})
		if err != nil {
			t.Fatal(err)
		}
		var both int64
		for !first.Done() {
			if _, err := b.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !first.Done() {
				both = e.Stats().Cache.HostBytes
			}
		}
		if one := e.Stats().Cache.HostBytes; one == 0 || one*2 != both {
			t.Errorf("%d bytes of K/V in host memory after the first of two ended, and %d before: want half", one, both)
		}
		if err := b.Remove(second); err != nil || !errors.Is(second.Err(), generate.ErrRemoved) {
			t.Errorf("removing the second: %v, and its error is %v", err, second.Err())
		}
		if left := e.Stats().Cache.HostBytes; left != 0 {
			t.Errorf("%d bytes of K/V are left, want none, though the batch is open", left)
		}
		if n := len(second.Completions()[0].IDs); n != 4 {
			t.Errorf("%d tokens of the removed generation, want the 4 found before", n)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestBatchLeavesNothingOfARequestWithASequence(t *testing.T) {
	e := openEngine(t, ebb.Options{})
	seq := newSeq(t, e)
	logits := forward(t, e, seq, prompt(1, 3), 1)[0]
	b := e.NewBatch(ebb.BatchOptions{})
	defer b.Close()
	const requests = 2000
	objects := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapObjects)
	}
	add := func() {
		g, err := b.Add(ebb.Request{Seq: seq, Logits: logits, Config: ebb.GenerationConfig{MaxNewTokens: 9, EOSTokenID: endless}})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Remove(g); err != nil {
			t.Fatal(err)
		}
	}
	add()
	before := objects()
	for range requests {
		add()
	}
	if grown := objects() - before; grown > requests/2 {
		t.Errorf("%d requests left %d objects on the heap, want none", requests, grown)
	}
}

func TestDecodePairsTokensWithTheTextOfTheirCompletion(t *testing.T) {
	e := openEngine(t, ebb.Options{})
	for _, c := range []ebb.GenerationConfig{
		{MaxNewTokens: 12, EOSTokenID: endless},
		{MaxNewTokens: 12, EOSTokenID: endless, StopStrings: ebb.Strings{"\x00never", "e"}},
	} {
		for n := range 4 {
			found, err := e.Complete(t.Context(), prompt(n, 9), c)
			if err != nil {
				t.Fatal(err)
			}
			want := found[0]
			got := ebb.Completion{Score: want.Score}
			for piece, err := range e.Decode(e.GenerateTokens(t.Context(), newSeq(t, e), prompt(n, 9), c), c.StopStrings) {
				if err != nil {
					t.Fatal(err)
				}
				got.IDs, got.Tokens = append(got.IDs, piece.ID), append(got.Tokens, piece.Token)
				got.Text += piece.Text
				got.Finish = piece.Finish
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("prompt %d (-decoded +completion):\n%s", n, diff)
			}
		}
	}
}

func TestCompletionsDecodeEachTokenOnce(t *testing.T) {
	e := openEngine(t, ebb.Options{})
	b := e.NewBatch(ebb.BatchOptions{})
	defer b.Close()
	g, err := b.Add(ebb.Request{Prompt: prompt(2, 9), Config: ebb.GenerationConfig{MaxNewTokens: 100, EOSTokenID: endless, StopStrings: ebb.Strings{"\x00never"}}})
	if err != nil {
		t.Fatal(err)
	}
	var seen string
	for running := true; running; {
		if running, err = b.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		seen = g.Completions()[0].Text
	}
	if want, err := e.Complete(t.Context(), prompt(2, 9), ebb.GenerationConfig{MaxNewTokens: 100, EOSTokenID: endless}); err != nil || seen != want[0].Text {
		t.Errorf("text %q, decoded step by step, error %v, want %q", seen, err, want[0].Text)
	}
	if n := testing.AllocsPerRun(10, func() { g.Completions() }); n > 10 {
		t.Errorf("%v allocations to read 100 tokens again, want a few", n)
	}
}

// A request that keeps its sequence goes on with it, so that a conversation does, also after a request
// that was cancelled in its prompt.
func TestAConversationGoesOnFromTheSequenceThatARequestKeeps(t *testing.T) {
	e := openEngine(t, ebb.Options{Context: 512})
	c := ebb.GenerationConfig{MaxNewTokens: 8, EOSTokenID: endless}
	seq := newSeq(t, e)
	var said []int32
	for turn := range 3 {
		b := e.NewBatch(ebb.BatchOptions{}) // whose first pass beside a text is short
		defer b.Close()
		step := func() {
			if _, err := b.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Add(ebb.Request{Prompt: prompt(9, 4), Config: ebb.GenerationConfig{EOSTokenID: endless}}); err != nil { // beside it
			t.Fatal(err)
		}
		step()
		ctx, cancel := context.WithCancel(t.Context())
		cancelled, err := b.Add(ebb.Request{Context: ctx, Seq: seq, Prompt: prompt(turn, 60), Config: c, Keep: true})
		if err != nil {
			t.Fatal(err)
		}
		for cancelled.PromptLeft() == 60 {
			step()
		}
		computed := 60 - cancelled.PromptLeft()
		cancel()
		step()
		said = append(said, prompt(turn, 60)[:computed]...)
		if err := cancelled.Err(); !errors.Is(err, context.Canceled) || computed == 60 || !slices.Equal(seq.Tokens(), said) {
			t.Fatalf("turn %d: error %v after %d of 60 tokens, and the sequence holds %d: want %v, and %d", turn, err, computed, seq.Len(), context.Canceled, len(said))
		}
		g, err := b.Add(ebb.Request{Seq: seq, Prompt: prompt(turn, 60)[computed:], Config: c, Keep: true})
		if err != nil {
			t.Fatal(err)
		}
		for !g.Done() {
			step()
		}
		before := slices.Concat(said, prompt(turn, 60)[computed:])
		want, err := e.Complete(t.Context(), before, c)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Completions(); g.Err() != nil || !slices.Equal(got[0].IDs, want[0].IDs) {
			t.Fatalf("turn %d: error %v, ids %v, want %v", turn, g.Err(), got, want[0].IDs)
		}
		if said = slices.Concat(before, want[0].IDs[:7]); !slices.Equal(seq.Tokens(), said) {
			t.Fatalf("turn %d: the sequence holds %v, want %v", turn, seq.Tokens(), said)
		}
	}
	b := e.NewBatch(ebb.BatchOptions{})
	defer b.Close()
	if _, err := b.Add(ebb.Request{Prompt: prompt(1, 3), Config: c, Keep: true}); err == nil || !strings.Contains(err.Error(), "want the sequence") {
		t.Errorf("a request that keeps no sequence: error %v", err)
	}
}

// Whoever reads the results of a generation after each step finds the tokens that it has read before,
// and new ones behind them: those of its completions.
func TestResultsGrowBehindWhatWasRead(t *testing.T) {
	e := openEngine(t, ebb.Options{Cache: kv.Static})
	b := e.NewBatch(ebb.BatchOptions{})
	defer b.Close()
	g, err := b.Add(ebb.Request{Prompt: prompt(5, 3), Config: ebb.GenerationConfig{
		MaxNewTokens: 12, DoSample: true, NumReturnSequences: 2, EOSTokenID: endless, Seed: new(uint64(3)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	read := make([][]int32, 2)
	for !g.Done() {
		if _, err := b.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, text := range g.Results() {
			for _, token := range text.Tokens[len(read[i]):] {
				read[i] = append(read[i], token.ID)
			}
		}
	}
	for i, c := range g.Completions() {
		if diff := cmp.Diff(read[i], c.IDs); diff != "" || len(c.IDs) != 12 {
			t.Errorf("text %d (-read +want):\n%s", i, diff)
		}
	}
}
