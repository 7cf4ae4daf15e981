package bench

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/trace"
)

func TestTimelineKeepsWhatLiesInTheStep(t *testing.T) {
	began := time.Now()
	span := func(track trace.Track, name string, layer, from, to int) trace.Span {
		at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
		return trace.Span{Device: "cpu", Track: track, Name: name, Layer: layer, Bytes: 10, Start: at(from), End: at(to)}
	}
	var got traced
	got.cut([]trace.Span{
		span(trace.Fetch, "fetch ahead", 0, 80, 104),
		span(trace.Compute, "layer", 0, 104, 108),
		span(trace.Compute, "wait", 1, 108, 110),
		span(trace.Fetch, "fetch", 1, 105, 110),
		span(trace.Compute, "layer", 1, 110, 115),
		span(trace.Store, "store", 1, 115, 117),
		span(trace.Fetch, "fetch ahead", 0, 118, 130),
		span(trace.Compute, "layer", 9, 60, 100), // before it
		span(trace.Store, "store", 9, 120, 121),  // after it
	}, span(trace.Step, "step", -1, 100, 120))
	spanOf := func(track, name string, layer int, start, end float64) measure.TimelineSpan {
		return measure.TimelineSpan{Track: track, Name: name, Layer: layer, Start: start, End: end}
	}
	want := []measure.TimelineSpan{
		spanOf("cpu compute", "layer", 0, 4, 8),
		spanOf("cpu compute", "wait", 1, 8, 10),
		spanOf("cpu compute", "layer", 1, 10, 15),
		spanOf("cpu fetch", "fetch ahead", 0, -20, 4),
		spanOf("cpu fetch", "fetch", 1, 5, 10),
		spanOf("cpu fetch", "fetch ahead", 0, 18, 30),
		spanOf("cpu store", "store", 1, 15, 17),
	}
	if diff := cmp.Diff(got.Spans, want); diff != "" {
		t.Errorf("spans (-got +want):\n%s", diff)
	}
	busy := map[trace.Track]float64{trace.Compute: 9, trace.Fetch: 4 + 5 + 2, trace.Store: 2}
	if diff := cmp.Diff(got.busy, busy); diff != "" {
		t.Errorf("busy seconds, without waits and what lies outside (-got +want):\n%s", diff)
	}
	if got.seconds != 20 || got.bytes != 30 {
		t.Errorf("%v seconds, %d bytes: want 20 and 30", got.seconds, got.bytes)
	}
}
