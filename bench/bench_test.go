package bench

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpeedIsComparedWithTheFasterPeer(t *testing.T) {
	ours := []Row{{Workload: "decode", Depth: 8, Arm: "a", Summary: Summary{P25: 4}}, {Workload: "decode", Depth: 8, Arm: "b", Summary: Summary{P25: 2}}}
	peers := []Row{{Arm: "slow", Summary: Summary{P25: 9}}, {Arm: "fast", Summary: Summary{P25: 3}}}
	want := []Score{
		{Workload: "decode", Depth: 8, Name: "a / fast", Value: 0.75, Target: targetPeer, Of: "speeds at p25"},
		{Workload: "decode", Depth: 8, Name: "b / fast", Value: 1.5, Target: targetPeer, Of: "speeds at p25"},
	}
	if diff := cmp.Diff(want, againstPeer(ours, peers)); diff != "" {
		t.Errorf("scores (-want +got):\n%s", diff)
	}
	if got := againstPeer(ours, nil); got != nil {
		t.Errorf("scores %v without a peer", got)
	}
}

func TestStreamedStepIsComparedWithTheLongerOfComputeAndTransfer(t *testing.T) {
	row := Row{Summary: Summary{P25: 10}}
	for _, tt := range []struct{ compute, transfer, want float64 }{{8, 5, 0.8}, {5, 9, 0.9}} {
		if got := againstBound(row, tt.compute, tt.transfer).Value; got != tt.want {
			t.Errorf("compute %v, transfer %v: %v, want %v", tt.compute, tt.transfer, got, tt.want)
		}
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	err := Options{
		Workloads: []string{"decode", "sleep"}, Threads: -1, Depths: []int{0, -2}, Ratios: []float64{1, 0, math.NaN()},
		Pace: Pace{Steps: -3},
	}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"no model", `"sleep": want some of decode, link`, "threads -1", "depth -2", "ratio 0", "ratio NaN", "steps -3"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in: %v", part, err)
		}
	}
	if err := (Options{Model: "m"}).Validate(); err != nil {
		t.Errorf("the zero value with a model: %v", err)
	}
}
