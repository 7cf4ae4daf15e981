package measure_test

import (
	"fmt"

	"github.com/seed4d217819/ebb/internal/measure"
)

func ExampleSummarize() {
	s := measure.Summarize([]float64{0.012, 0.008, 0.010, 0.009, 0.031})
	fmt.Printf("min %.0f ms, p25 %.0f ms, median %.0f ms of %d\n", s.Min*1e3, s.P25*1e3, s.Median*1e3, s.N)
	// Output: min 8 ms, p25 9 ms, median 10 ms of 5
}
