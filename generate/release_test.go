package generate_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/sample"
)

func TestEndedTextGivesBackItsSequencesAtOnce(t *testing.T) {
	long := generate.Config{MaxNewTokens: 9}
	broken := long
	broken.Custom = []sample.Processor{sample.Func(func(ids []int32, _ []float32) error {
		if len(ids) == 4 {
			return errors.New("cannot go on")
		}
		return nil
	})}
	for name, c := range map[string]generate.Config{
		"greedy":  {MaxNewTokens: 3},
		"sampled": {MaxNewTokens: 3, Sample: true, Texts: 3},
		"beams":   {MaxNewTokens: 3, Beams: 3},
		"broken":  broken,
	} {
		t.Run(name, func(t *testing.T) {
			m := &model{vocab: 20}
			batch := generate.NewBatch(m.forward, options{})
			tasks := add(t, batch, m, []job{{[]int32{1, 2}, c}, {[]int32{3}, long}})
			for !tasks[0].Done() {
				if _, err := batch.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if len(m.open) != 1 || tasks[1].Done() {
				t.Errorf("%d sequences are open, want that of the other text", len(m.open))
			}
			if got := len(tasks[0].Results()[0].Tokens); got < 2 {
				t.Errorf("%d tokens can be read after the end, want those found", got)
			}
			if err := batch.Close(); err != nil || len(m.open) != 0 {
				t.Errorf("close: %v, %d sequences open", err, len(m.open))
			}
		})
	}
}

func TestBatchForgetsSearchesThatHaveEnded(t *testing.T) {
	m := &model{vocab: 20}
	batch := generate.NewBatch(m.forward, options{})
	var ended []weak.Pointer[task]
	for range 5 {
		tasks := add(t, batch, m, []job{{[]int32{1, 2}, generate.Config{MaxNewTokens: 2}}, {[]int32{3}, generate.Config{MaxNewTokens: 9}}})
		for !tasks[0].Done() {
			if _, err := batch.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Remove(tasks[1]); err != nil {
			t.Fatal(err)
		}
		ended = append(ended, weak.Make(tasks[0]), weak.Make(tasks[1]))
	}
	runtime.GC()
	for i, p := range ended {
		if p.Value() != nil {
			t.Errorf("search %d is still held by a batch that it has left", i)
		}
	}
	runtime.KeepAlive(batch)
}

func TestRemoveEndsOneSearchAndTouchesNoOther(t *testing.T) {
	m := &model{vocab: 20}
	batch := generate.NewBatch(m.forward, options{})
	jobs := []job{{[]int32{1, 2}, generate.Config{MaxNewTokens: 8}}, {[]int32{3, 4}, generate.Config{MaxNewTokens: 8, Beams: 3}}}
	tasks := add(t, batch, m, jobs)
	for range 3 {
		if _, err := batch.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time it does nothing
		if err := batch.Remove(tasks[0]); err != nil {
			t.Fatal(err)
		}
	}
	if err := tasks[0].Err(); !tasks[0].Done() || !errors.Is(err, generate.ErrRemoved) {
		t.Errorf("done %v, error %v, want %v", tasks[0].Done(), err, generate.ErrRemoved)
	}
	if got := len(tasks[0].Results()[0].Tokens); got != 3 {
		t.Errorf("%d tokens of the removed text, want the 3 found before", got)
	}
	if err := batch.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := batch.Remove(tasks[1]); err != nil || tasks[1].Err() != nil {
		t.Errorf("removing an ended search: %v, and its error is %v", err, tasks[1].Err())
	}
	if diff := cmp.Diff(tasks[1].Results(), texts(t, &model{vocab: 20}, jobs[1].prompt, jobs[1].config)); diff != "" {
		t.Errorf("the other search (-got +want):\n%s", diff)
	}
	if len(m.open) != 0 {
		t.Errorf("%d sequences are open, want none", len(m.open))
	}
}

func TestAddClosesTheSequenceOfARefusedSearch(t *testing.T) {
	m := &model{vocab: 20}
	batch := generate.NewBatch(m.forward, options{})
	for name, c := range map[string]generate.Config{"config": {Top: -1}, "prompt": {}} {
		prompt := []int32{1}
		if name == "prompt" {
			prompt = nil
		}
		if _, err := batch.Add(request{Seq: m.seq(), Prompt: prompt, Config: c}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if len(m.open) != 0 {
		t.Errorf("%d sequences are open, want none", len(m.open))
	}
}

func TestLastTokenSaysWhyTheTextEnded(t *testing.T) {
	rows := [][]float32{row(3), row(4), row(2), row(5), row(6)}
	letter := func(id int32) string { return string('a' + id) }
	for _, tt := range []struct {
		config generate.Config
		want   generate.Finish
	}{
		{generate.Config{MaxNewTokens: 2}, generate.LengthLimit},
		{generate.Config{MaxNewTokens: 5, EOS: []int32{2}}, generate.EndToken},
		{generate.Config{Stop: []string{"ec"}, Piece: letter}, generate.StopString},
		{generate.Config{MaxTime: 2500 * time.Millisecond}, generate.TimeLimit},
		{generate.Config{}, generate.Unfinished}, // the model has 5 rows, and no more
	} {
		for _, beams := range []int{1, 2} {
			synctest.Test(t, func(t *testing.T) {
				forward := func(m *model) generate.Forward[work] {
					return func(ctx context.Context, works []work, rows [][][]float32) ([][][]float32, error) {
						time.Sleep(time.Second)
						return m.forward(ctx, works, rows)
					}
				}
				check := func(kind string, tokens []generate.Token) {
					t.Helper()
					for i, token := range tokens {
						want := generate.Unfinished
						if i == len(tokens)-1 {
							want = tt.want
						}
						if token.Finish != want {
							t.Errorf("%s, token %d of %d ends the text by %v, want %v", kind, i+1, len(tokens), token.Finish, want)
						}
					}
				}
				c := tt.config
				m := &model{rows: rows}
				if beams == 1 {
					var tokens []generate.Token
					for token, err := range generate.Tokens(t.Context(), forward(m), m.seq(), []int32{7}, nil, c) {
						if err == nil {
							tokens = append(tokens, token)
						}
					}
					check("stream", tokens)
				}
				m, c.Beams = &model{rows: rows}, beams
				batch := generate.NewBatch(forward(m), options{})
				task, err := batch.Add(request{Seq: m.seq(), Prompt: []int32{7}, Config: c})
				if err != nil {
					t.Fatal(err)
				}
				if err := batch.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				found := task.Results()[0]
				check("batch", found.Tokens)
				if found.Finish != tt.want && beams == 1 {
					t.Errorf("the text ended by %v, want %v", found.Finish, tt.want)
				}
			})
		}
	}
}
