package ebb_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// Drafts of the model's own block: of random weights, which are never right, and of weights that
// make about half of them right.
func TestDraftedTextsAreTheGreedyOnes(t *testing.T) {
	for model, right := range map[string]bool{"tiny-qwen35-mtp": false, "tiny-qwen35-drafts": true, "tiny-qwen35moe-drafts": true} {
		path := goldenPath(t, model)
		for _, o := range []ebb.Options{{}, {Cache: kv.OffloadedStatic}} {
			o.KVType, o.MTP = "f32", 8
			e := cpuCopies.open(t, path, o)
			c := golden[goldenGreedy](t, "greedy_tiny-qwen35-mtp")[0]
			if right { // its reference is the text without drafts
				c.IDs, _ = greedy(t, e, c.Prompt, len(c.IDs))
			}
			for n := 1; n <= 8; n++ {
				t.Run(fmt.Sprintf("%s/%v/%d", model, o.Cache, n), func(t *testing.T) {
					before := e.Stats()
					ids, err := generateIDs(t.Context(), e, newSeq(t, e), c.Prompt, drafting(n, len(c.IDs)))
					if err != nil || !slices.Equal(ids, c.IDs) {
						t.Fatalf("ids %v, %v; want %v", ids, err, c.IDs)
					}
					after := e.Stats()
					drafted, accepted := after.Draft.Drafted-before.Draft.Drafted, after.Draft.Accepted-before.Draft.Accepted
					if right && (accepted == 0 || accepted == drafted) || drafted == 0 {
						t.Errorf("%d of %d drafts were right; want some, and not all", accepted, drafted)
					}
					// The prompt gives a token, and each step one and those that were right.
					if steps := after.Cache.Steps - before.Cache.Steps; steps != len(ids)-accepted {
						t.Errorf("%d steps for %d tokens, of which %d were drafted", steps, len(ids), accepted)
					}
				})
			}
		}
	}
}

// drafting drafts n tokens at a time, and generates some.
func drafting(n, tokens int) ebb.GenerationConfig {
	return ebb.GenerationConfig{MaxNewTokens: tokens, EOSTokenID: endless, MTP: n}
}

func TestWhatCannotDraftSaysSo(t *testing.T) {
	for _, tt := range []struct {
		model string
		mtp   int
		want  string
	}{
		{"tiny-qwen35", 2, "has no block that drafts tokens"},
		{"tiny-gqa", 2, "architecture llama do not draft tokens"},
		{"tiny-qwen35-mtp", -1, "MTP is -1 tokens: want at least 0"},
	} {
		e, err := ebb.Open(modelPath(tt.model), ebb.Options{MTP: tt.mtp})
		if err == nil {
			err = e.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.model, err, tt.want)
		}
	}
	e := cpuInPlace.open(t, modelPath("tiny-qwen35-mtp"), ebb.Options{MTP: 2})
	for want, c := range map[string]ebb.GenerationConfig{
		"opened to draft at most 2 tokens": {MTP: 3},
		"beams are not guessed":            {MTP: 2, NumBeams: 2},
		"only one of them guesses":         {MTP: 2, PromptLookupNumTokens: 2},
		"want num_return_sequences 1":      {MTP: 2, NumReturnSequences: 2, DoSample: true},
	} {
		if _, err := generateIDs(t.Context(), e, newSeq(t, e), []int32{1, 2}, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := e.Complete(t.Context(), []int32{1, 2}, ebb.GenerationConfig{MTP: 2}); err == nil || !strings.Contains(err.Error(), "want none in a batch") {
		t.Errorf("a batch: error %v", err)
	}
	other := cpuInPlace.open(t, modelPath("tiny-gqa"), ebb.Options{})
	if _, err := generateIDs(t.Context(), other, newSeq(t, other), []int32{1}, ebb.GenerationConfig{MTP: 1}); err == nil {
		t.Error("an engine without a block drafted")
	}
}

// Drawn texts take the same random numbers with drafts, a sequence goes on drafting in its next
// turn, and one that was restored begins anew.
func TestDraftedTextsThatAreDrawnOrGoOn(t *testing.T) {
	path := goldenPath(t, "tiny-qwen35-drafts")
	e := cpuCopies.open(t, path, ebb.Options{KVType: "f32", MTP: 3})
	first, second := prompt(1, 20), prompt(2, 9)
	for _, drawn := range []bool{false, true} {
		plain := drafting(0, 24)
		if drawn {
			plain.DoSample, plain.Seed, plain.Temperature = true, new(uint64(4)), new(0.3)
		}
		turns := func(mtp int) (ids []int32) {
			c, seq := plain, newSeq(t, e)
			c.MTP = mtp
			for _, p := range [][]int32{first, second} {
				got, err := generateIDs(t.Context(), e, seq, p, c)
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, got...)
			}
			return ids
		}
		before := e.Stats()
		if got, want := turns(3), turns(0); !slices.Equal(got, want) {
			t.Errorf("drawn %v: ids %v, want %v", drawn, got, want)
		}
		if e.Stats().Draft.Accepted == before.Draft.Accepted {
			t.Errorf("drawn %v: no draft was right", drawn)
		}
	}
}

