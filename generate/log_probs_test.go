package generate_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/sample"
)

// naiveLogProbs is log-softmax in float64, from its definition.
func naiveLogProbs(row []float32) []float64 {
	sum := 0.0
	for _, x := range row {
		sum += math.Exp(float64(x))
	}
	out := make([]float64, len(row))
	for i, x := range row {
		out[i] = float64(x) - math.Log(sum)
	}
	return out
}

// checkToken compares what a token reports with the model's logits after ids.
func checkToken(t interface{ Errorf(string, ...any) }, m *model, ids []int32, token generate.Token, top int) {
	want := naiveLogProbs(m.logits(ids))
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-5 }
	if !near(token.LogProb, want[token.ID]) {
		t.Errorf("after %v: log-probability of %d is %v, want %v", ids, token.ID, token.LogProb, want[token.ID])
	}
	best := slices.Clone(want)
	slices.Sort(best)
	slices.Reverse(best)
	if len(token.Top) != min(top, len(want)) {
		t.Errorf("after %v: %d candidates, want %d", ids, len(token.Top), min(top, len(want)))
	}
	for i, c := range token.Top {
		if !near(c.LogProb, want[c.ID]) || !near(c.LogProb, best[i]) {
			t.Errorf("after %v: candidate %d is %d with %v, want one with %v", ids, i, c.ID, c.LogProb, best[i])
		}
	}
}

func TestRawLogProbsAreTheModels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{vocab: rapid.IntRange(2, 30).Draw(t, "vocabulary"), seed: rapid.Byte().Draw(t, "seed")}
		top := rapid.IntRange(0, 5).Draw(t, "top")
		c := generate.Config{
			MaxNewTokens: 8, LogProbs: true, Top: top, LengthPenalty: 1, Seed: rapid.Uint64().Draw(t, "random"),
			Scores: sample.Config{
				RepetitionPenalty: 1.7, Temperature: new(0.5), TopK: new(3), SequenceBias: []sample.Bias{{Tokens: []int32{1}, Bias: 9}},
			},
		}
		switch rapid.SampledFrom([]string{"greedy", "lookup", "sample", "beams", "groups"}).Draw(t, "kind") {
		case "lookup":
			c.LookupTokens = 4
		case "sample":
			c.Sample, c.Texts = true, 2
		case "beams":
			c.Beams, c.Texts = 3, 3
		case "groups":
			c.Beams, c.Groups, c.Texts, c.Scores.DiversityPenalty = 4, 2, 4, 1
		}
		prompt := rapid.SliceOfN(rapid.Int32Range(0, int32(m.vocab)-1), 1, 9).Draw(t, "prompt")
		before := texts(t, m, prompt, c)
		c.RawLogProbs = true
		after := texts(t, m, prompt, c)
		for i, text := range after {
			if diff := cmp.Diff(text.IDs(), before[i].IDs()); diff != "" {
				t.Errorf("what is reported has changed the text (-raw +processed):\n%s", diff)
			}
			if c.Beams > 1 && text.Score != before[i].Score {
				t.Errorf("what is reported has changed the score: %v, and %v", text.Score, before[i].Score)
			}
			ids := slices.Clone(prompt)
			for _, token := range text.Tokens {
				checkToken(t, m, ids, token, top)
				ids = append(ids, token.ID)
			}
		}
	})
}

func TestLogProbsOfAPromptAreTheModelsHoweverItIsDivided(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{vocab: 20, seed: rapid.Byte().Draw(t, "seed")}
		o := options{
			StepTokens: rapid.IntRange(1, 40).Draw(t, "step tokens"),
			PromptRows: rapid.IntRange(0, 9).Draw(t, "rows"),
		}
		batch := generate.NewBatch(m.forward, o)
		ids := rapid.SliceOfN(rapid.Int32Range(0, 19), 1, 30)
		top := rapid.IntRange(0, 3).Draw(t, "top")
		var tasks []*task
		var prompts [][]int32
		var held []int
		for range rapid.IntRange(1, 3).Draw(t, "requests") {
			prompt := ids.Draw(t, "prompt")
			n := rapid.IntRange(0, len(prompt)-1).Draw(t, "held")
			c := generate.Config{MaxNewTokens: 3, Top: top, LengthPenalty: 1, Beams: rapid.SampledFrom([]int{1, 3}).Draw(t, "beams")}
			task, err := batch.Add(request{Seq: m.seq(prompt[:n]...), Prompt: prompt, Config: c, PromptLogProbs: true})
			if err != nil {
				t.Fatal(err)
			}
			tasks, prompts, held = append(tasks, task), append(prompts, prompt), append(held, n)
		}
		plain := ids.Draw(t, "another prompt")
		other, err := batch.Add(request{Seq: m.seq(), Prompt: plain, Config: generate.Config{MaxNewTokens: 3}})
		if err != nil {
			t.Fatal(err)
		}
		for running := true; running; {
			if running, err = batch.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			if rows := len(m.handed) - 3*len(tasks) - 1; o.PromptRows > 0 && rows > o.PromptRows {
				t.Fatalf("a step has %d rows of prompts, want at most %d", rows, o.PromptRows)
			}
		}
		if other.PromptTokens() != nil {
			t.Error("a request has log-probabilities of its prompt that it has not asked for")
		}
		for i, task := range tasks {
			if err := task.Err(); err != nil {
				t.Fatal(err)
			}
			got, want := task.PromptTokens(), prompts[i][held[i]:]
			if len(got) != len(want) || got[0].ID != want[0] || got[0].LogProb != 0 || got[0].Top != nil {
				t.Fatalf("%d tokens that begin with %+v, want %d that begin with %d alone", len(got), got[0], len(want), want[0])
			}
			for j := 1; j < len(got); j++ {
				if got[j].ID != want[j] {
					t.Fatalf("token %d is %d, want %d", j, got[j].ID, want[j])
				}
				checkToken(t, m, prompts[i][:held[i]+j], got[j], top)
			}
		}
		if err := errors.Join(batch.Close()); err != nil || len(m.open) > 0 {
			t.Errorf("close: %v, %d sequences are open", err, len(m.open))
		}
	})
}

func TestALogitOfAPromptThatIsNoNumberEndsTheRequest(t *testing.T) {
	m := &model{vocab: 8, change: func(ids []int32, row []float32) {
		if len(ids) == 2 {
			row[3] = float32(math.NaN())
		}
	}}
	batch := generate.NewBatch(m.forward, options{})
	task, err := batch.Add(request{Seq: m.seq(), Prompt: []int32{1, 2, 3}, PromptLogProbs: true, Config: generate.Config{MaxNewTokens: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := task.Err(); err == nil || !strings.Contains(err.Error(), "prompt's token 3") {
		t.Errorf("error %v, want one that names token 3 of the prompt", err)
	}
	if len(m.open) > 0 {
		t.Errorf("%d sequences are open", len(m.open))
	}
}
