package exec

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/devicemap"
	"github.com/seed4d217819/ebb/kv"
)

// drafting is a sequence that drafts, with what the block reads of the model.
type drafting struct {
	t      *testing.T
	r      *Runner
	seq    *kv.Seq
	draft  *Draft
	block  block
	hidden map[int][]float64 // the model's hidden states, by position
	broken error             // what every step fails with when its layers have computed; nil: nothing
	bound  float64           // by how much scores may differ
}

// newDrafting opens the tiny model.
func newDrafting(t *testing.T, o setting) *drafting {
	t.Helper()
	o.drafts, o.kvType = true, "f32"
	if o.devices == nil {
		o.devices = cpu
	}
	if o.Cache.Cells == 0 {
		o.Cache.Cells = 512
	}
	d := &drafting{t: t, r: o.mustOpen(t), block: readBlock(t), hidden: map[int][]float64{}, bound: 1e-3}
	d.seq = d.r.pool.NewSeq()
	follow := d.r.after
	d.r.after = func(ctx context.Context, step *kv.Step, at *device, batch []kv.Work) error {
		err := follow(ctx, step, at, batch)
		x := at.inputs.hiddenStates()
		for i, pos := range step.Positions() {
			row := make([]float32, blockHidden)
			ggml.GetSlice(x, row, int64(i)*x.Nb(1))
			wide := make([]float64, blockHidden)
			for j, v := range row {
				wide[j] = float64(v)
			}
			d.hidden[int(pos)] = wide
		}
		return errors.Join(err, d.broken)
	}
	return d
}

// start has the sequence draft.
func (d *drafting) start() *drafting {
	d.t.Helper()
	var err error
	if d.draft, err = d.r.Draft(d.seq); err != nil {
		d.t.Fatal(err)
	}
	return d
}

// step takes tokens through the model, of which the last are guesses.
func (d *drafting) step(ctx context.Context, drafts int, tokens ...int32) error {
	_, err := d.r.Forward(ctx, []kv.Work{{Seq: d.seq, Tokens: tokens, Logits: 1, Drafts: drafts}}, nil)
	return err
}

// wantGuesses drafts n tokens behind one that follows the sequence, and compares their scores with
// those that the block has in float64.
func (d *drafting) wantGuesses(name string, next int32, n int) []int32 {
	d.t.Helper()
	ids := append(d.seq.Tokens(), next)
	got, err := d.draft.Guess(d.t.Context(), ids, n, nil)
	if err != nil {
		d.t.Fatalf("%s: %v", name, err)
	}
	if len(got) != n {
		d.t.Fatalf("%s: %d guesses, want %d", name, len(got), n)
	}
	tokens := slices.Clone(ids[d.draft.begin+1:])
	var states [][]float64
	for p := d.draft.begin; p < len(ids)-1; p++ {
		states = append(states, d.hidden[p])
	}
	for i, id := range got {
		scores, state := d.block.run(tokens, states)
		best := 0
		for j, x := range scores {
			if x > scores[best] {
				best = j
			}
		}
		if id != int32(best) && scores[best]-scores[id] > d.bound {
			d.t.Errorf("%s: guess %d is %d, want %d", name, i, id, best)
		}
		tokens, states = append(tokens, id), append(states, state)
		if i == n-1 {
			worst := 0.0
			for j, x := range d.draft.drafter.rows[0][0] {
				worst = max(worst, math.Abs(float64(x)-scores[j]))
			}
			if !(worst <= d.bound) {
				d.t.Errorf("%s: scores differ by %g, want at most %g", name, worst, d.bound)
			}
		}
	}
	return got
}

// someTokens returns n tokens.
func someTokens(seed, n int) (ids []int32) {
	for i := range n {
		ids = append(ids, int32((seed*31+i*i*7+i*13)%256))
	}
	return ids
}

