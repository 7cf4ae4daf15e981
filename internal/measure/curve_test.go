package measure

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCurveHasTheSpeedsOfEachArmInOrder(t *testing.T) {
	row := func(arm string, tokens int, p25 float64) Row {
		return Row{Arm: arm, Tokens: tokens, Summary: Summary{P25: p25}}
	}
	var c Curve
	c.addSpeeds([]Row{row("a", 1, 0.5), row("read", 1, 0.1)}, 512, 1)
	c.addSpeeds([]Row{row("a", 1, 0.25), row("read", 1, 0.05)}, 0, 1)
	c.addSpeeds([]Row{row("b", 20, 0.5)}, 512, 1)
	want := []Series{
		{Name: "a", Points: []XY{{0, 4}, {512, 2}}},
		{Name: "read", Bound: true, Points: []XY{{0, 20}, {512, 10}}},
		{Name: "b", Points: []XY{{512, 40}}},
	}
	if diff := cmp.Diff(c.Series, want); diff != "" {
		t.Errorf("series (-got +want):\n%s", diff)
	}
}
