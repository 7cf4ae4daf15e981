package plan

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestLinkAndHostAddUp(t *testing.T) {
	for _, tt := range []struct {
		name  string
		n     int
		sweep Sweep
		want  int
	}{
		{"the link is hidden by what the device computes", 30, Sweep{Compute: 10, Fetch: 9, Attend: 3}, 0},
		{"host and link are alike", 30, Sweep{Fetch: 10, Attend: 10}, 15},
		{"the host is twice the link", 30, Sweep{Fetch: 10, Attend: 5}, 20},
		{"the device computes meanwhile", 30, Sweep{Compute: 5, Fetch: 10, Attend: 10}, 7},
		{"the host is slow", 30, Sweep{Fetch: 1, Attend: 100}, 0},
		{"the link is down to nothing", 30, Sweep{Compute: 1, Fetch: 1e6, Attend: 1}, 30},
		{"no layer is streamed", 0, Sweep{Fetch: 10, Attend: 5}, 0},
	} {
		if got := HostLayers(tt.n, tt.sweep); got != tt.want {
			t.Errorf("%s: %d layers, want %d", tt.name, got, tt.want)
		}
	}
}

func TestNoOtherMixIsFaster(t *testing.T) {
	seconds := rapid.Float64Range(0, 1e3)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 100).Draw(t, "layers")
		s := Sweep{seconds.Draw(t, "compute"), seconds.Draw(t, "fetch"), seconds.Draw(t, "attend")}
		got := s.Seconds(float64(HostLayers(n, s)) / float64(n))
		for m := range n + 1 {
			if other := s.Seconds(float64(m) / float64(n)); other < got {
				t.Fatalf("%d layers take %v, the planned ones %v", m, other, got)
			}
		}
	})
}

func TestTheHostAttendsFromWhereTheLinkIsNoLongerHidden(t *testing.T) {
	if got := HostDepth(2, 0.001); math.Abs(float64(got-2000)) > 1 {
		t.Errorf("from %d tokens, want 2000", got)
	}
	if got := HostDepth(2, 0); got != 0 {
		t.Errorf("without a link: from %d tokens", got)
	}
}
