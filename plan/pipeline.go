package plan

// Pipeline is a decode step as the order of its computations and copies. It is the order that a
// cache keeps (kv/walk.go): a layer that streams is computed when its rows have come to a slot; the
// slot takes the rows of a later layer when the new rows are stored; one copy is made at a time to
// the device, and one off it. (A CPU makes two at a time to its slots, which share the rate.) The rows
// that the next step wants first are fetched when the last layers of this one have left their slots.
type Pipeline struct {
	Stages []Stage // in the order in which they are computed
	Slots  int     // visits that the device has room for at a time
	Before float64 // seconds from one step's end to the next one's first stage: a token is chosen and looked up
	After  float64 // seconds from the last stage to the step's end: logits are computed
	Paced  bool    // rows come over a stated link, which blocks no copy; otherwise a step takes no rows before all that were fetched ahead are there
}

// Stage is what a device computes at a time: a layer that stays, or one visit of a layer that
// streams. A layer of several trees has a visit for each.
type Stage struct {
	Compute float64 // seconds
	Visits  bool    // the rows must be in a slot
	Fetch   float64 // seconds that rows take to the slot
	Store   float64 // seconds that new rows take off it
}

// settled is after how many steps a pipeline repeats itself, with a wide margin, and over how many
// steps its time is averaged.
const settled = 8

// Seconds returns how long a step takes when many follow each other. No arithmetic bounds it from
// below but the longer of what is computed and what is fetched: [Pipeline.Bound].
func (p Pipeline) Seconds() float64 {
	ends := p.Run(2 * settled)
	return (ends[2*settled-1] - ends[settled-1]) / settled
}

// Bound returns the longer of the times in which a step is computed and in which its rows are
// fetched.
func (p Pipeline) Bound() float64 {
	compute, fetch := p.Before+p.After, 0.0
	for _, s := range p.Stages {
		compute += s.Compute
	}
	visits := p.visits()
	for i, s := range visits {
		if p.fetched(i, len(visits)) {
			fetch += s.Fetch
		}
	}
	return max(compute, fetch)
}

// visits returns the stages that visit a slot, in order.
func (p Pipeline) visits() (visits []Stage) {
	for _, s := range p.Stages {
		if s.Visits {
			visits = append(visits, s)
		}
	}
	return visits
}

// fetched reports whether one of so many visits is fetched in every step. What visits a slot alone
// stays there.
func (p Pipeline) fetched(visit, visits int) bool {
	slots := max(1, p.Slots)
	return visit >= slots || visit+slots < visits
}

// Run returns when each of some steps ends, in seconds since the first began with empty slots.
func (p Pipeline) Run(steps int) []float64 {
	visits := p.visits()
	slots := max(1, min(p.Slots, len(visits)))
	var now, in, out float64        // when the device and the two directions of copies are free
	ready := make([]float64, slots) // when a slot has the rows of its next visit
	for i := range min(slots, len(visits)) {
		in += visits[i].Fetch
		ready[i] = in
	}
	ends := make([]float64, steps)
	for step := range ends {
		now += p.Before
		visit := 0
		for _, s := range p.Stages {
			if !s.Visits {
				now += s.Compute
				continue
			}
			slot := visit % slots
			now = max(now, ready[slot]) + s.Compute
			out = max(out, now) + s.Store
			switch next := visit + slots; {
			case next < len(visits):
				in = max(in, out) + visits[next].Fetch
			case visit != slot: // the next step's first visit of the slot; an only visit's rows are still there
				in = max(in, out) + visits[slot].Fetch
			}
			ready[slot] = max(in, out)
			visit++
		}
		now = max(now+p.After, out)
		ends[step] = now
		if !p.Paced && len(visits) > 0 {
			for slot := range ready {
				ready[slot] = max(ready[slot], in)
			}
		}
	}
	return ends
}
