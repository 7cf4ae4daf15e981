package generate_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/generate"
)

// taken is a step that a timed model has computed.
type taken struct {
	texts, prompts int // tokens
	elapsed        time.Duration
}

// timed is a model whose steps take a time by their tokens.
type timed struct {
	*model
	cost  func(tokens, depth int) time.Duration // depth is that of the longest sequence
	steps []taken
}

func (m *timed) forward(ctx context.Context, works []work, rows [][][]float32) ([][][]float32, error) {
	var s taken
	depth := 0
	for _, w := range works {
		if w.Before+w.More > 0 || len(w.Tokens) > 1 {
			s.prompts += len(w.Tokens)
		} else {
			s.texts++
		}
		depth = max(depth, w.Seq.Len())
	}
	s.elapsed = m.cost(s.texts+s.prompts, depth)
	time.Sleep(s.elapsed)
	m.steps = append(m.steps, s)
	return m.model.forward(ctx, works, rows)
}

// mixed returns the steps that had texts and prompts.
func (m *timed) mixed() []taken {
	return slices.DeleteFunc(slices.Clone(m.steps), func(s taken) bool { return s.texts == 0 || s.prompts == 0 })
}

// longPrompt returns tokens.
func longPrompt(n int) []int32 {
	prompt := make([]int32, n)
	for i := range prompt {
		prompt[i] = int32(i % 7)
	}
	return prompt
}

const stepTime = 200 * time.Millisecond

// besideTexts computes a prompt beside three texts, with fake time.
func besideTexts(t *testing.T, tokens int, cost func(step, tokens, depth int) time.Duration) (m *timed) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m = &timed{model: &model{vocab: 8, memory: 3}}
		m.cost = func(tokens, depth int) time.Duration { return cost(len(m.steps), tokens, depth) }
		b := generate.NewBatch(m.forward, options{StepTime: stepTime, StepTokens: 4096})
		defer b.Close()
		for i := range 3 {
			if _, err := b.Add(request{Seq: m.seq(), Prompt: []int32{int32(i), 1}}); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			if _, err := b.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		long, err := b.Add(request{Seq: m.seq(), Prompt: longPrompt(tokens)})
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; long.PromptLeft() > 0 && i < 3000; i++ {
			if _, err := b.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
	return m
}

// A long prompt beside texts makes no step longer than twice the time that a step should take, once a
// few have been taken, however long a token takes. It has most of the time that there is for it.
func TestStepsTakeAsLongAsTheyShouldBesideALongPrompt(t *testing.T) {
	const ms = time.Millisecond
	for _, fixed := range []time.Duration{0, 5 * ms, 60 * ms, 150 * ms} {
		for each := 20 * time.Microsecond; each <= 30*ms; each *= 3 {
			m := besideTexts(t, 20000, func(_, tokens, _ int) time.Duration { return fixed + time.Duration(tokens)*each })
			alone := fixed + 3*each
			free := max(stepTime-alone, alone/4)
			for i, s := range m.mixed() {
				if i < 12 {
					if s.elapsed > 2*max(stepTime, alone) {
						t.Errorf("%v + %v a token: step %d takes %v: want at most %v", fixed, each, i, s.elapsed, 2*stepTime)
					}
					continue
				}
				last := i == len(m.mixed())-1
				if longest := alone + free*5/4 + each; s.elapsed > longest {
					t.Errorf("%v + %v a token: step %d takes %v: want at most %v", fixed, each, i, s.elapsed, longest)
				}
				if least := int(free/each) / 2; s.prompts < min(least, 4096-3) && !last {
					t.Errorf("%v + %v a token: step %d takes %d tokens of the prompt: want at least %d", fixed, each, i, s.prompts, least)
				}
				if s.prompts > 16 && s.prompts%16 != 0 && s.prompts != 4096-3 && !last {
					t.Errorf("%v + %v a token: a pass of %d tokens: want a multiple of 16", fixed, each, s.prompts)
				}
			}
		}
	}
}

// Where the time of a step changes, a few steps may be too long, and no more.
func TestStepsAdaptToWhatTheyTake(t *testing.T) {
	const each = 500 * time.Microsecond
	for name, cost := range map[string]func(step, tokens, depth int) time.Duration{
		"tokens take 30 times as long": func(step, tokens, _ int) time.Duration {
			if step > 40 {
				return time.Duration(tokens) * 30 * each
			}
			return time.Duration(tokens) * each
		},
		"tokens take a 30th": func(step, tokens, _ int) time.Duration {
			if step > 40 {
				return time.Duration(tokens) * each / 30
			}
			return time.Duration(tokens) * each
		},
		"by depth": func(_, tokens, depth int) time.Duration {
			return time.Duration(tokens) * (each + each*time.Duration(depth)/1000)
		},
		"every tenth step takes four times as long": func(step, tokens, _ int) time.Duration {
			if step%10 == 0 {
				return 4 * time.Duration(tokens) * each
			}
			return time.Duration(tokens) * each
		},
		"from 17 tokens on a step takes 100 ms more": func(_, tokens, _ int) time.Duration {
			if tokens > 16 {
				return 100*time.Millisecond + time.Duration(tokens)*each
			}
			return time.Duration(tokens) * each
		},
	} {
		m := besideTexts(t, 30000, cost)
		long := 0
		for _, s := range m.mixed() {
			if s.elapsed > 2*stepTime {
				long++
			}
		}
		most := 3
		if name == "every tenth step takes four times as long" {
			most = len(m.mixed())/10 + 1
		}
		if long > most {
			t.Errorf("%s: %d of %d steps take more than %v: want at most %d", name, long, len(m.mixed()), 2*stepTime, most)
		}
		if n := len(m.mixed()); n > 2700 {
			t.Errorf("%s: %d steps for 30000 tokens: want fewer", name, n)
		}
	}
}

// Of prompts that wait the shortest comes first, and a long one begins although short ones keep coming.
func TestNoPromptWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &timed{model: &model{vocab: 8, memory: 3}, cost: func(tokens, _ int) time.Duration { return time.Duration(tokens) * 5 * time.Millisecond }}
		b := generate.NewBatch(m.forward, options{StepTime: stepTime})
		defer b.Close()
		add := func(tokens, most int) *task {
			a, err := b.Add(request{Seq: m.seq(), Prompt: longPrompt(tokens), Config: generate.Config{MaxNewTokens: most}})
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		step := func() {
			if _, err := b.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		add(1, 0)
		for range 10 {
			step()
		}
		long, short := add(1500, 0), add(40, 1)
		for !short.Done() {
			step()
		}
		if long.PromptLeft() < 1500-64 {
			t.Errorf("%d tokens of a prompt of 1500 are computed before one of 40", 1500-long.PromptLeft())
		}
		began, ended := 0, 0
		for i := range 400 {
			add(40, 1)
			step()
			if began == 0 && long.PromptLeft() < 1400 {
				began = i
			}
			if ended == 0 && long.PromptLeft() == 0 {
				ended = i
			}
		}
		if began == 0 || began > 1500/16 || ended == 0 || ended > 250 {
			t.Errorf("a prompt of 1500 tokens among new ones of 40 begins after %d steps and ends after %d; want at most %d and 250", began, ended, 1500/16)
		}
	})
}

