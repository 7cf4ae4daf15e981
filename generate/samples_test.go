package generate_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/sample"
)

// ids returns the ids of texts.
func ids(texts []generate.Text) (all [][]int32) {
	for _, text := range texts {
		all = append(all, text.IDs())
	}
	return all
}

func TestASeedRepeatsTheSameTexts(t *testing.T) {
	m := &model{vocab: 50, spread: 1}
	c := generate.Config{MaxNewTokens: 20, Sample: true, Seed: 5, Texts: 3}
	first := ids(texts(t, m, []int32{1}, c))
	if diff := cmp.Diff(ids(texts(t, m, []int32{1}, c)), first); diff != "" {
		t.Errorf("the same seed again (-got +want):\n%s", diff)
	}
	c.Seed++
	if cmp.Equal(ids(texts(t, m, []int32{1}, c)), first) {
		t.Error("another seed gives the same texts")
	}
	if cmp.Equal(first[0], first[1]) || cmp.Equal(first[1], first[2]) {
		t.Errorf("texts of one search are the same: %v", first)
	}
}

func TestMoreSequencesDoNotChangeTheFirst(t *testing.T) {
	m := &model{vocab: 50, spread: 1}
	c := generate.Config{MaxNewTokens: 20, EOS: []int32{7, 8, 9}, Sample: true, Seed: 5, Texts: 8}
	many := ids(texts(t, m, []int32{1}, c))
	c.Texts = 1
	if diff := cmp.Diff(ids(texts(t, m, []int32{1}, c))[0], many[0]); diff != "" {
		t.Errorf("the first sequence (-got +want):\n%s", diff)
	}
}

func TestSeveralSequencesForwardThePromptOnce(t *testing.T) {
	m := &model{vocab: 50}
	texts(t, m, []int32{1, 2, 3}, generate.Config{MaxNewTokens: 5, Sample: true, Texts: 4})
	if m.calls != 5 || m.works != 1+4*4 {
		t.Errorf("%d calls with %d works, want 5 with %d", m.calls, m.works, 1+4*4)
	}
}

// frequencies draws texts with seeds from 0 on and counts the last tokens.
func frequencies(t *testing.T, m *model, prompt []int32, n int, c generate.Config) []float64 {
	t.Helper()
	counts := make([]float64, m.vocab)
	c.Sample = true
	for seed := range n {
		c.Seed = uint64(seed)
		ids := texts(t, m, prompt, c)[0].IDs()
		counts[ids[len(ids)-1]]++
	}
	return counts
}

// deviation returns Pearson's X² of counts, and what it is above once in 1000 times (the
// Wilson-Hilferty approximation).
func deviation(counts, probabilities []float64) (x2, limit float64) {
	n, k := 0.0, -1.0
	for _, c := range counts {
		n += c
	}
	for i, p := range probabilities {
		if p > 0 {
			k++
			x2 += (counts[i] - n*p) * (counts[i] - n*p) / (n * p)
		}
	}
	const z = 3.09 // of the normal distribution, at 1/1000
	return x2, k * math.Pow(1-2/(9*k)+z*math.Sqrt(2/(9*k)), 3)
}

// softmax returns the probabilities of a model's next token.
func softmax(t *testing.T, m *model, ids []int32) []float64 {
	t.Helper()
	row := m.logits(ids)
	if err := sample.LogSoftmax(row); err != nil {
		t.Fatal(err)
	}
	p := make([]float64, len(row))
	for i, x := range row {
		p[i] = math.Exp(float64(x))
	}
	return p
}

// The seeds are fixed, so it passes always or never.
func TestSampledTokensFollowTheProbabilities(t *testing.T) {
	m := &model{vocab: 12, spread: 3}
	c := generate.Config{MaxNewTokens: 1, Scores: sample.Config{TopK: new(0)}}
	x2, limit := deviation(frequencies(t, m, []int32{3}, 5000, c), softmax(t, m, []int32{3}))
	if x2 > limit {
		t.Errorf("X² = %.1f, want at most %.1f", x2, limit)
	}
}

func TestSpeculationDoesNotChangeTheDistribution(t *testing.T) {
	m := &model{vocab: 6, spread: 2, memory: 1}
	prompt := []int32{1, 4, 2, 5, 1, 4, 2} // after 2 it guesses 5, 1, 4
	c := generate.Config{MaxNewTokens: 3, LookupTokens: 3, Scores: sample.Config{TopK: new(0)}}
	guessed := m.calls
	counts := frequencies(t, m, prompt, 5000, c)
	if guessed = m.calls - guessed; guessed >= 3*5000 {
		t.Fatalf("%d steps: nothing was guessed right", guessed)
	}
	// The third token's probabilities, over all that the first two may be.
	p := make([]float64, m.vocab)
	for first, p1 := range softmax(t, m, prompt) {
		for second, p2 := range softmax(t, m, []int32{int32(first)}) {
			for third, p3 := range softmax(t, m, []int32{int32(second)}) {
				p[third] += p1 * p2 * p3
			}
		}
	}
	if x2, limit := deviation(counts, p); x2 > limit {
		t.Errorf("X² = %.1f, want at most %.1f", x2, limit)
	}
}

