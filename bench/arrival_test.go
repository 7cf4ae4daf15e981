package bench

import (
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/internal/measure/measuretest"
)

func TestArrivalMeasuresWhatStreamsNoticeOfAPrompt(t *testing.T) {
	o := small(t, "arrival")
	o.Context = 200
	r := run(t, o)
	var all []string
	for name, f := range measuretest.Figures(t, r, "arrival") {
		all = append(all, name)
		if strings.Contains(name, "passes of the prompt") && f.Value < 1 {
			t.Errorf("a prompt of 100 tokens in %v passes: want at least 1", f.Value)
		}
	}
	if len(all) != 8 {
		t.Errorf("figures %q, want 8", all)
	}
	targets := measuretest.Targets(r)
	if len(targets) != 3 || targets["2 target times of a step / longest gap"] != 1 {
		t.Errorf("targets %v, want one of the longest gap among three", targets)
	}
}
