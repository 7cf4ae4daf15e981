package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/measure"
)

const (
	// arrivalStreams are the streams that a prompt and requests arrive beside.
	arrivalStreams = 8
	// arrivalPrompt is how many tokens the prompt has, as far as the context allows.
	arrivalPrompt = 4000
	// targetGap is how many target times of a step a stream may wait for a token: the score is what it may
	// wait divided by what it waits.
	targetGap = 2
	// targetJoining is the share of its speed that a step should keep when a request joins and leaves.
	targetJoining = 1 / 1.05
)

// arrival measures what streams notice of others: of a request that joins and leaves at each step, and of
// a long prompt.
func (o *Options) arrival(ctx context.Context, with measure.Options, _ measure.Model) (res measure.Result, err error) {
	err = o.each(with, &res, func(with measure.Options, m measure.Model, family string) error {
		with.Context = cmp.Or(with.Context, m.Context)
		for _, s := range with.Settings() {
			if err := arrivalIn(ctx, with, s, family, &res); err != nil {
				return err
			}
		}
		return nil
	})
	return res, err
}

// arrivalIn measures one setting, of a family or, without a name, of the model of the options.
func arrivalIn(ctx context.Context, o measure.Options, s measure.Setting, family string, res *measure.Result) (err error) {
	workload := "arrival"
	if family != "" {
		workload = family + "-arrival"
	}
	n := o.Pace.Rounds * o.Pace.Steps
	room := o.Context
	prompt := min(arrivalPrompt, room/2)
	longest := min(512, max(1, room-2*n-prompt)) // of the streams' prompts
	e, err := measure.OpenEbb("ebb auto", o, s, ebb.Options{Context: room, Sequences: arrivalStreams + 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	b := &streams{batch: e.Engine.NewBatch(ebb.BatchOptions{}), vocab: e.Engine.Config().Vocab}
	defer func() { err = errors.Join(err, b.batch.Close()) }()
	for i := range arrivalStreams {
		if err := b.add(max(1, longest*(i+1)/arrivalStreams)); err != nil {
			return err
		}
	}
	o.Progress(fmt.Sprintf("arrival: %d streams, %v", arrivalStreams, s))
	if err := b.begin(ctx, o.Pace.WarmUpSteps); err != nil {
		return err
	}
	if err := measure.Settle(ctx); err != nil {
		return err
	}
	used, start := measure.ReadUsage(), time.Now()
	alone, err := b.steps(ctx, n)
	if err != nil {
		return err
	}
	aloneSpeed := b.speed()

	o.Progress(fmt.Sprintf("arrival: requests join and leave, %v", s))
	joining, steady, err := b.compareJoining(ctx, o.Pace)
	if err != nil {
		return err
	}

	o.Progress(fmt.Sprintf("arrival: a prompt of %d tokens, %v", prompt, s))
	first, err := b.arrive(ctx, prompt)
	if err != nil {
		return err
	}
	during := b.speed()
	gap := slices.Max(b.gaps)
	disturbed := measure.ReadUsage().OthersSince(used, time.Since(start)) > measure.Busy

	figure := func(name string, value float64, unit string) {
		res.Figures = append(res.Figures, measure.Figure{Workload: workload, Name: fmt.Sprintf("%v: %s", s, name), Value: value, Unit: unit, Disturbed: disturbed})
	}
	half := measure.Summarize(alone).P25
	figure(fmt.Sprintf("a step of %d streams", arrivalStreams), half*1e3, "ms")
	figure("streams alone", aloneSpeed, "tokens/s")
	figure(fmt.Sprintf("streams beside a prompt of %d tokens", prompt), during, "tokens/s")
	figure("the prompt, until its first new token", float64(prompt)/first.Seconds(), "tokens/s")
	figure("passes of the prompt", float64(len(b.gaps)), "steps")
	figure("longest gap between two tokens of a stream", gap*1e3, "ms")
	figure("a step of 9 streams", steady*1e3, "ms")
	figure("a step of 9 in which one of them joins and another has left", joining*1e3, "ms")
	score := func(name string, value, target float64) {
		res.Scores = append(res.Scores, measure.Score{Workload: workload, Threads: s.Threads, KVType: s.KVType, Tokens: prompt, Name: name, Value: value, Target: target})
	}
	score(fmt.Sprintf("%d target times of a step / longest gap", targetGap), targetGap*ebb.DefaultStepTime.Seconds()/gap, 1)
	score("a step of 9 / one in which one of them joins and another has left", steady/joining, targetJoining)
	score("streams beside the prompt / alone", during/aloneSpeed, 0)
	return nil
}

// streams are texts that grow in a batch.
type streams struct {
	batch *ebb.Batch
	vocab int
	going []*ebb.Generation

	begun time.Time // of the steps that count
	gaps  []float64 // seconds between two tokens of a stream: of each step that counts
}

// tokens returns a prompt of arbitrary tokens.
func (b *streams) tokens(n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32((i*7919 + n*31) % b.vocab)
	}
	return ids
}

// endlessText returns the config of a greedy text of some new tokens that no token ends.
func endlessText(tokens int) ebb.GenerationConfig {
	return ebb.GenerationConfig{MaxNewTokens: tokens, EOSTokenID: []int32{}}
}

// add adds a stream.
func (b *streams) add(prompt int) error {
	g, err := b.batch.Add(ebb.Request{Prompt: b.tokens(prompt), Config: endlessText(1 << 20)})
	if err == nil {
		b.going = append(b.going, g)
	}
	return err
}

// step takes a step, in which each stream gets one token.
func (b *streams) step(ctx context.Context) (seconds float64, err error) {
	began := time.Now()
	if _, err := b.batch.Step(ctx); err != nil {
		return 0, err
	}
	seconds = time.Since(began).Seconds()
	for _, g := range b.going {
		if g.Done() {
			return 0, fmt.Errorf("bench: arrival: a stream has ended: %w", g.Err())
		}
	}
	return seconds, nil
}

// begin takes steps until all streams grow, and some more.
func (b *streams) begin(ctx context.Context, more int) error {
	for left := more; left > 0; {
		if _, err := b.step(ctx); err != nil {
			return err
		}
		if !slices.ContainsFunc(b.going, func(g *ebb.Generation) bool { return g.PromptLeft() > 0 }) {
			left--
		}
	}
	return nil
}

// reset has the steps from here on count.
func (b *streams) reset() { b.begun, b.gaps = time.Now(), b.gaps[:0] }

// speed returns how many tokens a second the streams had in the steps that count.
func (b *streams) speed() float64 {
	return float64(len(b.gaps)*len(b.going)) / time.Since(b.begun).Seconds()
}

// steps takes some steps, which count, and returns their seconds.
func (b *streams) steps(ctx context.Context, n int) ([]float64, error) {
	b.reset()
	for range n {
		seconds, err := b.step(ctx)
		if err != nil {
			return nil, err
		}
		b.gaps = append(b.gaps, seconds)
	}
	return slices.Clone(b.gaps), nil
}

// compareJoining returns the seconds of a step in which a request of one token joins and ends, and of one
// of as many tokens in which nobody does, in turns.
func (b *streams) compareJoining(ctx context.Context, p measure.Pace) (joining, steady float64, err error) {
	var join, stay []float64
	for range p.Rounds {
		for i := range p.Tokens() {
			if _, err := b.batch.Add(ebb.Request{Prompt: b.tokens(1), Config: endlessText(1)}); err != nil {
				return 0, 0, err
			}
			seconds, err := b.step(ctx)
			if err != nil {
				return 0, 0, err
			}
			if i >= p.WarmUpSteps {
				join = append(join, seconds)
			}
		}
		other, err := b.batch.Add(ebb.Request{Prompt: b.tokens(1), Config: endlessText(1 << 20)})
		if err != nil {
			return 0, 0, err
		}
		for i := range p.Tokens() {
			seconds, err := b.step(ctx)
			if err != nil {
				return 0, 0, err
			}
			if i >= max(1, p.WarmUpSteps) {
				stay = append(stay, seconds)
			}
		}
		if err := b.batch.Remove(other); err != nil {
			return 0, 0, err
		}
	}
	return measure.Summarize(join).P25, measure.Summarize(stay).P25, nil
}

// arrive takes steps, which count, until a prompt that arrives has its first new token, and returns how
// long that takes.
func (b *streams) arrive(ctx context.Context, prompt int) (time.Duration, error) {
	b.reset()
	g, err := b.batch.Add(ebb.Request{Prompt: b.tokens(prompt), Config: endlessText(1)})
	if err != nil {
		return 0, err
	}
	for !g.Done() {
		seconds, err := b.step(ctx)
		if err != nil {
			return 0, err
		}
		b.gaps = append(b.gaps, seconds)
	}
	return time.Since(b.begun), g.Err()
}
