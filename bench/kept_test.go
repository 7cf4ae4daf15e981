package bench

import (
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/internal/measure/measuretest"
)

func TestKeptMeasuresTheFirstTokenOfAConversation(t *testing.T) {
	o := small(t, "kept")
	o.Context = 600
	r := run(t, o)
	figures := measuretest.Figures(t, r, "kept")
	if len(figures) != 11 {
		t.Errorf("%d figures, want 11", len(figures))
	}
	// The last token of an answer is computed in the next turn: after the restart it was.
	for name, want := range map[string]float64{
		"the first turn, computed": 300, "the same prompt again, computed": 1,
		"the next turn, computed": 1 + keptTurn, "the next turn after a restart, computed": keptTurn,
	} {
		found := false
		for key, f := range figures {
			if strings.Contains(key, name) {
				found = true
				if f.Value != want {
					t.Errorf("%s: %v tokens, want %v", name, f.Value, want)
				}
			}
		}
		if !found {
			t.Errorf("there is no figure of %s", name)
		}
	}
	for _, s := range r.Scores {
		if !(s.Value > 0) || s.Target != 1 {
			t.Errorf("%+v: want a ratio with a target of 1", s)
		}
	}
	if len(r.Scores) != 2 {
		t.Errorf("%d scores, want 2", len(r.Scores))
	}
}