// Each token takes one random number, with speculation or without, so even what is drawn is the
// same.
func TestSpeculationDoesNotChangeATextOrTheSequence(t *testing.T) {
	saved := 0
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			vocab: rapid.IntRange(2, 30).Draw(t, "vocabulary"), seed: rapid.Byte().Draw(t, "seed"),
			memory: rapid.IntRange(0, 2).Draw(t, "memory"), spread: rapid.SampledFrom([]float32{1, 10}).Draw(t, "spread"),
		}
		c := generate.Config{
			MaxNewTokens: rapid.IntRange(1, 40).Draw(t, "max new tokens"), LogProbs: true,
			Sample: rapid.Bool().Draw(t, "sample"), Seed: rapid.Uint64().Draw(t, "random"),
			EOS: rapid.SliceOfN(rapid.Int32Range(0, 40), 0, 2).Draw(t, "end tokens"),
		}
		c.Scores.RepetitionPenalty = rapid.SampledFrom([]float64{0, 1.3}).Draw(t, "penalty") // a processor that sees the guesses
		prompt := rapid.SliceOfN(rapid.Int32Range(0, int32(m.vocab)-1), 1, 20).Draw(t, "prompt")
		want := texts(t, m, prompt, c)
		plain := m.calls

		c.LookupTokens = rapid.IntRange(1, 12).Draw(t, "guesses")
		c.LookupNgram = rapid.IntRange(0, 4).Draw(t, "n-gram looked for")
		got := texts(t, m, prompt, c)
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("texts (-got +want):\n%s", diff)
		}
		if calls := m.calls - plain; calls > plain {
			t.Errorf("%d steps, and %d without speculation", calls, plain)
		} else {
			saved += plain - calls
		}
		seq := m.seq()
		streamed, err := stream(context.Background(), m, seq, prompt, c)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(streamed, got[0].IDs()); diff != "" {
			t.Errorf("stream (-got +want):\n%s", diff)
		}
		if diff := cmp.Diff(seq.ids, slices.Concat(prompt, streamed[:len(streamed)-1])); diff != "" {
			t.Errorf("sequence (-got +want):\n%s", diff)
		}
	})
	if saved == 0 {
		t.Error("no step was saved: nothing was guessed right")
	}
}

func TestBreakBetweenTokensOfOnePassForgetsTheRest(t *testing.T) {
	m := &model{vocab: 8, memory: 1, change: func(ids []int32, row []float32) { // counts
		clear(row)
		row[(ids[len(ids)-1]+1)%8] = 9
	}}
	prompt := []int32{0, 1, 2, 3, 4, 5, 6, 7, 0}
	for n := 1; n < 10; n++ {
		seq, left := m.seq(), n
		for _, err := range generate.Tokens(t.Context(), m.forward, seq, prompt, nil, generate.Config{LookupTokens: 6}) {
			if err != nil {
				t.Fatal(err)
			}
			if left--; left == 0 {
				break
			}
		}
		if got, want := len(seq.ids), len(prompt)+n-1; got != want {
			t.Errorf("after %d tokens the sequence holds %d, want %d", n, got, want)
		}
	}
}

func TestGuessesThatDoNotFitAreLeftOut(t *testing.T) {
	counting := func(ids []int32, row []float32) {
		clear(row)
		row[(ids[len(ids)-1]+1)%8] = 9
	}
	prompt := []int32{0, 1, 2, 3, 4, 5, 6, 7, 0}
	plain := &model{vocab: 8, change: counting, room: 20}
	want, wantErr := stream(t.Context(), plain, plain.seq(), prompt, generate.Config{})
	m := &model{vocab: 8, change: counting, room: 20}
	got, err := stream(t.Context(), m, m.seq(), prompt, generate.Config{LookupTokens: 6})
	if !errors.Is(err, errFull) || !errors.Is(wantErr, errFull) {
		t.Errorf("errors %v and %v, want %v", err, wantErr, errFull)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("tokens in a small cache (-got +want):\n%s", diff)
	}
	if m.calls >= plain.calls {
		t.Errorf("%d steps, and %d without speculation: nothing was guessed right", m.calls, plain.calls)
	}
}