// A prompt that goes in passes, of any length and beside any others, gives the texts that it gives alone.
func TestPassesGiveTheTextsOfWholePrompts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{vocab: 20, seed: rapid.Byte().Draw(t, "model")}
		jobs := drawJobs(t)
		done := map[*sequence]int{}
		forward := func(ctx context.Context, works []work, rows [][][]float32) ([][][]float32, error) {
			total := 0
			for _, w := range works {
				total += len(w.Tokens)
				if w.Before != done[w.Seq] || w.More > 0 && w.Logits > 0 {
					t.Fatalf("a pass with %d tokens before it and %d behind, %d logits: %d tokens are computed", w.Before, w.More, w.Logits, done[w.Seq])
				}
				if done[w.Seq] += len(w.Tokens); w.More == 0 {
					delete(done, w.Seq)
				}
			}
			if total > 64 {
				t.Fatalf("%d tokens in a step: want at most 64", total)
			}
			return m.forward(ctx, works, rows)
		}
		b := generate.NewBatch(forward, options{
			StepTime: time.Duration(rapid.IntRange(0, 1).Draw(t, "step time")), StepTokens: 64,
			Pass: func(s *sequence, tokens int) int { return min(tokens, 1+(len(s.ids)+tokens)%4) },
		})
		tasks := add(t, b, m, jobs)
		if err := b.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		for i, j := range jobs {
			if diff := cmp.Diff(tasks[i].Results(), texts(t, &model{vocab: m.vocab, seed: m.seed}, j.prompt, j.config)); diff != "" {
				t.Errorf("job %d (-got +want):\n%s", i, diff)
			}
		}
		if err := b.Close(); err != nil || len(m.open) > 0 {
			t.Errorf("close: %v, %d sequences are open", err, len(m.open))
		}
	})
}

