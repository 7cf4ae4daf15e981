package tier_test

import (
	"fmt"
	"time"

	"github.com/seed4d217819/ebb/tier"
)

// SmolLM2-135M has 3 KV heads of 64 values: 768 bytes a layer and token in f16.
func ExampleLayout() {
	l := tier.Layout{Heads: 3, KeyBytes: 64 * 2, ValueBytes: 64 * 2}
	fmt.Println(l.RowBytes())
	// Output: 768
}

// A link of 10 MB/s needs 2 ms for 20 kB, however fast the copy is.
func ExampleLink() {
	l := tier.Link{Rate: 10e6}
	began := time.Now()
	_, done, err := l.Transfer(began, 20_000, func() error { return nil })
	fmt.Println(err, done.Sub(began))
	// Output: <nil> 2ms
}