// A step may fail and leave the sequence shorter, where rows are computed again. Nothing follows then.
func TestNothingIsGeneratedAfterAStepThatShortenedTheSequence(t *testing.T) {
	m := &model{vocab: 8, change: func(ids []int32, row []float32) {
		clear(row)
		row[(ids[len(ids)-1]+1)%8] = 9
	}}
	seq := m.seq()
	shorten := func(ctx context.Context, batch []work, rows [][][]float32) ([][][]float32, error) {
		if len(batch[0].Tokens) > 1 && seq.Len() > 0 { // guesses
			return nil, errors.Join(errFull, seq.Truncate(1))
		}
		return m.forward(ctx, batch, rows)
	}
	prompt, n := []int32{0, 1, 2, 3, 4, 5, 6, 7, 0}, 0
	for token, err := range generate.Tokens(t.Context(), shorten, seq, prompt, nil, generate.Config{MaxNewTokens: 9, LookupTokens: 6}) {
		if err == nil {
			n++
			continue
		}
		if !errors.Is(err, errFull) || n != 1 {
			t.Errorf("after %d tokens %+v: %v; want %v after one", n, token, err, errFull)
		}
		return
	}
	t.Errorf("%d tokens and no error; want %v", n, errFull)
}

func TestNoStepBeginsAfterMaxTime(t *testing.T) {
	for name, c := range map[string]generate.Config{"greedy": {}, "beams": {Beams: 3, Texts: 3}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &model{vocab: 30}
				c.MaxNewTokens, c.MaxTime = 100, 10*time.Second
				batch := generate.NewBatch(func(ctx context.Context, works []work, rows [][][]float32) ([][][]float32, error) {
					time.Sleep(3 * time.Second)
					return m.forward(ctx, works, rows)
				}, options{})
				task, err := batch.Add(request{Seq: m.seq(), Prompt: []int32{1}, Config: c})
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(batch.Run(t.Context()), batch.Close()); err != nil {
					t.Fatal(err)
				}
				for _, text := range task.Results() {
					if len(text.Tokens) != 4 || text.Finish != generate.TimeLimit {
						t.Errorf("%d tokens (%v), want 4, by the time limit", len(text.Tokens), text.Finish)
					}
				}
			})
		})
	}
}

func TestAStepOfAGreedyOrSampledTextMakesNoGarbage(t *testing.T) {
	logits := make([]float32, 1000)
	for i := range logits {
		logits[i] = float32(i%97) / 5
	}
	rows := [][][]float32{{logits}}
	forward := func(ctx context.Context, _ []work, _ [][][]float32) ([][][]float32, error) { return rows, ctx.Err() }
	for name, c := range map[string]generate.Config{
		"greedy":    {},
		"log probs": {LogProbs: true},
		"raw ones":  {LogProbs: true, RawLogProbs: true, Scores: sample.Config{RepetitionPenalty: 1.1}},
		"processed": {Scores: sample.Config{RepetitionPenalty: 1.1}},
		"sampled":   {Sample: true, Scores: sample.Config{Temperature: new(0.8), TopP: new(0.9), MinP: 0.01}},
	} {
		t.Run(name, func(t *testing.T) {
			const warm, measured = 200, 1000
			batch := generate.NewBatch(forward, options{})
			if _, err := batch.Add(request{Seq: (&model{}).seq(), Prompt: []int32{1}, Config: c}); err != nil {
				t.Fatal(err)
			}
			step := func() {
				if running, err := batch.Step(t.Context()); err != nil || !running {
					t.Fatal(running, err)
				}
			}
			for range warm {
				step()
			}
			// The texts themselves grow, by doubling.
			if n := testing.AllocsPerRun(measured, step); n > 0 {
				t.Errorf("%v allocations a step, want none", n)
			}
		})
	}
}

func BenchmarkStep(b *testing.B) {
	logits := make([]float32, 49152) // SmolLM2's vocabulary
	for i := range logits {
		logits[i] = float32(i%97) / 5
	}
	for name, c := range map[string]generate.Config{
		"greedy":   {},
		"logprobs": {LogProbs: true},
		"sampled":  {Sample: true, Scores: sample.Config{Temperature: new(0.8), TopP: new(0.9)}},
		"beams=4":  {Beams: 4},
	} {
		b.Run(name, func(b *testing.B) {
			batch := generate.NewBatch(func(_ context.Context, works []work, _ [][][]float32) (out [][][]float32, _ error) {
				for range works {
					out = append(out, [][]float32{logits})
				}
				return out, nil
			}, options{})
			if _, err := batch.Add(request{Seq: (&model{}).seq(), Prompt: []int32{1}, Config: c}); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := batch.Step(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
