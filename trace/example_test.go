package trace_test

import (
	"os"
	"time"

	"github.com/seed4d217819/ebb/trace"
)

func ExampleWriter() {
	w := trace.NewWriter(os.Stdout, "ebb run")
	if err := w.Close(); err != nil {
		panic(err)
	}
	// Output:
	// [
	// {"ph":"M","name":"process_name","pid":1,"tid":0,"ts":0,"args":{"name":"ebb run"}}
	// ]
}

// A Func is called when a span has ended; here it adds times up.
func ExampleFunc() {
	computed := time.Duration(0)
	var f trace.Func = func(s trace.Span) {
		if s.Track == trace.Compute {
			computed += s.End.Sub(s.Start)
		}
	}
	start := time.Now()
	f(trace.Span{Track: trace.Compute, Name: "layer", Layer: 3, Start: start, End: start.Add(2 * time.Millisecond)})
	f(trace.Span{Track: trace.Fetch, Name: "fetch", Layer: 4, Start: start, End: start.Add(time.Second)})
	os.Stdout.WriteString(computed.String() + "\n")
	// Output: 2ms
}
