package kv

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed4d217819/ebb/trace"
)

// The copies of two lanes overlap, but viewers want the spans of a track one after the other.
func TestFetchesOfTwoLanesAreTracedOneAfterTheOther(t *testing.T) {
	var mu sync.Mutex
	var fetches []trace.Span
	o := raceOptions(Offloaded)
	o.Trace = func(s trace.Span) {
		mu.Lock()
		defer mu.Unlock()
		if s.Track == trace.Fetch {
			fetches = append(fetches, s)
		}
	}
	r := newRig(t, onCPU(t), o)
	r.pool.hooks.beforeCopy = func() { time.Sleep(time.Millisecond) }
	turn := turns(r)
	for range 4 {
		turn()
	}
	r.close() // what is fetched ahead has ended then
	if len(r.pool.devices[0].in) != maxLanes {
		t.Errorf("%d lanes: want %d where slots are memory of the host", len(r.pool.devices[0].in), maxLanes)
	}
	slices.SortFunc(fetches, func(a, b trace.Span) int { return a.Start.Compare(b.Start) })
	if len(fetches) < 4 {
		t.Fatalf("%d fetches: want one for each layer at least", len(fetches))
	}
	for i, s := range fetches[1:] {
		if before := fetches[i]; s.Start.Before(before.End) || s.End.Before(s.Start) {
			t.Errorf("the fetch of layer %d is from %v to %v, that of layer %d before it to %v", s.Layer, s.Start, s.End, before.Layer, before.End)
		}
	}
}
