package plan

import "slices"

// Times are how long the parts of a decode step take, in seconds.
type Times struct {
	Layers []LayerTimes // of the model, in order
	Before float64      // from one step's end to its first layer: a token is chosen and looked up
	After  float64      // from the last layer to the step's end: logits are computed
	Paced  bool         // rows come over a stated link: see [Pipeline]
}

// LayerTimes are the times of one layer.
type LayerTimes struct {
	Project float64 // all before attention, for all sequence trees together
	Attend  float64 // attention of one tree
	Forward float64 // all after attention, for all trees together
	Fetch   float64 // rows of one tree come to a slot, if the layer streams
	Store   float64 // new rows of one tree leave it
	Disturb float64 // by how much computing gets longer because of these copies
}

// Pipeline returns the steps of the device with a placement, for a number of sequence trees. What
// other devices compute is in it as layers that stay.
func (t Times) Pipeline(p Placement, trees int) Pipeline {
	trees = max(1, trees)
	line := Pipeline{Stages: make([]Stage, 0, len(t.Layers)), Slots: p.Slots, Before: t.Before, After: t.After, Paced: t.Paced}
	streamed := make([]bool, len(t.Layers))
	for i, l := range p.Layers {
		streamed[l] = !p.Resident[i]
	}
	for l, layer := range t.Layers {
		if !streamed[l] {
			line.Stages = append(line.Stages, Stage{Compute: layer.Project + float64(trees)*layer.Attend + layer.Forward})
			continue
		}
		for tree := range trees {
			s := Stage{Compute: layer.Attend + layer.Disturb, Visits: true, Fetch: layer.Fetch, Store: layer.Store}
			if tree == 0 {
				s.Compute += layer.Project
			}
			if tree == trees-1 {
				s.Compute += layer.Forward
			}
			line.Stages = append(line.Stages, s)
		}
	}
	return line
}

const (
	// mostSlots is how many slots BestSlots tries. More hide nothing: the end of a step, the only long
	// time in which no slot becomes free, is seldom as long as the fetches of that many layers.
	mostSlots = 8
	// gain is by how much a step must be shorter for one more slot, which costs a resident layer.
	gain = 0.005
)

// BestSlots returns with how many slots a decode step is shortest: the memory that one slot more
// takes is that of a layer that stays. Slots let the link work while no slot becomes free, as at the
// end of a step, and resident layers leave it less to do. One slot is never chosen, because it would
// hide nothing of a prompt. A number that the cache states is returned as it is, and so is the default
// where the memory of a device has no bound. The cache is taken at its full capacity.
func (c Cache) BestSlots(t Times) int {
	bounded := slices.ContainsFunc(c.Memory, func(bytes int64) bool { return bytes > 0 })
	if c.Slots > 0 || !c.Streams || !bounded || len(t.Layers) != len(c.Layers) {
		return max(c.Slots, DefaultSlots)
	}
	best, shortest := DefaultSlots, 0.0
	for slots := DefaultSlots; slots <= mostSlots; slots++ {
		c.Slots = slots
		placements, err := c.Place()
		if err != nil {
			break // more take more memory
		}
		longest := 0.0
		for _, p := range placements {
			longest = max(longest, t.Pipeline(p, c.Trees).Seconds())
		}
		if shortest == 0 || longest < shortest*(1-gain) {
			best, shortest = slots, longest
		}
	}
	return best
}
