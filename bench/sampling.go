package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/sample"
)

const (
	// samplingVocab is how many tokens there are to choose from: as many as the largest of the
	// usual models have.
	samplingVocab = 152064
	// targetSampling is the share of its speed that a step should keep: choosing may take a
	// twentieth of a step.
	targetSampling = 1 / 1.05
)

// sampling measures how long it takes to choose a token, and compares it with the shortest step: at
// depth 0 with a resident cache.
func sampling(ctx context.Context, o measure.Options, _ measure.Model) (res measure.Result, err error) {
	s := o.Settings()[0]
	o.Progress(fmt.Sprintf("sampling: a step at depth 0, %v", s))
	step, err := shortStep(ctx, o, s)
	if err != nil {
		return res, err
	}
	res.Rows = append(res.Rows, step)
	scores := likelyLogits(samplingVocab)
	for _, how := range []struct {
		name   string
		config generate.Config
	}{
		{"greedy", generate.Config{}},
		{"temperature, top-k 50, top-p 0.95", generate.Config{Sample: true, Scores: sample.Config{Temperature: new(0.7), TopK: new(50), TopP: new(0.95)}}},
		{"top-p 0.95", generate.Config{Sample: true, Scores: sample.Config{TopK: new(0), TopP: new(0.95)}}},
	} {
		o.Progress("sampling: " + how.name)
		c, err := choose(ctx, scores, how.config, o.Pace)
		if err != nil {
			return res, fmt.Errorf("bench: sampling: %s: %w", how.name, err)
		}
		p25 := measure.Summarize(c.seconds).P25
		figure := func(what string, value float64, unit string) {
			res.Figures = append(res.Figures, measure.Figure{Workload: "sampling", Name: how.name + ": " + what, Value: value, Unit: unit, Disturbed: c.disturbed})
		}
		figure("a token", p25*1e6, "µs")
		figure("a token, of a step", 100*p25/step.P25, "%")
		figure("garbage of a token", float64(c.left.bytes)/float64(len(c.seconds)), "bytes")
		figure("garbage of a token", float64(c.left.objects)/float64(len(c.seconds)), "objects")
		res.Scores = append(res.Scores, samplingScore(step, how.name, p25))
	}
	return res, nil
}

// samplingScore is the share of the step in a step followed by choosing its token.
func samplingScore(step measure.Row, name string, choosing float64) measure.Score {
	return measure.Score{
		Workload: step.Workload, Threads: step.Threads, KVType: step.KVType, Depth: step.Depth, Tokens: step.Tokens,
		Name: fmt.Sprintf("a step / a step and %s", name), Value: step.P25 / (step.P25 + choosing), Target: targetSampling,
	}
}

// shortStep measures a resident step of one token.
func shortStep(ctx context.Context, o measure.Options, s measure.Setting) (_ measure.Row, err error) {
	a, err := measure.OpenEbb("ebb static", o, s, ebb.Options{Cache: kv.Static, Context: o.Pace.Tokens()})
	if err != nil {
		return measure.Row{}, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	rows, err := measure.Measure(ctx, []measure.Arm{a}, measure.Point{Workload: "sampling", Setting: s, Depth: 0, Tokens: 1}, o.Pace)
	if err != nil {
		return measure.Row{}, err
	}
	return rows[0], nil
}

// likelyLogits returns scores like a model's, the same each time: a few hundred tokens have nearly
// all of the probability.
func likelyLogits(vocab int) []float32 {
	r := rand.New(rand.NewPCG(1, 2))
	scores := make([]float32, vocab)
	for i := range scores {
		scores[i] = float32(2 * r.NormFloat64())
		if i%512 == 0 {
			scores[i] += 12
		}
	}
	return scores
}

// chosen says what choosing tokens took.
type chosen struct {
	seconds   []float64 // of each token
	left      garbage   // of all tokens
	disturbed bool
}

// choose generates as many tokens as there are timed steps, from the same logits each time. No
// model computes: choosing takes all the time, and the garbage is that of choosing and of the
// growing text.
func choose(ctx context.Context, logits []float32, config generate.Config, p measure.Pace) (c chosen, err error) {
	if err := measure.Settle(ctx); err != nil {
		return c, err
	}
	n := p.Rounds * p.Steps
	c.seconds = make([]float64, 0, n)
	config.MaxNewTokens = p.WarmUpSteps + n
	seq, rows := &noSequence{}, [][][]float32{{logits}}
	forward := func(_ context.Context, batch []noWork, _ [][][]float32) ([][][]float32, error) {
		seq.tokens += len(batch[0].Tokens)
		return rows, nil
	}
	var before garbage
	var used measure.Usage
	var start, last time.Time
	i := 0
	for _, err := range generate.Tokens(ctx, forward, seq, []int32{0}, nil, config) {
		if err != nil {
			return c, err
		}
		now := time.Now()
		switch i++; {
		case i == p.WarmUpSteps:
			before, used = readGarbage(), measure.ReadUsage()
			start = time.Now()
			now = start
		case i > p.WarmUpSteps:
			c.seconds = append(c.seconds, now.Sub(last).Seconds())
		}
		last = now
	}
	c.left = readGarbage().since(before)
	c.disturbed = measure.ReadUsage().OthersSince(used, last.Sub(start)) > measure.Busy
	return c, nil
}

// noSequence is a sequence without K/V, of which only the length is kept.
type noSequence struct{ tokens int }

// noWork is what a step appends to it.
type noWork struct {
	Seq    *noSequence
	Tokens []int32
	Logits int
	Drafts int

	Before, More int
	Again        int
}

func (s *noSequence) Len() int                   { return s.tokens }
func (s *noSequence) Fork() (*noSequence, error) { return &noSequence{s.tokens}, nil }
func (s *noSequence) Close() error               { return nil }

func (s *noSequence) Truncate(n int) error {
	s.tokens = n
	return nil
}