// A request whose own context is cancelled ends before the next step, or in a pass of its prompt if it is
// alone in it, and others go on.
func TestACancelledRequestEndsAlone(t *testing.T) {
	why := errors.New("the client is gone")
	for _, alone := range []bool{true, false} {
		m := &model{vocab: 20}
		ctx, cancel := context.WithCancelCause(t.Context())
		inPrompt := false
		b := generate.NewBatch(func(ctx context.Context, works []work, rows [][][]float32) ([][][]float32, error) {
			if works[len(works)-1].More > 0 && works[len(works)-1].Before > 0 {
				inPrompt = true
				cancel(why)
				if alone {
					<-ctx.Done()
				} else if ctx.Err() != nil {
					t.Error("a step of others is cancelled")
				}
			}
			return m.forward(ctx, works, rows)
		}, options{StepTime: time.Hour, StepTokens: 10})
		other := job{[]int32{5, 6}, generate.Config{MaxNewTokens: 12}}
		var others []*task
		if !alone {
			others = add(t, b, m, []job{other})
			if _, err := b.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		cancelled, err := b.Add(request{Context: ctx, Seq: m.seq(), Prompt: longPrompt(50)})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := cancelled.Err(); !errors.Is(err, why) || !inPrompt || cancelled.PromptLeft() == 0 {
			t.Errorf("error %v with %d tokens of the prompt left: want %v before its end", err, cancelled.PromptLeft(), why)
		}
		for _, o := range others {
			if diff := cmp.Diff(o.Results(), texts(t, &model{vocab: 20}, other.prompt, other.config)); diff != "" {
				t.Errorf("the other text (-got +want):\n%s", diff)
			}
		}
		if len(m.open) != 0 {
			t.Errorf("%d sequences are open, want none", len(m.open))
		}
	}
}

// A sequence that is kept has what was computed, however its search ends.
func TestAKeptSequenceHoldsWhatWasComputed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{vocab: 20, seed: rapid.Byte().Draw(t, "model")}
		jobs := drawJobs(t)
		b := generate.NewBatch(m.forward, options{
			Pass: func(_ *sequence, tokens int) int { return min(tokens, 2) },
		})
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var tasks []*task
		var seqs []*sequence
		for _, j := range jobs {
			held := rapid.IntRange(0, len(j.prompt)-1).Draw(t, "held")
			seqs = append(seqs, m.seq(j.prompt[:held]...))
			task, err := b.Add(request{Context: ctx, Seq: seqs[len(seqs)-1], Prompt: j.prompt, Config: j.config, Keep: true})
			if err != nil {
				t.Fatal(err)
			}
			tasks = append(tasks, task)
		}
		for range rapid.IntRange(0, 15).Draw(t, "steps") {
			if _, err := b.Step(ctx); err != nil {
				t.Fatal(err)
			}
		}
		switch rapid.IntRange(0, 2).Draw(t, "end") {
		case 0:
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		case 1:
			cancel()
		}
		if err := b.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		for i, j := range jobs {
			want := j.prompt[:len(j.prompt)-tasks[i].PromptLeft()]
			if found := tasks[i].Results(); tasks[i].PromptLeft() == 0 && max(j.config.Texts, j.config.Beams) < 2 && len(found[0].Tokens) > 0 {
				want = slices.Concat(want, found[0].IDs()[:len(found[0].Tokens)-1])
			}
			if diff := cmp.Diff(seqs[i].ids, want); diff != "" {
				t.Errorf("job %d, %v (-got +want):\n%s", i, tasks[i].Err(), diff)
			}
		}
		if len(m.open) != len(jobs) {
			t.Errorf("%d sequences are open, want those of %d requests", len(m.open), len(jobs))
		}
	})
}

