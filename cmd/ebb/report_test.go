package main

import (
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

func TestReportSaysForHowLongFewerThreadsComputed(t *testing.T) {
	s := ebb.ThreadStats{Most: 16, Least: 13, Lowered: 2, Time: 10 * time.Second, Fewer: 8 * time.Second}
	if got, want := describeThreads(s), "down to 13 of 16 for 80% of the time: other programs use the cores"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReportSaysWhichLayersKeepWhat(t *testing.T) {
	for _, test := range []struct {
		s    kv.Stats
		want string
	}{
		{kv.Stats{ResidentLayers: 5}, "all 5 layers stay on the device"},
		{kv.Stats{ResidentLayers: 18, WindowedLayers: 15}, "all 18 layers stay on the device; 15 keep only a window there"},
		{kv.Stats{ResidentLayers: 15, StreamedLayers: 3, WindowedLayers: 15}, "15 of 18 layers stay on the device, 3 live off it and visit it; 15 keep only a window there"},
		{
			kv.Stats{ResidentLayers: 34, StreamedLayers: 1, WindowedLayers: 12, SharedLayers: 20, Demotions: 1},
			"34 of 35 layers stay on the device, 1 live off it and visit it; 12 keep only a window there; 20 share the K/V of others; 1 layer left it meanwhile",
		},
	} {
		if got := describeLayers(test.s); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}
