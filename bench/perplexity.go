package bench

import (
	"context"
	_ "embed" // the text
	"errors"
	"fmt"
	"math"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tokenizer"
)

// perplexityText is documentation of this project as it once was. It stays as it is, so that figures
// compare.
//
//go:embed testdata/perplexity.txt
var perplexityText string

// perplexityTokens is how many tokens of the text are computed.
const perplexityTokens = 4000

// targetPerplexity is how near the perplexities with each instruction set should be to one another: the
// smaller divided by the larger.
const targetPerplexity = 0.998

// perplexity compares how well a model expects a text with ebb's products and with ggml's: exp of the
// mean of -log p of each token, given those before it.
func (o *Options) perplexity(ctx context.Context, with measure.Options, m measure.Model) (res measure.Result, err error) {
	if with.ISAs == nil {
		with.ISAs = []isa.ISA{isa.Best, isa.GGML}
	}
	for _, s := range with.Settings() {
		if err := perplexityIn(ctx, with, s, m, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func perplexityIn(ctx context.Context, o measure.Options, s measure.Setting, m measure.Model, res *measure.Result) (err error) {
	tokens := min(perplexityTokens, m.Context)
	all := make([]float64, len(o.ISAs))
	for i, set := range o.ISAs {
		one := o
		one.ISAs = o.ISAs[i : i+1]
		arms, err := measure.OpenISAs("ebb static", one, s, ebb.Options{Cache: kv.Static, Context: tokens})
		if err != nil {
			return err
		}
		a := arms[0]
		o.Progress(fmt.Sprintf("perplexity: %s, %v", a.Label, s))
		var n int
		all[i], n, err = perplexityOf(ctx, a, perplexityText, tokens)
		if err = errors.Join(err, a.Close()); err != nil {
			return fmt.Errorf("bench: perplexity, %v: %w", set, err)
		}
		res.Figures = append(res.Figures, measure.Figure{
			Workload: "perplexity", Name: fmt.Sprintf("%s, %v, %d tokens", a.Label, s, n), Value: all[i], Unit: "perplexity",
		})
		if i == 0 {
			continue
		}
		res.Figures = append(res.Figures, measure.Figure{
			Workload: "perplexity", Name: fmt.Sprintf("%v against %v, %v", o.ISAs[0], set, s), Value: 100 * (all[0]/all[i] - 1), Unit: "%",
		})
		res.Scores = append(res.Scores, measure.Score{
			Workload: "perplexity", Threads: s.Threads, KVType: s.KVType, Tokens: n,
			Name: fmt.Sprintf("%v and %v, the smaller perplexity / the larger", o.ISAs[0], set), Value: min(all[0], all[i]) / max(all[0], all[i]), Target: targetPerplexity,
		})
	}
	return nil
}

// perplexityOf returns the perplexity of a text's first tokens, at most most of them, and how many that
// are.
func perplexityOf(ctx context.Context, a *measure.Ebb, text string, most int) (_ float64, tokens int, err error) {
	ids, err := a.Engine.Tokenizer().Encode(text, tokenizer.Options{})
	if err != nil {
		return 0, 0, err
	}
	ids = ids[:min(len(ids), most)]
	if len(ids) < 2 {
		return 0, 0, fmt.Errorf("%d tokens of a text: want at least 2", len(ids))
	}
	const step = 256 // tokens whose logits are in memory at a time
	sum := 0.0
	var logits [][][]float32
	for from := 0; from < len(ids); from += step {
		part := ids[from:min(from+step, len(ids))]
		if logits, err = a.Engine.ForwardInto(ctx, []kv.Work{{Seq: a.Seq, Tokens: part, Logits: len(part)}}, logits); err != nil {
			return 0, 0, err
		}
		for i, row := range logits[0] {
			if next := from + i + 1; next < len(ids) {
				sum -= logProbability(row, int(ids[next]))
			}
		}
	}
	p := math.Exp(sum / float64(len(ids)-1))
	if !(p >= 1) || math.IsInf(p, 1) {
		return 0, 0, fmt.Errorf("the perplexity is %g", p)
	}
	return p, len(ids), nil
}

// logProbability returns the logarithm of the probability that logits give a token.
func logProbability(logits []float32, token int) float64 {
	most := math.Inf(-1)
	for _, l := range logits {
		most = max(most, float64(l))
	}
	sum := 0.0
	for _, l := range logits {
		sum += math.Exp(float64(l) - most)
	}
	return float64(logits[token]) - most - math.Log(sum)
}
