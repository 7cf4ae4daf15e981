package bench

import (
	"math"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/sample"
)

func TestChoosingMayTakeATwentiethOfAStep(t *testing.T) {
	step := measure.Row{Summary: measure.Summary{P25: 1}}
	for _, tt := range []struct {
		choosing float64
		want     bool
	}{{0.049, true}, {0.051, false}} {
		if got := samplingScore(step, "greedy", tt.choosing); got.Reached() != tt.want {
			t.Errorf("%g of a step: %+v, reached %t, want %t", tt.choosing, got, got.Reached(), tt.want)
		}
	}
}

// What filters look at is like a model's: few tokens have most of the probability.
func TestLikelyLogitsAreLikeAModels(t *testing.T) {
	scores := likelyLogits(samplingVocab)
	if !slices.Equal(scores, likelyLogits(samplingVocab)) {
		t.Error("other scores the second time")
	}
	if err := sample.LogSoftmax(scores); err != nil {
		t.Fatal(err)
	}
	top, err := sample.Candidates(scores, 300)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, c := range top {
		sum += math.Exp(c.LogProb)
	}
	if sum < 0.95 {
		t.Errorf("300 tokens have %g of the probability, want at least 0.95, so that top-p leaves no more", sum)
	}
}

func TestChooseTimesEveryTokenButTheFirst(t *testing.T) {
	c, err := choose(t.Context(), []float32{1, 3, 2}, generate.Config{}, measure.Pace{Rounds: 2, Steps: 3, WarmUpSteps: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.seconds) != 6 {
		t.Errorf("%d times, want one for each of 2 rounds' 3 steps", len(c.seconds))
	}
}
