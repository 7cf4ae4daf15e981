package generate_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/sample"
)

// job is a prompt with its config.
type job struct {
	prompt []int32
	config generate.Config
}

// drawJobs draws searches of all kinds, with 20 tokens.
func drawJobs(t *rapid.T) []job {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) job {
		c := generate.Config{
			MaxNewTokens: rapid.IntRange(1, 12).Draw(t, "max new tokens"), EOS: []int32{0}, LengthPenalty: 1,
			Seed: rapid.Uint64().Draw(t, "seed"), Scores: sample.Config{RepetitionPenalty: 1.2},
		}
		switch rapid.SampledFrom([]string{"greedy", "sample", "lookup", "beams", "drawn beams", "groups"}).Draw(t, "kind") {
		case "sample":
			c.Sample, c.Texts = true, rapid.IntRange(1, 4).Draw(t, "sequences")
		case "lookup":
			c.LookupTokens = 4
		case "beams":
			c.Beams, c.Texts = 3, 3
		case "drawn beams":
			c.Beams, c.Sample = 3, true
		case "groups":
			c.Beams, c.Groups, c.Texts, c.Scores.DiversityPenalty = 4, 2, 4, 1
		}
		return job{rapid.SliceOfN(rapid.Int32Range(0, 19), 1, 6).Draw(t, "prompt"), c}
	}), 1, 5).Draw(t, "jobs")
}

// add adds jobs to a batch.
func add(t interface{ Fatal(...any) }, batch *batch, m *model, jobs []job) (tasks []*task) {
	for _, j := range jobs {
		task, err := batch.Add(request{Seq: m.seq(), Prompt: j.prompt, Config: j.config})
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, task)
	}
	return tasks
}

func TestABatchEqualsItsMembers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{vocab: 20, seed: rapid.Byte().Draw(t, "model")}
		jobs := drawJobs(t)
		batch := generate.NewBatch(m.forward, options{})
		tasks := add(t, batch, m, jobs)
		if err := batch.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		longest := 0
		for i, j := range jobs {
			calls := m.calls
			want := texts(t, &model{vocab: m.vocab, seed: m.seed}, j.prompt, j.config)
			m.calls = calls
			if diff := cmp.Diff(tasks[i].Results(), want); diff != "" {
				t.Errorf("job %d (-got +want):\n%s", i, diff)
			}
			longest = max(longest, j.config.MaxNewTokens)
		}
		if m.calls > longest {
			t.Errorf("%d calls, want at most one for each token of the longest text, which are %d", m.calls, longest)
		}
		if err := batch.Close(); err != nil || len(m.open) > 0 {
			t.Errorf("close: %v, %d sequences are open", err, len(m.open))
		}
	})
}

func TestResumingEqualsNeverHavingBeenCancelled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{vocab: 20, seed: rapid.Byte().Draw(t, "model")}
		jobs := drawJobs(t)
		var cancel context.CancelFunc
		batch := generate.NewBatch(func(ctx context.Context, works []work, rows [][][]float32) ([][][]float32, error) {
			if rapid.Bool().Draw(t, "cancelled") {
				cancel()
			}
			return m.forward(ctx, works, rows)
		}, options{})
		tasks := add(t, batch, m, jobs)
		found := func() (all [][][]int32) {
			for _, task := range tasks {
				all = append(all, ids(task.Results()))
			}
			return all
		}
		for running := true; running; {
			var ctx context.Context
			ctx, cancel = context.WithCancel(context.Background())
			before := found()
			var err error
			running, err = batch.Step(ctx)
			switch cancelled := ctx.Err() != nil; {
			case cancelled != (err != nil) || cancelled && !errors.Is(err, context.Canceled):
				t.Fatalf("cancelled %v, error %v", cancelled, err)
			case cancelled:
				if diff := cmp.Diff(found(), before); diff != "" {
					t.Fatalf("a cancelled step changed the texts (-got +want):\n%s", diff)
				}
			}
			cancel()
		}
		for i, j := range jobs {
			want := texts(t, &model{vocab: m.vocab, seed: m.seed}, j.prompt, j.config)
			if diff := cmp.Diff(tasks[i].Results(), want); diff != "" {
				t.Errorf("job %d (-got +want):\n%s", i, diff)
			}
		}
	})
}

