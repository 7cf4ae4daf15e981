package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/internal/measure/measuretest"
	"github.com/seed4d217819/ebb/service/servicetest"
)

func TestHTTPComparesAnAnswerOnItsWayWithAStream(t *testing.T) {
	o := small(t, "http")
	o.Model = servicetest.WriteModel(t)
	r := run(t, o)
	const stream = "a stream, as ebb run"
	arms := []string{
		stream, "a batch of one", "the service", "HTTP, the whole answer",
		"HTTP, events that are read at the end", "HTTP, events that are read as they come",
	}
	if diff := cmp.Diff(measuretest.Arms(r, "http", 0, 1), arms); diff != "" {
		t.Errorf("arms (-got +want):\n%s", diff)
	}
	want := map[string]float64{}
	for i, arm := range arms[1:] {
		want[arm+" / "+stream] = 0
		if i >= 1 {
			want["steps / time from step to step, "+arm] = targetSteps
		}
		if i >= 2 {
			want[arm+" / "+stream] = targetHTTP
		}
	}
	if diff := cmp.Diff(measuretest.Targets(r), want); diff != "" {
		t.Errorf("targets (-got +want):\n%s", diff)
	}
	for _, s := range r.Scores {
		if !(s.Value > 0) || strings.HasPrefix(s.Name, "steps") && s.Value > 1 {
			t.Errorf("%+v: want a ratio", s)
		}
	}
}
