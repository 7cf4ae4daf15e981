package llamacpp

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/seed4d217819/ebb/internal/testmodel"
)

// values returns the V of all positions, whose rows are that long: the last bytes of libllama's
// state of one layer.
func values(t *testing.T, c *Context, row int) []byte {
	t.Helper()
	l := c.model.lib
	state := make([]byte, l.stateSize(c.handle, decoded))
	if l.stateGet(c.handle, unsafe.Pointer(unsafe.SliceData(state)), uintptr(len(state)), decoded) != uintptr(len(state)) {
		t.Fatal("libllama does not give its state")
	}
	return state[len(state)-c.used*row:]
}

// TestRepeatedPositionsHoldWhatRepeatedTokensWould uses one layer: its V depend on nothing but the
// tokens.
func TestRepeatedPositionsHoldWhatRepeatedTokensWould(t *testing.T) {
	m, err := OpenModel(testmodel.WriteFile(t, testmodel.Options{Layers: 1, Seed: 3}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() }) // a context left open has failed the test already
	tokens := []int32{5, 9, 12, 40, 77}
	all := append(slices.Concat(tokens, tokens, tokens), tokens[:3]...)
	const row = 2 * 32 * 4 // KV heads, head dim, F32
	o := ContextOptions{Ctx: 64, Threads: 1, FlashAttn: true}
	whole, repeated := newContext(t, m, o), newContext(t, m, o)
	if err := whole.Decode(all, 0, false); err != nil {
		t.Fatal(err)
	}
	if err := repeated.Decode(tokens, 0, false); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{7, len(all) - len(tokens) - 7} { // the second repeats from the first position again
		if err := repeated.Repeat(n); err != nil {
			t.Fatal(err)
		}
	}
	want := values(t, whole, row)
	want = slices.Concat(want[:12*row], want[:6*row])
	if got := values(t, repeated, row); !bytes.Equal(got, want) {
		t.Errorf("the values of %d repeated positions are not those of the tokens", repeated.used)
	}
}

func TestARepeatedContextGoesOn(t *testing.T) {
	const f32, f16, q8 = 0, 1, 8
	m := openModel(t)
	for _, o := range []ContextOptions{
		{TypeK: f32, TypeV: f32}, {TypeK: f16, TypeV: f16}, {TypeK: f16, TypeV: f16, FlashAttn: true}, {TypeK: q8, TypeV: q8, FlashAttn: true},
	} {
		o.Ctx, o.Threads = 400, 1
		c := newContext(t, m, o)
		if err := c.Decode([]int32{5, 9, 12}, 0, false); err != nil {
			t.Fatal(err)
		}
		var runs [][]float32
		for _, more := range []int{0, 300} {
			if err := c.Repeat(more); err != nil {
				t.Fatal(err)
			}
			if err := c.Decode([]int32{7}, 3+more, true); err != nil {
				t.Fatal(err)
			}
			if norm := largest(c.Logits(), make([]float32, 264)); !(norm > 0 && norm < 1e3) {
				t.Errorf("%+v: a logit of %g, want finite ones", o, norm)
			}
			runs = append(runs, slices.Clone(c.Logits()))
			if err := c.Truncate(3); err != nil {
				t.Fatal(err)
			}
		}
		if slices.Equal(runs[0], runs[1]) {
			t.Errorf("%+v: attention does not see 300 repeated positions", o)
		}
	}
}

