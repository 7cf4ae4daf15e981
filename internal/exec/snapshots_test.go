package exec

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/host"
)

// text is tokens of the tiny models.
func text(first, n int) (tokens []int32) {
	for i := first; i < first+n; i++ {
		tokens = append(tokens, int32(3+i*i%90))
	}
	return tokens
}

// forward takes tokens through the model, and returns the logits of the last one.
func forward(t *testing.T, r *Runner, s *kv.Seq, tokens []int32) []float32 {
	t.Helper()
	rows, err := r.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: tokens, Logits: 1}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(rows[0][0])
}

// A prompt is divided where snapshots are taken, so that a sequence which goes back computes its tokens
// again in the same steps as the first time: to the same bits.
func TestTruncatedHybridsComputeAgainFromTheNearestSnapshot(t *testing.T) {
	r := setting{devices: cpu, hybrid: true, Options: Options{Cache: kv.Options{SnapshotEvery: 64, SnapshotBytes: 1 << 30, Cells: 400}}}.mustOpen(t)
	s := r.Pool().NewSeq()
	defer s.Close()
	forward(t, r, s, text(0, 150)) // in three steps: there are snapshots after 64, 128 and 150 tokens
	if got := r.Pool().Stats(); got.Steps != 3 || got.Snapshots != 3 {
		t.Fatalf("%d steps, %d snapshots; want 3 each", got.Steps, got.Snapshots)
	}
	fresh := r.Pool().NewSeq()
	defer fresh.Close()
	want := forward(t, r, fresh, append(text(0, 100), text(500, 40)...))
	for _, tt := range []struct{ to, again int }{{150, 0}, {149, 21}, {100, 36}} {
		if err := s.Truncate(tt.to); err != nil {
			t.Fatal(err)
		}
		before, tokens := r.Pool().Stats().RecomputedTokens, text(500, 40)
		got := forward(t, r, s, tokens)
		if again := r.Pool().Stats().RecomputedTokens - before; again != tt.again {
			t.Errorf("truncated to %d: %d tokens were computed again; want %d", tt.to, again, tt.again)
		}
		if tt.to == 100 && !slices.Equal(got, want) {
			t.Error("a truncated sequence has other logits than one that was never longer")
		}
		if !slices.Equal(s.Tokens(), append(text(0, tt.to), tokens...)) {
			t.Errorf("truncated to %d: the sequence has other tokens", tt.to)
		}
	}
}

