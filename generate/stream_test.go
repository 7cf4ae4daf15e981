package generate_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/sample"
)

func TestAStreamStops(t *testing.T) {
	rows := [][]float32{row(3), row(4), row(2), row(5), row(6)}
	letter := func(id int32) string { return string('a' + id) }
	for _, tt := range []struct {
		name   string
		config generate.Config
		want   []int32
		held   []int32 // by the sequence afterwards
		full   bool
	}{
		{"after the tokens asked for", generate.Config{MaxNewTokens: 2}, []int32{3, 4}, []int32{7, 7, 3}, false},
		{"with an end token as the last one", generate.Config{MaxNewTokens: 5, EOS: []int32{1, 2}}, []int32{3, 4, 2}, []int32{7, 7, 3, 4}, false},
		{"with the token that completes a stop string", generate.Config{Stop: []string{"x", "ec"}, Piece: letter}, []int32{3, 4, 2}, []int32{7, 7, 3, 4}, false},
		{"when the sequence is full, with the tokens so far", generate.Config{}, []int32{3, 4, 2, 5, 6}, []int32{7, 7, 3, 4, 2, 5}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &model{rows: rows}
			seq := m.seq()
			ids, err := stream(t.Context(), m, seq, []int32{7, 7}, tt.config)
			if got := errors.Is(err, errFull); got != tt.full {
				t.Errorf("error %v: full %v, want %v", err, got, tt.full)
			}
			if diff := cmp.Diff(ids, tt.want); diff != "" {
				t.Errorf("tokens (-got +want):\n%s", diff)
			}
			if diff := cmp.Diff(seq.ids, tt.held); diff != "" {
				t.Errorf("sequence (-got +want):\n%s", diff)
			}
		})
	}
}

func TestTheLowestIDWinsATie(t *testing.T) {
	m := &model{rows: [][]float32{{1, 3, 2, 3, 3}}}
	ids, err := stream(t.Context(), m, m.seq(), []int32{0}, generate.Config{MaxNewTokens: 1})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ids, []int32{1}); diff != "" {
		t.Errorf("tokens (-got +want):\n%s", diff)
	}
}

func TestEndTokensAreNotChosenBeforeMinNewTokens(t *testing.T) {
	sure := []float32{1, 2, 9, 0}
	m := &model{rows: [][]float32{sure, sure, sure}}
	// An id outside the vocabulary, from a model's metadata, must do no harm.
	c := generate.Config{MaxNewTokens: 9, EOS: []int32{2, -1, 4}, Scores: sample.Config{MinNewTokens: 2}}
	ids, err := stream(t.Context(), m, m.seq(), []int32{0}, c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ids, []int32{1, 1, 2}); diff != "" {
		t.Errorf("tokens (-got +want):\n%s", diff)
	}
}

func TestLogitsAreNotChanged(t *testing.T) {
	logits := []float32{1, 2, 9, 0}
	m := &model{}
	c := generate.Config{MaxNewTokens: 1, EOS: []int32{2}, Sample: true, Scores: sample.Config{MinNewTokens: 2}}
	for _, err := range generate.Tokens(t.Context(), m.forward, m.seq(0), []int32{0}, logits, c) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(logits, []float32{1, 2, 9, 0}); diff != "" {
		t.Errorf("the caller's logits were changed (-got +want):\n%s", diff)
	}
}

func TestLogProbIsThatOfSoftmax(t *testing.T) {
	logits := []float32{1000, 999, float32(math.Inf(-1)), 998.5}
	want := -math.Log(1 + math.Exp(-1) + math.Exp(-1.5))
	m := &model{}
	for token, err := range generate.Tokens(t.Context(), m.forward, m.seq(0), []int32{0}, logits, generate.Config{MaxNewTokens: 1, LogProbs: true, Top: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []float64{token.LogProb, token.Top[0].LogProb, token.Top[1].LogProb + 1} {
			if math.Abs(got-want) > 1e-12 { // float64
				t.Errorf("log probability %v, want %v", got, want)
			}
		}
		if len(token.Top) != 2 || token.Top[0].ID != 0 || token.Top[1].ID != 1 {
			t.Errorf("most probable tokens %v, want 0 and 1", token.Top)
		}
	}
}

func TestLogitsThatAreNoNumbersNameTheStep(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for name, tt := range map[string]struct {
		logits []float32
		want   string
	}{
		"NaN":              {[]float32{1, nan, 3}, "token 2: sample: the score of token 1 is NaN"},
		"NaN first":        {[]float32{nan, 1}, "token 2: sample: the score of token 0 is NaN"},
		"infinite":         {[]float32{1, 2, inf}, "token 2: sample: the score of token 2 is +Inf"},
		"nothing possible": {[]float32{-inf, -inf}, "token 2: sample: no token is left to choose"},
		"none at all":      {[]float32{}, "token 2: sample: no token"},
	} {
		for kind, c := range map[string]generate.Config{
			"greedy": {MaxNewTokens: 4}, "sampled": {MaxNewTokens: 4, Sample: true, Scores: sample.Config{TopK: new(0)}},
			"beams": {MaxNewTokens: 4, Beams: 2}, "groups": {MaxNewTokens: 4, Beams: 4, Groups: 2},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				first := row(3)
				first[3] = 200 // sure enough for sampling
				m := &model{rows: [][]float32{first, tt.logits}}
				batch := generate.NewBatch(m.forward, options{})
				task, err := batch.Add(request{Seq: m.seq(), Prompt: []int32{0}, Config: c})
				if err != nil {
					t.Fatal(err)
				}
				if err := batch.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := task.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want one with %q", err, tt.want)
				}
				if texts := task.Results(); len(texts) == 0 || texts[0].Tokens[0].ID != 3 {
					t.Errorf("found %v, want what was found before the error", texts)
				}
				if err := batch.Close(); err != nil || len(m.open) != 0 {
					t.Errorf("close: %v, %d sequences open", err, len(m.open))
				}
			})
		}
	}
}