func TestTruncateForgetsWhatFollows(t *testing.T) {
	// To before, into, and behind what was repeated: the next token is then decoded as by a context
	// that never went further.
	for _, length := range []int{2, 3, 9, 23, 24} {
		m := openModel(t)
		o := ContextOptions{Ctx: 64, Threads: 1}
		far, near := newContext(t, m, o), newContext(t, m, o)
		for _, c := range []*Context{far, near} {
			if err := c.Decode([]int32{5, 9, 12}[:min(3, length)], 0, false); err != nil {
				t.Fatal(err)
			}
		}
		if length == 2 { // far goes further
			if err := far.Decode([]int32{12}, 2, false); err != nil {
				t.Fatal(err)
			}
		}
		if err := far.Repeat(20); err != nil {
			t.Fatal(err)
		}
		if err := far.Decode([]int32{33, 34}, 23, true); err != nil {
			t.Fatal(err)
		}
		if err := far.Truncate(length); err != nil {
			t.Fatal(err)
		}
		if got := far.Logits(); got != nil {
			t.Errorf("%d logits after Truncate, want none", len(got))
		}
		if err := near.Repeat(max(0, min(length, 23)-3)); err != nil {
			t.Fatal(err)
		}
		if length > 23 {
			if err := near.Decode([]int32{33}, 23, false); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []*Context{far, near} {
			if err := c.Decode([]int32{7}, length, true); err != nil {
				t.Fatal(err)
			}
		}
		// Cells may lie in another order, and sums with them.
		const tolerance = 1e-4
		if diff := largest(far.Logits(), near.Logits()); !(diff <= tolerance) {
			t.Errorf("truncated to %d: logits differ by %g from those of a context that never went further, want at most %g", length, diff, tolerance)
		}
	}
}

func TestPositionsOfAModelWithWindowsAreComputed(t *testing.T) {
	m, err := OpenModel("../../testdata/models/tiny-gemma3.gguf")
	if err != nil {
		t.Skipf("cpu: %v", err)
	}
	t.Cleanup(func() { _ = m.Close() }) // a context left open has failed the test already
	if m.window < 2 {
		t.Fatalf("a window of %d tokens: want one", m.window)
	}
	c := newContext(t, m, ContextOptions{Ctx: 400, Threads: 1})
	if err := c.Decode([]int32{1, 2, 3}, 0, false); err != nil {
		t.Fatal(err)
	}
	if err := c.Repeat(7); !errors.Is(err, ErrWindow) {
		t.Errorf("error %v, want %v", err, ErrWindow)
	}
	// Where all positions are computed, those outside the window go, and what they need does.
	c = newContext(t, m, ContextOptions{Ctx: 400, Threads: 1, Computed: true})
	ids := make([]int32, 300)
	if err := c.Decode(ids, 0, false); err != nil {
		t.Fatal(err)
	}
	if err := c.Decode(ids[:2], len(ids), true); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]bool{0: true, 10: false, len(ids) + 1: true, len(ids) + 2: true} {
		if c.Keeps(n) != want {
			t.Errorf("Keeps(%d) is %v after %d positions with a window of %d", n, !want, len(ids)+2, m.window)
		}
	}
	if err := c.Truncate(len(ids)); err != nil {
		t.Fatal(err)
	}
	if err := c.Decode(ids[:1], len(ids), true); err != nil {
		t.Errorf("a token behind a window that was kept: %v", err)
	}
	if err := c.Repeat(1); err == nil {
		t.Error("a context of computed positions repeats some")
	}
}

func TestRepeatAndTruncateRefuseWhatCannotBe(t *testing.T) {
	c := newContext(t, openModel(t), ContextOptions{Ctx: 8, Threads: 1})
	refused := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	refused(c.Repeat(2), "nothing was decoded")
	if err := c.Decode([]int32{1, 2, 3}, 0, false); err != nil {
		t.Fatal(err)
	}
	refused(c.Repeat(-1), "-1 positions do not fit behind 3")
	refused(c.Repeat(6), "6 positions do not fit behind 3 in a context of 8")
	refused(c.Truncate(-1), "truncate to -1 of 3")
	if err := c.Repeat(5); err != nil {
		t.Error(err)
	}
}

// The state of a hybrid is kept where Repeat ends, and nowhere else.
func TestAHybridGoesBackToWhereRepeatEnded(t *testing.T) {
	m, err := OpenModel("../../testdata/models/tiny-qwen35.gguf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	c := newContext(t, m, ContextOptions{Ctx: 400, Threads: 1, FlashAttn: true})
	for _, more := range []int{0, 295} {
		if err := c.Decode([]int32{5, 9, 12, 40, 77}, 0, false); err != nil {
			t.Fatal(err)
		}
		if err := c.Repeat(more); err != nil {
			t.Fatal(err)
		}
		at := 5 + more
		var runs [][]float32
		for range 3 {
			if err := c.Decode([]int32{7, 8}, at, true); err != nil {
				t.Fatal(err)
			}
			if norm := largest(c.Logits(), make([]float32, 264)); !(norm > 0 && norm < 1e3) {
				t.Errorf("behind %d positions: a logit of %g, want finite ones", at, norm)
			}
			runs = append(runs, slices.Clone(c.Logits()))
			if c.Keeps(at+1) || !c.Keeps(at) || !c.Keeps(0) {
				t.Errorf("of %d positions %d are said to be kept, or %d are not", at+2, at+1, at)
			}
			if err := c.Truncate(at + 1); err == nil || !strings.Contains(err.Error(), "its state is kept after") {
				t.Errorf("truncated to where no state is kept: %v", err)
			}
			if err := c.Truncate(at); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(runs[0], runs[1]) || !slices.Equal(runs[0], runs[2]) {
			t.Errorf("behind %d positions: other logits after going back", at)
		}
		if err := c.Truncate(0); err != nil {
			t.Fatal(err)
		}
	}
}
