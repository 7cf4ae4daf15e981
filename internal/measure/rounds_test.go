package measure

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scripted is an arm that notes what is asked of it.
type scripted struct {
	label string
	log   *[]string
	fails error
}

func (s *scripted) Name() string { return s.label }

func (s *scripted) Rewind(context.Context, int) error {
	*s.log = append(*s.log, s.label)
	return nil
}

func (s *scripted) Step(_ context.Context, n int) error {
	*s.log = append(*s.log, strings.Repeat(".", n))
	return s.fails
}

func (s *scripted) Close() error { return nil }

func TestArmsTakeTurnsInEachRound(t *testing.T) {
	var log []string
	arms := []Arm{&scripted{label: "a", log: &log}, &scripted{label: "b", log: &log}}
	rows, err := Measure(t.Context(), arms, Point{"decode", Setting{2, "f16"}, 7, 1}, Pace{Rounds: 2, WarmUp: 1, Steps: 3, WarmUpSteps: 1})
	if err != nil {
		t.Fatal(err)
	}
	// How many rounds there are depends on what else the machine does.
	const round = "a....b...."
	got := strings.Join(log, "")
	if n := len(got) / len(round); n < 3 || got != strings.Repeat(round, n) {
		t.Errorf("turns %s: want at least three times %s", got, round)
	}
	for i, name := range []string{"a", "b"} {
		r := rows[i]
		if r.Workload != "decode" || r.Arm != name || r.Threads != 2 || r.KVType != "f16" || r.Depth != 7 || r.Tokens != 1 || r.N != 3*r.Rounds || r.N != len(r.Samples) {
			t.Errorf("row %d: %+v; want 3 steps a round of decode by %s at depth 7 with f16 K/V and 2 threads", i, r, name)
		}
	}
}

func TestDisturbedRoundsCountOnlyWhereTooFewAreClean(t *testing.T) {
	quiet := []turn{{steps: []float64{1}}, {steps: []float64{2}, others: 0.1}}
	loud := []turn{{steps: []float64{8}}, {steps: []float64{9}, others: 1.5}}
	for _, tt := range []struct {
		name             string
		clean, disturbed [][]turn
		want             []Row
	}{
		{
			name:  "half are clean",
			clean: [][]turn{quiet}, disturbed: [][]turn{loud, loud, loud},
			want: []Row{
				{Rounds: 1, Samples: []float64{1}},
				{Rounds: 1, Others: 0.1, Samples: []float64{2}},
			},
		},
		{
			name:      "none is clean",
			disturbed: [][]turn{loud, loud},
			want: []Row{
				{Rounds: 2, Disturbed: 2, Samples: []float64{8, 8}},
				{Rounds: 2, Disturbed: 2, Others: 1.5, Samples: []float64{9, 9}},
			},
		},
	} {
		for i := range tt.want {
			tt.want[i].Summary = Summarize(tt.want[i].Samples)
		}
		if diff := cmp.Diff(tt.want, tally(tt.clean, tt.disturbed, 2)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestFailedStepEndsTheRunAndNamesTheArm(t *testing.T) {
	broken, log := errors.New("no memory"), []string{}
	_, err := Measure(t.Context(), []Arm{&scripted{label: "a", log: &log, fails: broken}}, Point{Depth: 7, Tokens: 1}, Pace{Rounds: 1, Steps: 1})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "a at depth 7") {
		t.Errorf("error %v: want one that names arm and depth and wraps %v", err, broken)
	}
}

func TestCancelledRunEndsBeforeATurn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var log []string
	_, err := Measure(ctx, []Arm{&scripted{label: "a", log: &log}}, Point{Tokens: 1}, Pace{Rounds: 1, Steps: 1})
	if !errors.Is(err, context.Canceled) || slices.Contains(log, ".") {
		t.Errorf("error %v after %v: want %v and no step", err, log, context.Canceled)
	}
}
