package ebb_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
)

// crowd is requests that do not fit together where there is room for a few blocks: their texts grow beyond
// the first block of their sequences.
func crowd() (requests []ebb.Request) {
	for i, c := range []ebb.GenerationConfig{
		{},
		{DoSample: true, Seed: new(uint64(3)), Temperature: new(0.9)},
		{NumBeams: 3},
		{DoSample: true, NumReturnSequences: 2, Seed: new(uint64(5))},
		{PromptLookupNumTokens: 3, MaxMatchingNGramSize: 1},
	} {
		c.MaxNewTokens, c.EOSTokenID = 24, endless
		requests = append(requests, ebb.Request{Prompt: prompt(i, 240+3*i), Config: c})
	}
	return requests
}

// blocks is how many bytes some blocks of 256 rows take in all layers.
func blocks(e *ebb.Engine, n int) int64 { return int64(n) * kv.Block * e.Stats().Cache.TokenBytes }

// Requests for which there is no room together wait for each other, and end with the texts that they have
// alone.
func TestRequestsThatDoNotFitTogetherWait(t *testing.T) {
	requireDevice(t, "cpu")
	limited := func(blocks int64) ebb.Options {
		return ebb.Options{Cache: kv.Offloaded, ForcedCopies: true, Tier: stack.New(host.NewExact, nil, blocks).New}
	}
	for name, tt := range map[string]struct {
		model  string
		limit  func(bytes func(n int) int64) ebb.Options
		parks  bool
		queues bool // requests wait before they begin
	}{
		"rows given up":   {model: "tiny-gqa", limit: func(bytes func(int) int64) ebb.Options { return limited(bytes(3)) }},
		"rows in files":   {model: "tiny-gqa", limit: func(bytes func(int) int64) ebb.Options { return limited(bytes(3)) }, parks: true},
		"states":          {model: "tiny-qwen35", limit: func(bytes func(int) int64) ebb.Options { return limited(bytes(3)) }},
		"states in files": {model: "tiny-qwen35", limit: func(bytes func(int) int64) ebb.Options { return limited(bytes(3)) }, parks: true},
		"auto": {model: "tiny-gqa", limit: func(bytes func(int) int64) ebb.Options {
			o := limited(bytes(2))
			o.Cache, o.KVMemory = kv.Auto, bytes(3)
			return o
		}},
		"a disk": {model: "tiny-gqa", limit: func(bytes func(int) int64) ebb.Options {
			return ebb.Options{Cache: kv.Offloaded, Disk: t.TempDir(), HostMemory: bytes(2), DiskBytes: 11 << 20}
		}},
		"memory for two": {model: "tiny-gqa", queues: true, limit: func(bytes func(int) int64) ebb.Options {
			return ebb.Options{Cache: kv.Static, Sequences: 2, KVMemory: bytes(4)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			path := modelPath("tiny-gqa")
			if tt.model != "tiny-gqa" {
				path = goldenPath(t, tt.model)
			}
			common := ebb.Options{KVType: "f32", Context: 2 * kv.Block, Threads: 1}
			roomy := cpuCopies.open(t, path, common)
			o := tt.limit(func(n int) int64 { return blocks(roomy, n) })
			o.KVType, o.Context = common.KVType, common.Context
			e := cpuCopies.open(t, path, o)
			var options ebb.BatchOptions
			if tt.parks {
				options.Park = parkInFiles(t, e)
			}
			b := e.NewBatch(options)
			defer b.Close()
			var going []*ebb.Generation
			for _, r := range crowd() {
				g, err := b.Add(r)
				if err != nil {
					t.Fatal(err)
				}
				going = append(going, g)
			}
			queued := 0
			for running := true; running; {
				var err error
				if running, err = b.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
				for _, g := range going {
					if g.Phase() == generate.Queued {
						queued++
					}
				}
			}
			for i, r := range crowd() {
				want, err := roomy.Complete(t.Context(), r.Prompt, r.Config)
				if err != nil {
					t.Fatal(err)
				}
				if err := going[i].Err(); err != nil {
					t.Errorf("request %d: %v", i, err)
				}
				if diff := cmp.Diff(going[i].Completions(), want, nearly); diff != "" {
					t.Errorf("request %d (-got +want):\n%s", i, diff)
				}
			}
			s := b.Stats()
			t.Logf("%+v, %d queued", s, queued)
			if tt.queues && queued == 0 || !tt.queues && (s.Parked == 0 || (s.Again < 100) != tt.parks) {
				t.Errorf("%+v, and requests were queued for %d steps: the test shows nothing", s, queued)
			}
		})
	}
}

// parkInFiles parks sequences in session files.
func parkInFiles(t *testing.T, e *ebb.Engine) func(context.Context, *kv.Seq) (func(context.Context) (*kv.Seq, error), error) {
	n := 0
	return func(ctx context.Context, seq *kv.Seq) (func(context.Context) (*kv.Seq, error), error) {
		n++
		s, err := e.OpenSession(filepath.Join(t.TempDir(), fmt.Sprintf("%d.ebb", n)))
		if err != nil {
			return nil, err
		}
		tokens := seq.Len()
		if err := errors.Join(s.Save(ctx, seq, nil), seq.Close()); err != nil {
			return nil, err
		}
		return func(ctx context.Context) (*kv.Seq, error) {
			restored, err := s.Restore(ctx, tokens)
			if err == nil {
				err = s.Close()
			}
			return restored, err
		}, nil
	}
}

// Forks of a sequence share the cells of its tree. Those that have no room there wait for each other, and go
// on in trees of their own.
func TestForksForWhichTheirTreeHasNoRoomWait(t *testing.T) {
	e := openEngine(t, ebb.Options{Cache: kv.Static, Context: 64})
	conversation := newSeq(t, e)
	forward(t, e, conversation, prompt(1, 20), 1)
	b := e.NewBatch(ebb.BatchOptions{})
	defer b.Close()
	var going []*ebb.Generation
	c := ebb.GenerationConfig{MaxNewTokens: 20, EOSTokenID: endless}
	for i := range 4 { // 20 tokens that they share, and 4 times 24
		g, err := b.Add(ebb.Request{Seq: conversation, Prompt: prompt(2+i, 5), Config: c})
		if err != nil {
			t.Fatal(err)
		}
		going = append(going, g)
	}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, g := range going {
		want, err := e.Complete(t.Context(), append(prompt(1, 20), prompt(2+i, 5)...), c)
		if err := errors.Join(err, g.Err()); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
		if diff := cmp.Diff(g.Completions(), want, nearly); diff != "" {
			t.Errorf("request %d (-got +want):\n%s", i, diff)
		}
	}
	if s := b.Stats(); s.SetAside == 0 || s.Parked == 0 || conversation.Len() != 20 {
		t.Errorf("%+v, and the sequence that they continue has %d tokens: the test shows nothing", s, conversation.Len())
	}
}
