package plot

import (
	"bytes"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed4d217819/ebb/internal/measure"
)

func TestLineIsStraightBetweenItsPointsAndEndsAtThem(t *testing.T) {
	none := math.NaN()
	for _, tt := range []struct {
		name   string
		points []measure.XY
		want   []float64 // at 0, 1, 2, 3 and 4
	}{
		{"all the way", []measure.XY{{X: 0, Y: 0}, {X: 4, Y: 8}}, []float64{0, 2, 4, 6, 8}},
		{"with a corner", []measure.XY{{X: 0, Y: 1}, {X: 2, Y: 5}, {X: 4, Y: 1}}, []float64{1, 3, 5, 3, 1}},
		{"in the middle", []measure.XY{{X: 1, Y: 7}, {X: 3, Y: 9}}, []float64{none, 7, 8, 9, none}},
		{"one point", []measure.XY{{X: 2, Y: 3}}, []float64{none, none, 3, none, none}},
		{"none", nil, []float64{none, none, none, none, none}},
	} {
		if diff := cmp.Diff(resample(tt.points, 0, 4, 5), tt.want, cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("%s (-got +want):\n%s", tt.name, diff)
		}
	}
}

func TestCurveOfOnePlaceIsNotDrawn(t *testing.T) {
	for _, points := range [][]measure.XY{nil, {{X: 5, Y: 1}}} {
		var out bytes.Buffer
		if err := WriteText(&out, measure.Curve{Title: "t", Series: []measure.Series{{Name: "s", Points: points}}}); err != nil || out.Len() > 0 {
			t.Errorf("%v: error %v, drawn %q; want nothing", points, err, &out)
		}
	}
}
