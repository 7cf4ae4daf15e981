package generate_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/generate"
)

var errFull = errors.New("full")

// script is a sequence that answers with rows in turn, whatever it is given.
type script struct {
	rows   [][]float32
	tokens []int32 // appended so far
	calls  int
}

func (s *script) Forward(ctx context.Context, tokens []int32) ([]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.calls == len(s.rows) {
		return nil, errFull
	}
	s.tokens = append(s.tokens, tokens...)
	s.calls++
	return s.rows[s.calls-1], nil
}

// row returns logits of 8 tokens among which id is the most probable.
func row(id int) []float32 {
	logits := []float32{0, 0, 0, 0, 0, 0, 0, 0}
	logits[id] = 5
	return logits
}

// run collects a stream.
func run(ctx context.Context, seq generate.Sequence, prompt []int32, c generate.Config) (ids []int32, err error) {
	for token, err := range generate.Greedy(ctx, seq, prompt, c) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, token.ID)
	}
	return ids, nil
}

func TestGreedyStops(t *testing.T) {
	rows := [][]float32{row(3), row(4), row(2), row(5), row(6)}
	for _, tt := range []struct {
		name   string
		config generate.Config
		want   []int32
		held   []int32 // by the sequence afterwards
		full   bool
	}{
		{"after the tokens asked for", generate.Config{MaxNewTokens: 2}, []int32{3, 4}, []int32{7, 7, 3}, false},
		{"with an end token as the last one", generate.Config{MaxNewTokens: 5, EOS: []int32{1, 2}}, []int32{3, 4, 2}, []int32{7, 7, 3, 4}, false},
		{"when the sequence is full, with the tokens so far", generate.Config{}, []int32{3, 4, 2, 5, 6}, []int32{7, 7, 3, 4, 2, 5}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seq := &script{rows: rows}
			ids, err := run(t.Context(), seq, []int32{7, 7}, tt.config)
			if got := errors.Is(err, errFull); got != tt.full {
				t.Errorf("error %v: full %v, want %v", err, got, tt.full)
			}
			if diff := cmp.Diff(ids, tt.want); diff != "" {
				t.Errorf("tokens (-got +want):\n%s", diff)
			}
			if diff := cmp.Diff(seq.tokens, tt.held); diff != "" {
				t.Errorf("sequence (-got +want):\n%s", diff)
			}
		})
	}
}

func TestTheLowestIDWinsATie(t *testing.T) {
	ids, err := run(t.Context(), &script{rows: [][]float32{{1, 3, 2, 3, 3}}}, []int32{0}, generate.Config{MaxNewTokens: 1})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ids, []int32{1}); diff != "" {
		t.Errorf("tokens (-got +want):\n%s", diff)
	}
}

func TestEndTokensAreNotChosenBeforeMinNewTokens(t *testing.T) {
	sure := []float32{1, 2, 9, 0}
	logits := slices.Clone(sure)
	seq := &script{rows: [][]float32{logits, logits, logits}}
	// An id outside the vocabulary, from a model's metadata, must do no harm.
	ids, err := run(t.Context(), seq, []int32{0}, generate.Config{MinNewTokens: 2, MaxNewTokens: 9, EOS: []int32{2, -1, 4}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ids, []int32{1, 1, 2}); diff != "" {
		t.Errorf("tokens (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(logits, sure); diff != "" {
		t.Errorf("the sequence's logits were changed (-got +want):\n%s", diff)
	}
}

func TestLogProbIsThatOfSoftmax(t *testing.T) {
	logits := []float32{1000, 999, float32(math.Inf(-1)), 998.5}
	for token, err := range generate.GreedyFrom(t.Context(), &script{}, logits, generate.Config{MaxNewTokens: 1, LogProbs: true}) {
		if err != nil {
			t.Fatal(err)
		}
		want := -math.Log(1 + math.Exp(-1) + math.Exp(-1.5))
		if got := token.LogProb; math.Abs(got-want) > 1e-15 {
			t.Errorf("log probability %v, want %v", got, want)
		}
	}
}

func TestLogitsThatAreNoNumbersNameTheStep(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for name, tt := range map[string]struct {
		logits []float32
		want   string
	}{
		"NaN":              {[]float32{1, nan, 3}, "token 2: the logit of token 1 is NaN"},
		"NaN first":        {[]float32{nan, 1}, "token 2: the logit of token 0 is NaN"},
		"infinite":         {[]float32{1, 2, inf}, "token 2: the logit of token 2 is +Inf"},
		"nothing possible": {[]float32{-inf, -inf}, "token 2: no token has a logit above -Inf"},
		"none at all":      {nil, "token 2: no token"},
	} {
		t.Run(name, func(t *testing.T) {
			ids, err := run(t.Context(), &script{rows: [][]float32{row(3), tt.logits}}, []int32{0}, generate.Config{MaxNewTokens: 4})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if diff := cmp.Diff(ids, []int32{3}); diff != "" {
				t.Errorf("tokens (-got +want):\n%s", diff)
			}
		})
	}
}

func TestAnEmptyPromptIsRefused(t *testing.T) {
	seq := &script{rows: [][]float32{row(1)}}
	if _, err := run(t.Context(), seq, nil, generate.Config{}); err == nil || seq.calls != 0 {
		t.Errorf("error %v after %d calls, want an error before any", err, seq.calls)
	}
}

func TestBreakLeavesTheSequenceAsAfterTheLastStep(t *testing.T) {
	seq := &script{rows: [][]float32{row(3), row(4), row(5), row(6)}}
	n := 0
	for _, err := range generate.Greedy(t.Context(), seq, []int32{7}, generate.Config{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			break
		}
	}
	if diff := cmp.Diff(seq.tokens, []int32{7, 3}); diff != "" {
		t.Errorf("sequence (-got +want):\n%s", diff)
	}
}

func TestCancellationEndsTheStream(t *testing.T) {
	seq := &script{rows: [][]float32{row(3), row(4), row(5), row(6)}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ids []int32
	var last error
	for token, err := range generate.Greedy(ctx, seq, []int32{7}, generate.Config{}) {
		if last = err; err == nil {
			ids = append(ids, token.ID)
		}
		if len(ids) == 2 {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("last error %v, want %v", last, context.Canceled)
	}
	if diff := cmp.Diff(ids, []int32{3, 4}); diff != "" {
		t.Errorf("tokens (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(seq.tokens, []int32{7, 3}); diff != "" {
		t.Errorf("sequence (-got +want):\n%s", diff)
	}
}

func TestContinuingFromLogitsEqualsForwardingThePrompt(t *testing.T) {
	rows := [][]float32{row(3), row(4), row(5)}
	want, err := run(t.Context(), &script{rows: rows}, []int32{7}, generate.Config{MaxNewTokens: 3})
	if err != nil {
		t.Fatal(err)
	}
	var got []int32
	for token, err := range generate.GreedyFrom(t.Context(), &script{rows: rows[1:]}, rows[0], generate.Config{MaxNewTokens: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, token.ID)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("tokens (-got +want):\n%s", diff)
	}
}

func BenchmarkGreedyToken(b *testing.B) {
	logits := make([]float32, 49152) // SmolLM2's vocabulary
	for i := range logits {
		logits[i] = float32(i%97) / 5
	}
	for name, c := range map[string]generate.Config{
		"id":      {MaxNewTokens: 1},
		"logprob": {MaxNewTokens: 1, LogProbs: true},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				for _, err := range generate.GreedyFrom(b.Context(), &script{}, logits, c) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
