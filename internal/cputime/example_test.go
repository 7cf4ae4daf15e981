package cputime_test

import (
	"fmt"

	"github.com/seed4d217819/ebb/internal/cputime"
)

func Example() {
	before, ok := cputime.Process()
	sum := 0
	for i := range 1_000_000 {
		sum += i
	}
	after, _ := cputime.Process()
	fmt.Println(sum, after.CPU >= before.CPU || !ok)
	// Output: 499999500000 true
}