// Deciding what a step computes leaves nothing to the garbage collector.
func TestSchedulingLeavesNoGarbage(t *testing.T) {
	rows, answer := make([][][]float32, 11), [][]float32{row(3)}
	b := generate.NewBatch(func(_ context.Context, works []work, _ [][][]float32) ([][][]float32, error) {
		for i, w := range works {
			w.Seq.ids = append(w.Seq.ids, w.Tokens...)
			rows[i] = answer[:w.Logits]
		}
		return rows[:len(works)], nil
	}, options{StepTime: time.Nanosecond})
	m := &model{}
	seq := func() *sequence {
		s := m.seq()
		s.ids = make([]int32, 0, 1<<20)
		return s
	}
	var tasks []*task
	for i := range 8 {
		a, err := b.Add(request{Seq: seq(), Prompt: []int32{int32(i)}})
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, a)
	}
	var found []generate.Text
	step := func() {
		if _, err := b.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, a := range tasks { // what a server reads after each step
			if found = a.AppendResults(found[:0]); a.Phase() != generate.Growing || a.FirstToken().IsZero() || len(found[0].Tokens) == 0 {
				t.Fatalf("%v with %d tokens", a.Phase(), len(found[0].Tokens))
			}
		}
	}
	for range 2000 { // so that the texts' slices have room
		step()
	}
	if n := testing.AllocsPerRun(100, step); n > 1 {
		t.Errorf("%g allocations a step of texts, want none", n)
	}
	for range 3 {
		if _, err := b.Add(request{Seq: seq(), Prompt: longPrompt(5000)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, step); n > 1 {
		t.Errorf("%g allocations a step of texts and prompts, want none", n)
	}
}

// A pass has at most twice the tokens of the one before, however fast that was: what holds for few tokens
// need not hold for many.
func TestAPassIsAtMostTwiceTheOneBefore(t *testing.T) {
	for _, each := range []time.Duration{time.Nanosecond, time.Microsecond, 50 * time.Microsecond} {
		before := 16
		for i, s := range besideTexts(t, 20000, func(_, tokens, _ int) time.Duration { return 5*time.Millisecond + time.Duration(tokens)*each }).mixed() {
			if s.prompts > 2*before {
				t.Errorf("%v a token: step %d takes %d tokens of the prompt after one of %d", each, i, s.prompts, before)
			}
			before = s.prompts
		}
	}
}

// Texts that have as many tokens as a step may keep no prompt waiting for ever.
func TestTextsThatFillAStepStarveNoPrompt(t *testing.T) {
	m := &model{vocab: 8, memory: 3}
	b := generate.NewBatch(m.forward, options{StepTime: time.Second, StepTokens: 8})
	defer b.Close()
	step := func() {
		if _, err := b.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Add(request{Seq: m.seq(), Prompt: []int32{1}, Config: generate.Config{Sample: true, Texts: 12}}); err != nil {
		t.Fatal(err)
	}
	step()
	long, err := b.Add(request{Seq: m.seq(), Prompt: longPrompt(100)})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		step()
	}
	if left := long.PromptLeft(); left > 0 {
		t.Errorf("after 100 steps %d tokens of a prompt of 100 are left", left)
	}
}

// Tokens that a sequence has to compute again go in passes too, and what they take counts as theirs.
func TestWhatIsComputedAgainKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := &sequence{}
		m := &timed{model: &model{vocab: 8, memory: 3}}
		b := generate.NewBatch(func(ctx context.Context, works []work, rows [][][]float32) ([][][]float32, error) {
			works = slices.Clone(works)
			for i, w := range works {
				if w.Seq == lost && lost.lost > 0 {
					n := lost.lost
					if len(w.Tokens) == 0 {
						n = w.Again
					}
					at := len(lost.ids) - lost.lost
					works[i].Tokens = slices.Concat(lost.ids[at:at+n], w.Tokens)
					rest := slices.Clone(lost.ids[at+n:])
					lost.ids = lost.ids[:at]
					defer func() { lost.ids, lost.lost = append(lost.ids, rest...), len(rest) }()
				}
			}
			return m.forward(ctx, works, rows)
		}, options{StepTime: stepTime, StepTokens: 4096, Pending: func(s *sequence) int { return s.lost }})
		defer b.Close()
		m.cost = func(tokens, _ int) time.Duration { return time.Duration(tokens) * time.Millisecond }
		for i := range 3 {
			if _, err := b.Add(request{Seq: m.seq(), Prompt: []int32{int32(i), 1}}); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			if _, err := b.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		lost = m.seq(longPrompt(3000)...)
		lost.lost = 2500
		again, err := b.Add(request{Seq: lost, Prompt: longPrompt(3010)})
		if err != nil {
			t.Fatal(err)
		}
		if left := again.PromptLeft(); left != 2510 {
			t.Errorf("%d tokens are left, want 2500 and 10", left)
		}
		for again.PromptLeft() > 0 {
			if _, err := b.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for i, s := range m.steps {
			if s.elapsed > stepTime*5/4 {
				t.Errorf("step %d takes %v, want about %v", i, s.elapsed, stepTime)
			}
		}
		if n := len(m.mixed()); n > 30 || again.Recomputed() != 2500 {
			t.Errorf("%d steps, want about 2500 / 190; %d tokens were computed again, want 2500", n, again.Recomputed())
		}
	})
}
