package measure

import "testing"

func TestStreamedStepIsComparedWithTheLongerOfComputeAndTransfer(t *testing.T) {
	row := Row{Summary: Summary{P25: 10}}
	for _, tt := range []struct{ compute, transfer, want float64 }{{8, 5, 0.8}, {5, 9, 0.9}} {
		if got := againstBound(row, tt.compute, tt.transfer).Value; got != tt.want {
			t.Errorf("compute %v, transfer %v: %v, want %v", tt.compute, tt.transfer, got, tt.want)
		}
	}
}