// A prompt that was not computed leaves no trace in how the next one is divided.
func TestAPromptThatFailedAsksForNoSnapshot(t *testing.T) {
	r := setting{devices: cpu, hybrid: true, Options: Options{Cache: kv.Options{SnapshotEvery: 300, Cells: 400}}}.mustOpen(t)
	s := r.Pool().NewSeq()
	defer s.Close()
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := r.Forward(ended, []kv.Work{{Seq: s, Tokens: text(0, 50)}}, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	forward(t, r, s, text(0, 100))
	if got := r.Pool().Stats(); got.Steps != 1 || got.Snapshots != 1 {
		t.Errorf("%d steps, %d snapshots; want 1 each", got.Steps, got.Snapshots)
	}
}

// unread are tiers that cannot be read from.
type unread struct{ tier.Tier }

func (unread) Fetch(context.Context, int, tier.Run, tier.Memory) error { return errUnread }

var errUnread = errors.New("the disk is gone")

// A step whose sequence cannot read its snapshot is taken again with more tokens.
func TestAStepGoesOnWithoutASnapshotThatCannotBeRead(t *testing.T) {
	told := ""
	set := setting{devices: cpu, hybrid: true, Options: Options{Cache: kv.Options{SnapshotEvery: 64, Cells: 300, Notify: func(line string) { told += line }}}}
	set.tier = func(layouts []tier.Layout, memory tier.Allocator) tier.Tier { return unread{host.New(layouts, memory)} }
	r := set.mustOpen(t)
	s, other := r.Pool().NewSeq(), r.Pool().NewSeq()
	defer s.Close()
	defer other.Close()
	forward(t, r, s, text(0, 100))
	forward(t, r, s, text(100, 1))
	forward(t, r, s, text(101, 1))
	forward(t, r, s, text(102, 1)) // which waits until the snapshots are copied
	if err := s.Truncate(90); err != nil {
		t.Fatal(err)
	}
	rows, err := r.Forward(t.Context(), []kv.Work{{Seq: other, Tokens: text(0, 5), Logits: 1}, {Seq: s, Tokens: text(200, 3), Logits: 2}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows[0]) != 1 || len(rows[1]) != 2 || !slices.Equal(s.Tokens(), append(text(0, 90), text(200, 3)...)) {
		t.Errorf("%d and %d rows of logits, tokens %v", len(rows[0]), len(rows[1]), s.Tokens())
	}
	if again := r.Pool().Stats().RecomputedTokens; again != 90 || !strings.Contains(told, "64 tokens are computed again: the state after 64 tokens could not be read: the disk is gone") {
		t.Errorf("%d tokens were computed again; told %q", again, told)
	}
}

// A prompt that goes in passes, one a step, has the snapshots that it has at once: none where a pass ends,
// one before it and one at its end.
func TestPassesOfAPromptHaveTheSnapshotsOfTheWholePrompt(t *testing.T) {
	r := setting{devices: cpu, hybrid: true, Options: Options{Cache: kv.Options{SnapshotEvery: 64, SnapshotBytes: 1 << 30, Cells: 400}}}.mustOpen(t)
	begun := func() *kv.Seq {
		s := r.Pool().NewSeq()
		forward(t, r, s, text(0, 50))
		for i := range 5 { // an answer
			forward(t, r, s, text(50+i, 1))
		}
		return s
	}
	whole, passes := begun(), begun()
	defer whole.Close()
	defer passes.Close()
	taken := func(compute func()) int {
		before := r.Pool().Stats().Snapshots
		compute()
		return r.Pool().Stats().Snapshots - before
	}
	const all = 90 // to 145 tokens
	want := taken(func() { forward(t, r, whole, text(55, all)) })
	got := taken(func() {
		for done := 0; done < all; {
			n := r.PassTokens(passes, min(40, all-done))
			w := kv.Work{Seq: passes, Tokens: text(55+done, n), Before: done, More: all - done - n}
			if steps := r.Pool().Stats().Steps; w.More > 0 {
				if _, err := r.Forward(t.Context(), []kv.Work{w}, nil); err != nil || r.Pool().Stats().Steps != steps+1 {
					t.Fatalf("%v; a pass of %d tokens took %d steps, want 1", err, n, r.Pool().Stats().Steps-steps)
				}
			} else {
				w.Logits = 1
				if _, err := r.Forward(t.Context(), []kv.Work{w}, nil); err != nil {
					t.Fatal(err)
				}
			}
			done += n
		}
	})
	if got != want || want != 4 { // after 55, 64, 128 and 145 tokens
		t.Errorf("%d snapshots of a prompt in passes, and %d of the whole one: want 4", got, want)
	}
	for _, n := range []int{145, 128, 110, 64, 60, 55, 52} {
		if err := errors.Join(whole.Truncate(n), passes.Truncate(n)); err != nil {
			t.Fatal(err)
		}
		if got, want := len(passes.Pending()), len(whole.Pending()); got != want {
			t.Errorf("truncated to %d tokens: %d are pending after passes, and %d after the whole prompt", n, got, want)
		}
		forward(t, r, whole, text(0, 1))
		forward(t, r, passes, text(0, 1))
	}
}

// Tokens whose states are lost go in passes like those of a prompt, and then the sequence is what it was.
func TestWhatIsComputedAgainGoesInPasses(t *testing.T) {
	r := setting{devices: cpu, hybrid: true, Options: Options{Cache: kv.Options{SnapshotBytes: kv.NoSnapshots, Cells: 300}}}.mustOpen(t)
	s, whole := r.Pool().NewSeq(), r.Pool().NewSeq()
	defer s.Close()
	defer whole.Close()
	forward(t, r, whole, text(0, 100))
	forward(t, r, s, text(0, 130))
	if err := s.Truncate(100); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{100, 60, 20, 0} {
		if got := s.PendingLen(); got != want || s.Len() != 100 {
			t.Errorf("after %d passes %d of %d tokens are pending; want %d of 100", i, got, s.Len(), want)
		}
		w := kv.Work{Seq: s, Before: 40 * i, More: 103 - min(40*(i+1), 100), Again: 40}
		if want == 0 {
			break
		}
		if _, err := r.Forward(t.Context(), []kv.Work{w}, nil); err != nil {
			t.Fatal(err)
		}
	}
	got, want := forward(t, r, s, text(200, 3)), forward(t, r, whole, text(200, 3))
	if !slices.Equal(s.Tokens(), whole.Tokens()) || !slices.Equal(got, want) {
		t.Errorf("tokens %v, want %v; and logits as those of a sequence that has lost nothing", s.Tokens(), whole.Tokens())
	}
}