// The hidden states, the rows and the drafts of a sequence that grows by prompts, by single tokens
// and by guesses of which some are right.
func TestDraftsAreWhatTheBlockScoresHighest(t *testing.T) {
	for name, o := range map[string]setting{
		"one step":                         {},
		"steps and chunks of a few tokens": {Options: Options{Cache: kv.Options{Policy: kv.Static, ChunkTokens: 3, StepTokens: 7}}},
		"copied layers":                    {Options: Options{Cache: kv.Options{Policy: kv.OffloadedStatic, ForcedCopies: true}}},
		"another device scores":            {devices: devicemap.Map{"": "cpu", "model.layers.3": "vulkan0", "lm_head": "vulkan0", "model.norm": "vulkan0"}, Options: Options{Cache: kv.Options{ChunkTokens: 8}}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrafting(t, o)
			if o.devices != nil {
				d.bound = 5e-2 // the software Vulkan device rounds products: see tolerance in package ebb
			}
			d.start()
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(d.step(t.Context(), 0, someTokens(1, 20)...))
			d.wantGuesses("after a prompt", 9, 1)
			must(d.step(t.Context(), 0, 9))
			for right := range 4 {
				guesses := d.wantGuesses(fmt.Sprintf("round %d", right), 40, 3)
				p := d.seq.Len()
				must(d.step(t.Context(), 3, append([]int32{40}, guesses...)...))
				must(d.seq.Truncate(p + 1 + right))
			}
			d.wantGuesses("after all were right", 41, 2)
			must(d.step(t.Context(), 0, 42)) // another token than the one that was drafted after
			d.wantGuesses("after another token", 43, 2)
			must(d.step(t.Context(), 0, someTokens(2, 9)...))
			d.wantGuesses("after a second prompt", 50, 2)
			must(d.seq.Truncate(5)) // a state that was not kept: tokens are computed again
			must(d.step(t.Context(), 0, 60, 61))
			d.wantGuesses("after a truncation", 62, 2)
			if d.draft.begin != 0 {
				t.Errorf("the rows begin behind token %d, want the first", d.draft.begin)
			}
		})
	}
}

// A sequence that had tokens before it drafts begins with those that come.
func TestDraftsBeginWithTheTokensThatCome(t *testing.T) {
	d := newDrafting(t, setting{})
	if err := d.step(t.Context(), 0, someTokens(1, 12)...); err != nil {
		t.Fatal(err)
	}
	d.start()
	ids := append(d.seq.Tokens(), 7)
	if got, err := d.draft.Guess(t.Context(), ids, 3, nil); err != nil || len(got) > 0 {
		t.Errorf("guesses %v, %v of a sequence whose hidden states are not known; want none", got, err)
	}
	if err := d.step(t.Context(), 0, 7, 8); err != nil {
		t.Fatal(err)
	}
	d.wantGuesses("after two tokens", 9, 3)
	if d.draft.begin != 12 {
		t.Errorf("the rows begin behind token %d, want the last that came before", d.draft.begin)
	}
}

func TestDraftsEndBeforeAnEndToken(t *testing.T) {
	d := newDrafting(t, setting{}).start()
	if err := d.step(t.Context(), 0, someTokens(1, 12)...); err != nil {
		t.Fatal(err)
	}
	all := d.wantGuesses("without an end token", 7, 4)
	got, err := d.draft.Guess(t.Context(), append(d.seq.Tokens(), 7), 4, []int32{all[2]})
	if want := all[:slices.Index(all, all[2])]; err != nil || !slices.Equal(got, want) {
		t.Errorf("guesses %v, %v; want %v", got, err, want)
	}
}

