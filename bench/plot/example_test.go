package plot_test

import (
	"log"
	"os"

	"github.com/seed4d217819/ebb/bench/plot"
	"github.com/seed4d217819/ebb/internal/measure"
)

func ExampleWriteText() {
	c := measure.Curve{
		Title: "Decode", X: "tokens in the cache", Y: "tokens/s",
		Series: []measure.Series{
			{Name: "ebb", Points: []measure.XY{{X: 0, Y: 70}, {X: 4000, Y: 0}}},
			{Name: "reading", Bound: true, Points: []measure.XY{{X: 0, Y: 140}, {X: 4000, Y: 140}}},
		},
	}
	if err := plot.WriteText(os.Stdout, c); err != nil {
		log.Fatal(err)
	}
	// Output:
	// Decode: tokens/s over tokens in the cache
	//
	//  140 ┼bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
	//  130 ┤
	//  120 ┤
	//  110 ┤
	//  100 ┤
	//   90 ┤
	//   80 ┤
	//   70 ┼aaaaa
	//   60 ┤    aaaaaaaaaa
	//   50 ┤             aaaaaaaaaa
	//   40 ┤                      aaaaaaaaaa
	//   30 ┤                               aaaaaaaaaa
	//   20 ┤                                        aaaaaaaaaa
	//   10 ┤                                                 aaaaaaaaaa
	//    0 ┤                                                          aaaaa
	//      └┬───────────────┬───────────────┬──────────────┬───────────────┬
	//       0             1000            2000           3000            4000
	//
	//   a  ebb
	//   b  reading
}