func TestWhatFailsForOneDoesNotEndTheOthers(t *testing.T) {
	m := &model{vocab: 20}
	c := generate.Config{MaxNewTokens: 10}
	broken := c
	broken.Custom = []sample.Processor{sample.Func(func(ids []int32, _ []float32) error {
		if len(ids) == 5 {
			return errors.New("cannot go on")
		}
		return nil
	})}
	jobs := []job{{[]int32{1, 2}, c}, {[]int32{3, 4}, broken}, {[]int32{5, 6}, generate.Config{MaxNewTokens: 10, Beams: 3, Texts: 3}}}
	batch := generate.NewBatch(m.forward, options{})
	tasks := add(t, batch, m, jobs)
	if err := batch.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tasks[1].Err(); err == nil || err.Error() != "generate: token 4: cannot go on" {
		t.Errorf("error %v, want the processor's, with the token", err)
	}
	if got := len(tasks[1].Results()[0].Tokens); got != 3 {
		t.Errorf("%d tokens before the error, want 3", got)
	}
	for _, i := range []int{0, 2} {
		if err := tasks[i].Err(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(tasks[i].Results(), texts(t, &model{vocab: 20}, jobs[i].prompt, jobs[i].config)); diff != "" {
			t.Errorf("job %d (-got +want):\n%s", i, diff)
		}
	}
}

// The context may end while searches take a step one by one, because it has failed for all together. Those that
// have taken it keep it, and all go on as if nothing had happened.
func TestAContextThatEndsWhileSearchesGoAloneChangesNoText(t *testing.T) {
	m := &model{vocab: 20}
	c := generate.Config{MaxNewTokens: 6}
	jobs := []job{{[]int32{1, 2}, c}, {[]int32{3, 4}, c}, {[]int32{5, 6}, generate.Config{MaxNewTokens: 6, Beams: 2}}, {[]int32{7, 8}, c}}
	ctx, cancel := context.WithCancel(t.Context())
	alone := 0
	batch := generate.NewBatch(func(ctx context.Context, works []work, rows [][][]float32) ([][][]float32, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(works) > 2 {
			return nil, errors.New("the device has failed")
		}
		if alone++; alone == 2*len(jobs)+3 { // in the third step
			cancel()
			return nil, ctx.Err()
		}
		return m.forward(ctx, works, rows)
	}, options{})
	tasks := add(t, batch, m, jobs)
	if err := batch.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want that of the context", err)
	}
	for i, want := range []int{3, 3, 2, 2} {
		if got := len(tasks[i].Results()[0].Tokens); got != want || tasks[i].Err() != nil {
			t.Errorf("search %d has %d tokens, error %v; want %d", i, got, tasks[i].Err(), want)
		}
	}
	if err := batch.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, j := range jobs {
		if diff := cmp.Diff(tasks[i].Results(), texts(t, &model{vocab: 20}, j.prompt, j.config)); diff != "" || tasks[i].Err() != nil {
			t.Errorf("job %d: error %v (-got +want):\n%s", i, tasks[i].Err(), diff)
		}
	}
}

func TestWhatDoesNotFitTogetherGoesAlone(t *testing.T) {
	m := &model{vocab: 20}
	jobs := []job{{[]int32{1, 2}, generate.Config{MaxNewTokens: 10}}, {[]int32{3, 4}, generate.Config{MaxNewTokens: 10, Beams: 3}}}
	var calls []int
	batch := generate.NewBatch(func(ctx context.Context, works []work, rows [][][]float32) ([][][]float32, error) {
		if len(works) > 3 { // 3 beams fit, and another text does not
			return nil, errFull
		}
		calls = append(calls, len(works))
		return m.forward(ctx, works, rows)
	}, options{})
	tasks := add(t, batch, m, jobs)
	if err := batch.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, j := range jobs {
		if diff := cmp.Diff(tasks[i].Results(), texts(t, &model{vocab: 20}, j.prompt, j.config)); diff != "" || tasks[i].Err() != nil {
			t.Errorf("job %d: error %v (-got +want):\n%s", i, tasks[i].Err(), diff)
		}
	}
	if calls[0] != 2 || calls[1] != 1 || calls[2] != 3 {
		t.Errorf("works of calls %v, want the prompts together, then the searches one by one", calls)
	}
}

func TestAFullCacheLeavesTheBeamsSoFar(t *testing.T) {
	m := &model{vocab: 20, room: 30}
	batch := generate.NewBatch(m.forward, options{})
	task, err := batch.Add(request{Seq: m.seq(), Prompt: []int32{1, 2}, Config: generate.Config{MaxNewTokens: 50, Beams: 4, Texts: 4}})
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := task.Err(); !errors.Is(err, errFull) || !strings.HasPrefix(err.Error(), "generate: token 7: ") {
		t.Errorf("error %v, want %v at token 7: 4 sequences of 2+5 fit, and not of 2+6", err, errFull)
	}
	if found := task.Results(); len(found) != 4 || len(found[0].Tokens) != 6 || found[0].Finish != generate.Unfinished {
		t.Errorf("found %v, want 4 unfinished texts of 6 tokens", found)
	}
}

func TestTheFaultsOfAConfigAreReportedAtOnce(t *testing.T) {
	for _, tt := range []struct {
		config generate.Config
		want   []string
	}{
		{
			generate.Config{MaxNewTokens: -1, MaxTime: -1, Stop: []string{""}, LookupTokens: -1, LookupNgram: -1, Top: -1},
			[]string{"max_new_tokens", "max_time", "stop_strings has an empty string", "Stop needs Piece", "prompt_lookup_num_tokens", "max_matching_ngram_size", "top_logprobs"},
		},
		{
			generate.Config{Beams: 4, Groups: 3, Sample: true, Texts: 5, LookupTokens: 1},
			[]string{
				"num_beams is 4, and num_beam_groups 3", "num_beam_groups is 3, and do_sample true",
				"num_return_sequences is 5: want at most num_beams, which is 4", "prompt_lookup_num_tokens with num_beams 4",
			},
		},
		{generate.Config{Texts: 2}, []string{"num_return_sequences is 2: greedy search finds one sequence"}},
		{generate.Config{Scores: sample.Config{TopP: new(2.0), MinP: 3}}, []string{"top_p is 2", "min_p is 3"}},
	} {
		_, err := generate.New([]int32{1}, 0, tt.config)
		if err == nil {
			t.Errorf("%+v: no error", tt.config)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q lacks %q", err, want)
			}
		}
		if got := strings.Count(err.Error(), "\n") + 1; got != len(tt.want) {
			t.Errorf("%d faults, want %d: %v", got, len(tt.want), err)
		}
	}
}
