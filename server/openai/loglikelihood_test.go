package openai_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// likelihood is what lm-eval asks of a continuation: the log of its probability, and whether greedy decoding
// would write it.
type likelihood struct {
	log    float64
	greedy bool
}

// likelihoodOf returns that of the tokens from begin on, by the engine's logits, which ebb run --logits prints.
func likelihoodOf(t *testing.T, e *ebb.Engine, ids []int32, begin int) (l likelihood) {
	t.Helper()
	seq := e.NewSeq()
	defer seq.Close()
	rows, err := e.Prefill(t.Context(), seq, ids, len(ids))
	if err != nil {
		t.Fatal(err)
	}
	l.greedy = true
	for i := begin; i < len(ids); i++ {
		row := rows[i-1]
		var sum float64
		for j, score := range row {
			sum += math.Exp(float64(score - row[ids[i]]))
			l.greedy = l.greedy && (score < row[ids[i]] || j == int(ids[i]))
		}
		l.log -= math.Log(sum)
	}
	return l
}

// What lm-eval's local-completions asks, many prompts at once as token ids, read as it reads that.
func TestLogLikelihoodsAreThoseOfTheLogits(t *testing.T) {
	e, err := ebb.Open(servicetest.WriteModel(t), ebb.Options{Context: 512})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	random := rand.New(rand.NewPCG(1, 0))
	var prompts [][]int32
	var begins []int // of the continuations
	for _, n := range []int{2, 7, 40, 41, 200} {
		var ids []int32
		for range n {
			ids = append(ids, 10+random.Int32N(200))
		}
		prompts, begins = append(prompts, ids), append(begins, (n+1)/2)
	}
	for id := range int32(e.Config().Vocab) { // one of these is greedy
		prompts, begins = append(prompts, []int32{22, 77, 70, id}), append(begins, 3)
	}
	want := make([]likelihood, len(prompts))
	for i, ids := range prompts {
		want[i] = likelihoodOf(t, e, ids, begins[i])
	}
	server, _ := serve(t, "", service.Options{})
	for _, more := range []int{0, 1} {
		body, err := json.Marshal(map[string]any{
			"model": "tiny", "prompt": prompts, "echo": true, "logprobs": 1, "max_tokens": more, "temperature": 0, "seed": 1234,
		})
		if err != nil {
			t.Fatal(err)
		}
		var got completion
		if status := post(t, server, "/v1/completions", string(body), &got); status != http.StatusOK || len(got.Choices) != len(prompts) {
			t.Fatalf("status %d, %d choices", status, len(got.Choices))
		}
		greedy := 0
		for _, c := range got.Choices {
			all, begin := c.LogProbs.LogProbs, begins[c.Index]
			if len(all) != len(prompts[c.Index])+more {
				t.Fatalf("prompt %d has %d log-probabilities, and %d new tokens", c.Index, len(all), more)
			}
			l := likelihood{greedy: true}
			for i, p := range all[begin : len(all)-more] {
				l.log += *p
				for _, other := range c.LogProbs.Top[begin+i] {
					l.greedy = l.greedy && *p >= *other
				}
			}
			if w := want[c.Index]; math.Abs(l.log-w.log) > 1e-5*max(1, -w.log) || l.greedy != w.greedy {
				t.Errorf("max_tokens %d, prompt %d: %+v; want %+v", more, c.Index, l, w)
			}
			if l.greedy {
				greedy++
			}
		}
		if greedy == 0 {
			t.Error("no continuation is greedy")
		}
	}
}
