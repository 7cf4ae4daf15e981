package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/sample"
)

func TestAnInterruptedSearchPrintsWhatItFound(t *testing.T) {
	needLibraries(t)
	engine, err := ebb.Open("../../testdata/models/tiny-gqa.gguf", ebb.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	interrupt := sample.Func(func(ids []int32, _ []float32) error {
		if len(ids) == 4 {
			cancel()
		}
		return nil
	})
	seq := engine.NewSeq()
	var text strings.Builder
	a, err := generateAnswer(ctx, engine, question{seq: seq, tokens: []int32{22}, config: ebb.GenerationConfig{
		MaxNewTokens: 50, NumBeams: 3, NumReturnSequences: 2, EOSTokenID: ebb.TokenIDs{}, Processors: []sample.Processor{interrupt},
	}}, &text)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if len(a.sequences) != 2 || len(a.best().IDs) != 4 || text.String() != a.best().Text {
		t.Errorf("found %+v and printed %q, want two texts of 4 tokens, the best one printed", a.sequences, text.String())
	}
	if err := seq.Close(); err != nil {
		t.Error(err)
	}
}
