package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/sample"
)

const (
	// samplingVocab is how many tokens there are to choose from: as many as the
	// largest of the usual models have.
	samplingVocab = 152064
	// targetSampling is the share of its speed that a step should keep: choosing
	// may take a twentieth of it more.
	targetSampling = 1 / 1.05
)

// sampling measures what it costs to choose a token, and compares it with a step
// in which there is nothing else to wait for: of a resident cache, and shallow.
func sampling(ctx context.Context, o Options, _ Model) (res Result, err error) {
	s := o.settings()[0]
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
		p25 := Summarize(c.seconds).P25
		figure := func(what string, value float64, unit string) {
			res.Figures = append(res.Figures, Figure{Workload: "sampling", Name: how.name + ": " + what, Value: value, Unit: unit, Disturbed: c.disturbed})
		}
		figure("a token", p25*1e6, "µs")
		figure("a token, of a step", 100*p25/step.P25, "%")
		figure("garbage of a token", float64(c.left.bytes)/float64(len(c.seconds)), "bytes")
		figure("garbage of a token", float64(c.left.objects)/float64(len(c.seconds)), "objects")
		res.Scores = append(res.Scores, samplingScore(step, how.name, p25))
	}
	return res, nil
}

// samplingScore is the share of a step in a step and choosing its token.
func samplingScore(step Row, name string, choosing float64) Score {
	return Score{
		Workload: step.Workload, Threads: step.Threads, KVType: step.KVType, Depth: step.Depth, Tokens: step.Tokens,
		Name: fmt.Sprintf("a step / a step and %s", name), Value: step.P25 / (step.P25 + choosing), Target: targetSampling,
	}
}

// shortStep measures a resident step of one token.
func shortStep(ctx context.Context, o Options, s setting) (_ Row, err error) {
	a, err := openEbb("ebb static", o, s, ebb.Options{Cache: kv.Static, Context: o.Pace.tokens()})
	if err != nil {
		return Row{}, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	rows, err := measure(ctx, []arm{a}, point{"sampling", s, 0, 1}, o.Pace)
	if err != nil {
		return Row{}, err
	}
	return rows[0], nil
}

// likelyLogits returns scores like a model's, the same each time: a few hundred
// tokens have nearly all of the probability.
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

// chosen is what choosing tokens took.
type chosen struct {
	seconds   []float64 // of each
	left      garbage   // of all
	disturbed bool
}

// choose generates as many tokens as there are timed steps, the logits of each
// the same. No model computes: all that takes time is choosing, and all that is
// allocated is the text, which grows, and what choosing leaves behind.
func choose(ctx context.Context, logits []float32, config generate.Config, p Pace) (c chosen, err error) {
	if err := settle(ctx); err != nil {
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
	var used usage
	var start, last time.Time
	i := 0
	for _, err := range generate.Tokens(ctx, forward, seq, []int32{0}, nil, config) {
		if err != nil {
			return c, err
		}
		now := time.Now()
		switch i++; {
		case i == p.WarmUpSteps:
			before, used = readGarbage(), readUsage()
			start = time.Now()
			now = start
		case i > p.WarmUpSteps:
			c.seconds = append(c.seconds, now.Sub(last).Seconds())
		}
		last = now
	}
	c.left = readGarbage().since(before)
	c.disturbed = readUsage().othersSince(used, last.Sub(start)) > busy
	return c, nil
}

// noSequence is a sequence without K/V: only its length is kept.
type noSequence struct{ tokens int }

// noWork is what a step appends to it.
type noWork struct {
	Seq    *noSequence
	Tokens []int32
	Logits int
}

func (s *noSequence) Len() int                   { return s.tokens }
func (s *noSequence) Fork() (*noSequence, error) { return &noSequence{s.tokens}, nil }
func (s *noSequence) Close() error               { return nil }

func (s *noSequence) Truncate(n int) error {
	s.tokens = n
	return nil
}