// The block's K/V count towards what K/V may take: a context that was left open gets shorter.
func TestTheBlocksKVCount(t *testing.T) {
	path := modelPath("tiny-qwen35-mtp")
	fits := func(mtp int) int {
		t.Helper()
		return cpuCopies.open(t, path, ebb.Options{KVType: "f32", Cache: kv.Static, KVMemory: 400 << 10, MTP: mtp}).Context()
	}
	if without, with := fits(0), fits(1); with >= without {
		t.Errorf("a context of %d tokens fits with the block, and %d without", with, without)
	}
	const bound = 400 << 10
	for _, policy := range []kv.Policy{kv.Static, kv.Auto, kv.OffloadedStatic} {
		e := cpuCopies.open(t, path, ebb.Options{KVType: "f32", Cache: policy, KVMemory: bound, MTP: 3})
		if _, err := generateIDs(t.Context(), e, newSeq(t, e), prompt(1, 20), drafting(3, 24)); err != nil {
			t.Fatal(err)
		}
		s := e.Stats()
		if taken := s.Cache.DeviceBytesPeak + s.Draft.Cache.DeviceBytesPeak; taken > bound || s.Draft.Drafted == 0 {
			t.Errorf("%v: %d bytes of K/V and states, want at most %d; %d tokens were drafted", policy, taken, bound, s.Draft.Drafted)
		}
	}
}

// A sequence that was restored drafts, although the block has no rows of what it holds.
func TestRestoredSequencesDraft(t *testing.T) {
	ownCache(t)
	path := goldenPath(t, "tiny-qwen35-drafts")
	e := cpuCopies.open(t, path, ebb.Options{KVType: "f32", MTP: 3})
	c := drafting(3, 24)
	seq := newSeq(t, e)
	if _, err := generateIDs(t.Context(), e, seq, prompt(1, 20), c); err != nil {
		t.Fatal(err)
	}
	s := openSession(t, e, filepath.Join(t.TempDir(), "talk.ebb"))
	if err := s.Save(t.Context(), seq, nil); err != nil {
		t.Fatal(err)
	}
	restored, err := s.Restore(t.Context(), seq.Len())
	if err != nil {
		t.Fatal(err)
	}
	defer closeSeq(t, restored)
	before := e.Stats().Draft
	got, err := generateIDs(t.Context(), e, restored, prompt(2, 9), c)
	if err != nil {
		t.Fatal(err)
	}
	if e.Stats().Draft.Accepted == before.Accepted {
		t.Error("no draft was right")
	}
	if want, err := generateIDs(t.Context(), e, seq, prompt(2, 9), drafting(0, 24)); err != nil || !slices.Equal(got, want) {
		t.Errorf("ids %v; want %v, %v", got, want, err)
	}
}