func TestAnEmptyPromptIsRefused(t *testing.T) {
	m := &model{rows: [][]float32{row(1)}}
	if _, err := stream(t.Context(), m, m.seq(), nil, generate.Config{}); err == nil || m.calls != 0 {
		t.Errorf("error %v after %d calls, want an error before any", err, m.calls)
	}
	if _, err := stream(t.Context(), m, m.seq(1, 2), []int32{1, 2}, generate.Config{}); err == nil || m.calls != 0 {
		t.Errorf("a prompt that is computed, and no logits: error %v after %d calls, want an error before any", err, m.calls)
	}
}

func TestBreakLeavesTheSequenceAsAfterTheLastStep(t *testing.T) {
	m := &model{rows: [][]float32{row(3), row(4), row(5), row(6)}}
	seq := m.seq()
	n := 0
	for _, err := range generate.Tokens(t.Context(), m.forward, seq, []int32{7}, nil, generate.Config{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			break
		}
	}
	if diff := cmp.Diff(seq.ids, []int32{7, 3}); diff != "" {
		t.Errorf("sequence (-got +want):\n%s", diff)
	}
}

func TestCancellationEndsTheStream(t *testing.T) {
	m := &model{rows: [][]float32{row(3), row(4), row(5), row(6)}}
	seq := m.seq()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ids []int32
	var last error
	for token, err := range generate.Tokens(ctx, m.forward, seq, []int32{7}, nil, generate.Config{}) {
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
	if diff := cmp.Diff(seq.ids, []int32{7, 3}); diff != "" {
		t.Errorf("sequence (-got +want):\n%s", diff)
	}
}

func TestContinuingFromLogitsEqualsForwardingThePrompt(t *testing.T) {
	m := &model{vocab: 20}
	prompt := []int32{7, 3}
	c := generate.Config{MaxNewTokens: 9}
	want, err := stream(t.Context(), m, m.seq(), prompt, c)
	if err != nil {
		t.Fatal(err)
	}
	var got []int32
	for token, err := range generate.Tokens(t.Context(), m.forward, m.seq(prompt...), prompt, m.logits(prompt), c) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, token.ID)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("tokens (-got +want):\n%s", diff)
	}
}

func TestAStreamIsOfOneText(t *testing.T) {
	m := &model{vocab: 20}
	for _, c := range []generate.Config{{Beams: 2}, {Texts: 2, Sample: true}} {
		if _, err := stream(t.Context(), m, m.seq(), []int32{1}, c); err == nil || m.calls != 0 {
			t.Errorf("%+v: error %v after %d calls, want an error before any", c, err, m.calls)
		}
	}
}

func TestAProcessorThatMakesNaNEndsTheSearch(t *testing.T) {
	broken := sample.Func(func(ids []int32, scores []float32) error {
		if len(ids) == 3 {
			scores[2] = float32(math.NaN())
		}
		return nil
	})
	for name, c := range map[string]generate.Config{"greedy": {}, "beams": {Beams: 2}} {
		m := &model{vocab: 8}
		c.MaxNewTokens, c.Custom = 5, []sample.Processor{broken}
		batch := generate.NewBatch(m.forward, options{})
		task, err := batch.Add(request{Seq: m.seq(), Prompt: []int32{0}, Config: c})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(batch.Run(t.Context()), batch.Close()); err != nil {
			t.Fatal(err)
		}
		const want = "token 3: sample: the score of token 2 is NaN"
		if err := task.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", name, err, want)
		}
	}
}

func TestInvalidValuesCanBeRemoved(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, c := range map[string]generate.Config{"greedy": {}, "sampled": {Sample: true}, "beams": {Beams: 2, Texts: 2}} {
		m := &model{rows: [][]float32{{nan, 1, inf, 0, 2}, {1, 2, 3, 4, 5}}}
		c.MaxNewTokens, c.Scores.RemoveInvalidValues = 2, true
		for _, text := range texts(t, m, []int32{0}, c) {
			if len(text.Tokens) != 2 {
				t.Errorf("%s: %d tokens, want 2", name, len(text.Tokens))
			}
		}
	}
}