// A step that fails or is cancelled changes no sequence, and later drafts are those of the block.
func TestDraftsAfterStepsThatFail(t *testing.T) {
	for name, fail := range map[string]func(d *drafting) error{
		"a step": func(d *drafting) error {
			d.broken = errors.New("broken")
			defer func() { d.broken = nil }()
			return d.step(t.Context(), 2, 30, 31, 32)
		},
		"the second step of a prompt": func(d *drafting) error {
			steps := 0
			after := d.r.after
			defer func() { d.r.after = after }()
			d.r.after = func(ctx context.Context, step *kv.Step, at *device, batch []kv.Work) error {
				if steps++; steps == 2 {
					return errors.New("broken")
				}
				return after(ctx, step, at, batch)
			}
			return d.step(t.Context(), 0, someTokens(4, 12)...)
		},
		"a step that is cancelled": func(d *drafting) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return d.step(ctx, 0, 30)
		},
		"drafting that is cancelled": func(d *drafting) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := d.draft.Guess(ctx, append(d.seq.Tokens(), 33), 3, nil)
			return err
		},
		"drafting that is cancelled midway": func(d *drafting) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			drafter := d.draft.drafter
			keep, rows := drafter.block.after, 0
			defer func() { drafter.block.after = keep }()
			drafter.block.after = func(c context.Context, step *kv.Step, at *device, batch []kv.Work) error {
				if rows++; rows == 2 {
					cancel()
				}
				return keep(c, step, at, batch)
			}
			_, err := d.draft.Guess(ctx, append(d.seq.Tokens(), 33), 8, nil)
			return err
		},
	} {
		d := newDrafting(t, setting{Options: Options{Cache: kv.Options{ChunkTokens: 3, StepTokens: 7}}}).start()
		if err := d.step(t.Context(), 0, someTokens(1, 12)...); err != nil {
			t.Fatal(err)
		}
		if err := fail(d); err == nil {
			t.Errorf("%s did not fail", name)
		}
		if n := d.seq.Len(); n != 12 {
			t.Fatalf("%s: the sequence has %d tokens, want 12", name, n)
		}
		if err := d.step(t.Context(), 0, 34, 35); err != nil {
			t.Fatal(err)
		}
		d.wantGuesses(name, 36, 3)
	}
}

// Where memory does not suffice for the block, the model goes on, and drafts begin anew when it
// does.
func TestDraftsWithoutMemory(t *testing.T) {
	d := newDrafting(t, setting{}).start()
	drafter, fails := d.draft.drafter, 0
	keep := drafter.block.after
	drafter.block.after = func(ctx context.Context, step *kv.Step, at *device, batch []kv.Work) error {
		if fails--; fails == 0 {
			return kv.NoMemory(errors.New("none left"))
		}
		return keep(ctx, step, at, batch)
	}
	fails = 1
	if err := d.step(t.Context(), 0, someTokens(1, 12)...); err != nil {
		t.Fatal(err)
	}
	fails = 3
	ids := append(d.seq.Tokens(), 30)
	if got, err := d.draft.Guess(t.Context(), ids, 5, nil); err != nil || len(got) != 2 {
		t.Errorf("guesses %v, %v; want the two before memory ran out", got, err)
	}
	fails = 0
	d.wantGuesses("with memory again", 30, 4)
	if d.draft.begin != 11 {
		t.Errorf("the rows begin behind token %d, want the last of the prompt", d.draft.begin)
	}
}

// Forks and closed sequences have no rows of the block; the block's rows are freed with the
// sequence.
func TestTheBlocksRowsGoWithTheSequence(t *testing.T) {
	d := newDrafting(t, setting{}).start()
	if err := d.step(t.Context(), 0, someTokens(1, 300)...); err != nil {
		t.Fatal(err)
	}
	again, err := d.r.Draft(d.seq)
	if err != nil || again != d.draft {
		t.Errorf("a second draft %p, %v; want %p", again, err, d.draft)
	}
	fork, err := d.seq.Fork()
	if err != nil {
		t.Fatal(err)
	}
	if fork.Beside() != nil {
		t.Error("a fork drafts, and nobody asked for that")
	}
	if got := d.r.DraftStats().Cache.DeviceBytes; got == 0 {
		t.Error("the block's rows take no memory")
	}
	if err := d.seq.Close(); err != nil {
		t.Fatal(err)
	}
	if got := d.r.DraftStats().Cache.DeviceBytes; got != 0 {
		t.Errorf("the block's rows take %d bytes after their sequence was closed", got)
	}
	if _, err := d.r.Draft(d.seq); !errors.Is(err, kv.ErrClosed) {
		t.Errorf("a draft of a closed sequence: error %v", err)
	}
	if got, _ := d.draft.Guess(t.Context(), make([]int32, 301), 2, nil); len(got) > 0 {
		t.Errorf("guesses %v of a closed sequence", got)
	}
	if err := fork.Close(); err != nil {
		t.Fatal(err)
	}
}
