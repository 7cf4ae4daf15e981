package measure

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSummaryInterpolatesBetweenTheNearestTimes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		seconds []float64
		want    Summary
	}{
		{"none", nil, Summary{}},
		{"one", []float64{3}, Summary{N: 1, Min: 3, P25: 3, Median: 3}},
		{"two", []float64{4, 2}, Summary{N: 2, Min: 2, P25: 2.5, Median: 3}},
		{"an odd number, in any order", []float64{5, 1, 4, 2, 3}, Summary{N: 5, Min: 1, P25: 2, Median: 3}},
		{"an outlier", []float64{1, 1, 1, 1, 100}, Summary{N: 5, Min: 1, P25: 1, Median: 1}},
	} {
		if diff := cmp.Diff(tt.want, Summarize(tt.seconds)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestSummaryLeavesTheTimesInOrder(t *testing.T) {
	seconds := []float64{3, 1, 2}
	Summarize(seconds)
	if diff := cmp.Diff([]float64{3, 1, 2}, seconds); diff != "" {
		t.Errorf("sorted the caller's slice (-want +got):\n%s", diff)
	}
}
