package ebb_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/session"
)

// Hugging Face chooses between LongRoPE's factors by the tokens that a sequence has, and ebb by the
// context, so each case has a context on its side of the 256 tokens that the model was trained with.
func TestLongRoPEEqualsHuggingFaceOnBothSidesOfTheContextOfTraining(t *testing.T) {
	const model = "tiny-longrope"
	for _, p := range cpuPlaces {
		for _, policy := range policies {
			for _, context := range []int{256, 512} {
				t.Run(fmt.Sprintf("%s/%s/%d", p.name, policy, context), func(t *testing.T) {
					e := p.open(t, modelPath(model), ebb.Options{Cache: policy, KVType: "f32", Context: context})
					for _, c := range golden[goldenLogits](t, "logits_"+model) {
						if (len(c.Prompt) > 256) != (context > 256) {
							continue
						}
						s := e.NewSeq()
						if d := worst(t, forward(t, e, s, c.Prompt, len(c.Logits)), c.Logits); d > p.tolerance() {
							t.Errorf("prompt of %d: logits differ by %g; want at most %g", len(c.Prompt), d, p.tolerance())
						}
						closeSeq(t, s)
					}
					for _, c := range golden[goldenGreedy](t, "greedy_"+model) {
						if (len(c.Prompt) > 256) != (context > 256) {
							continue
						}
						if got, _ := greedy(t, e, c.Prompt, len(c.IDs)); !slices.Equal(got, c.IDs) {
							t.Errorf("prompt of %d:\n got %v\nwant %v", len(c.Prompt), got, c.IDs)
						}
					}
				})
			}
		}
	}
}

// Rows whose keys were turned by other factors are another model's.
func TestASessionOfAnotherContextIsRefusedWhereFactorsDiffer(t *testing.T) {
	ownCache(t)
	path := filepath.Join(t.TempDir(), "s.ebb")
	short := cpuInPlace.open(t, modelPath("tiny-longrope"), ebb.Options{Context: 256})
	s := short.NewSeq()
	defer closeSeq(t, s)
	advance(t, short, s, prompt(1, 20))
	saved := openSession(t, short, path)
	if err := saved.Save(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	if err := saved.Close(); err != nil {
		t.Fatal(err)
	}
	long := cpuInPlace.open(t, modelPath("tiny-longrope"), ebb.Options{Context: 512})
	if _, err := long.OpenSession(path); !errors.Is(err, session.ErrModel) {
		t.Errorf("got the error %v, want %v", err, session.ErrModel)
	}
	openSession(t, short, path)
}
