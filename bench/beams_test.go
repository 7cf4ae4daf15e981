package bench

import (
	"testing"

	"github.com/seed4d217819/ebb/internal/measure"
)

func TestTokensOfBeamsCountNotTheirSteps(t *testing.T) {
	greedy := measure.Row{Arm: "greedy", Tokens: 1, Summary: measure.Summary{P25: 1}}
	beams := measure.Row{Arm: "beams", Tokens: 4, Summary: measure.Summary{P25: 1.25}}
	got := tokenScore(beams, greedy, targetBeams)
	if got.Value != 3.2 || got.Reached() || got.Name != "beams / greedy, tokens/s" {
		t.Errorf("score %+v: want 4 tokens in 1.25 of the time, which is too few", got)
	}
}
