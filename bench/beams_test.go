package bench

import "testing"

func TestTokensOfBeamsCountNotTheirSteps(t *testing.T) {
	greedy := Row{Arm: "greedy", Tokens: 1, Summary: Summary{P25: 1}}
	beams := Row{Arm: "beams", Tokens: 4, Summary: Summary{P25: 1.25}}
	got := tokenScore(beams, greedy, targetBeams)
	if got.Value != 3.2 || got.Reached() || got.Name != "beams / greedy, tokens/s" {
		t.Errorf("score %+v: want 4 tokens in 1.25 of the time, which is too few", got)
	}
}
