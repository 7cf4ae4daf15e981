package measure

import (
	"math"
	"slices"
)

// Summary describes measured times, in seconds. A disturbance makes a measurement longer, so the
// low quantiles say most about the program.
type Summary struct {
	N      int     `json:"n"`
	Min    float64 `json:"min_seconds"`
	P25    float64 `json:"p25_seconds"`
	Median float64 `json:"median_seconds"`
}

// Summarize returns the summary of some times. The summary of no times is zero.
func Summarize(seconds []float64) Summary {
	if len(seconds) == 0 {
		return Summary{}
	}
	sorted := slices.Sorted(slices.Values(seconds))
	return Summary{N: len(sorted), Min: sorted[0], P25: quantile(sorted, 0.25), Median: quantile(sorted, 0.5)}
}

// quantile interpolates between the two nearest of the sorted values.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	if low+1 == len(sorted) {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}
