package plan

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// alike are the times of layers that are alike: each computes for a second.
func alike(layers int, fetch, after float64) Times {
	return Times{Layers: slices.Repeat([]LayerTimes{{Project: 0.25, Attend: 0.5, Forward: 0.25, Fetch: fetch}}, layers), After: after, Paced: true}
}

// pipeline returns the pipeline of a cache on one device.
func (c Cache) pipeline(t rapid.TB, times Times) Pipeline {
	t.Helper()
	p, err := placeOne(c)
	if err != nil {
		t.Fatal(err)
	}
	return times.Pipeline(p, c.Trees)
}

// walkBound returns what no choice of slots and resident layers can pass with the memory of some
// layers: what is computed, what the link brings, and that it rests at the end of a step. Then, with
// all slots full, logits are computed and a layer before and one behind them, and of the layers that
// stream only as many are fetched as there is memory for.
func walkBound(layers, memory int, fetch, after float64) float64 {
	return max(float64(layers)+after, float64(layers-memory)*fetch+after+2)
}

// With a link that takes as long as computing, slots and resident layers for the same bytes come
// close to what the order of a step allows at all.
func TestTheBestSlotsHideALinkThatTakesAsLongAsComputing(t *testing.T) {
	const layers = 30
	for _, after := range []float64{0.2, 0.5, 1, 2, 3.3} {
		for memory := 2; memory <= 20; memory++ {
			c := uniform(true, layers, 256)
			c.Memory = []int64{int64(memory) * 256 * rowBytes}
			fetch := (layers + after) / float64(layers-(memory-DefaultSlots)) // of all layers that stream with two slots
			times := alike(layers, fetch, after)
			two := c.pipeline(t, times)
			c.Slots = c.BestSlots(times)
			best := c.pipeline(t, times)
			if best.Seconds() > two.Seconds() {
				t.Errorf("%d layers' memory, logits as %g layers: %d slots take %.2f s, and two %.2f", memory, after, c.Slots, best.Seconds(), two.Seconds())
			}
			if most := 1.085 * walkBound(layers, memory, fetch, after); best.Seconds() > most {
				t.Errorf("%d layers' memory, logits as %g layers: %.2f s with %d slots, %.2f with two; want at most %.2f",
					memory, after, best.Seconds(), c.Slots, two.Seconds(), most)
			}
		}
	}
}

func TestBestSlotsAreTheFastestThatFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		layers := rapid.IntRange(1, 24).Draw(t, "layers")
		c := uniform(true, layers, 256)
		c.Trees = rapid.IntRange(1, 3).Draw(t, "trees")
		c.Memory = []int64{rapid.Int64Range(1, int64(layers+2)).Draw(t, "memory") * 256 * rowBytes}
		times := alike(layers, rapid.Float64Range(0, 4).Draw(t, "fetch"), rapid.Float64Range(0, 4).Draw(t, "after"))
		times.Paced = rapid.Bool().Draw(t, "paced")
		best := c.BestSlots(times)
		if best < DefaultSlots || best > mostSlots {
			t.Fatalf("%d slots", best)
		}
		chosen := c
		chosen.Slots = best
		if _, err := placeOne(chosen); err != nil {
			c.Slots = DefaultSlots
			if _, err := placeOne(c); err == nil || best != DefaultSlots {
				t.Fatalf("%d slots do not fit: %v", best, err)
			}
			return
		}
		seconds := chosen.pipeline(t, times).Seconds()
		for slots := DefaultSlots; slots <= mostSlots; slots++ {
			other := c
			other.Slots = slots
			if _, err := placeOne(other); err != nil {
				continue
			}
			if s := other.pipeline(t, times).Seconds(); s < seconds*(1-2*gain) {
				t.Fatalf("%d slots take %g s, and %d take %g", best, seconds, slots, s)
			}
		}
	})
}

func TestBestSlotsAreLeftWhereNothingIsToBeChosen(t *testing.T) {
	times := alike(4, 1, 1)
	bounded := uniform(true, 4, 256)
	bounded.Memory = []int64{3 * 256 * rowBytes}
	stated, resident, open, other := bounded, bounded, uniform(true, 4, 256), bounded
	stated.Slots, resident.Streams = 3, false
	for _, test := range []struct {
		c     Cache
		times Times
		want  int
	}{{stated, times, 3}, {resident, times, DefaultSlots}, {open, times, DefaultSlots}, {other, alike(3, 1, 1), DefaultSlots}} {
		if got := test.c.BestSlots(test.times); got != test.want {
			t.Errorf("%+v: %d slots, want %d", test.c, got, test.want)
		}
	}
}

func TestAPipelineTakesTheLongerOfComputingAndCopies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Pipeline{Slots: rapid.IntRange(1, 5).Draw(t, "slots"), After: rapid.Float64Range(0, 3).Draw(t, "after"), Paced: rapid.Bool().Draw(t, "paced")}
		serial := p.After
		for range rapid.IntRange(1, 20).Draw(t, "stages") {
			s := Stage{Compute: rapid.Float64Range(0.1, 2).Draw(t, "compute"), Visits: rapid.Bool().Draw(t, "visits")}
			if s.Visits {
				s.Fetch = rapid.Float64Range(0, 3).Draw(t, "fetch")
			}
			serial += s.Compute + s.Fetch
			p.Stages = append(p.Stages, s)
		}
		if got := p.Seconds(); got < p.Bound()*(1-1e-9) || got > serial*(1+1e-9) {
			t.Fatalf("%g s a step: want %g, the longer of computing and copies, to %g, their sum", got, p.Bound(), serial)
		}
	})
}

// A layer of two trees visits twice, and computes no longer than if it stayed.
func TestTheStagesOfALayerAddUp(t *testing.T) {
	times := Times{Layers: []LayerTimes{{1, 2, 4, 8, 16, 0.5}, {1, 2, 4, 8, 16, 0.5}}, Before: 32, After: 64}
	p := times.Pipeline(Placement{Layers: []int{0, 1}, Resident: []bool{false, true}, Slots: 1}, 2)
	want := []Stage{{Compute: 3.5, Visits: true, Fetch: 8, Store: 16}, {Compute: 6.5, Visits: true, Fetch: 8, Store: 16}, {Compute: 9}}
	if !slices.Equal(p.Stages, want) || p.Before != 32 || p.After != 64 || p.Slots != 1 {
		t.Errorf("%+v, want the stages %+v", p, want)
	}
	if got, want := p.Bound(), 32.0+64+19; math.Abs(got-want) > 1e-9 {
		t.Errorf("bound %g, want %g", got, want)
	}
}
