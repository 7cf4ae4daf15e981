package plan

// Decode is the time of a step that adds one token to each sequence, by where it is spent.
type Decode struct {
	Depth     int   // tokens of each sequence before the step
	Read      int64 // bytes that the device reads from its memory: weights, and K/V of all layers
	Moved     int64 // bytes of K/V that the link brings to the device
	FromDisk  int64 // bytes of K/V that are read from disk
	Compute   float64
	Experts   float64 // of Compute, the CPU's experts, for which the device waits
	Link      float64
	Disk      float64
	Serial    bool    // nothing overlaps
	Seconds   float64 // of the step, at least
	PerSecond float64 // tokens, of all sequences together, at most
	LimitedBy Limit   // of the bound

	Expected Expected
}

// Expected is how long a step is expected to take, by where the time is spent.
type Expected struct {
	Compute   float64 // seconds that a step computes
	Experts   float64 // of these, the CPU's experts
	Link      float64 // seconds of copies to the device
	Disk      float64 // seconds of reads from disk
	Seconds   float64 // of the step: what of these does not overlap
	PerSecond float64 // tokens, of all sequences together
	LimitedBy Limit
}

// Limit is what a step waits for.
type Limit string

// The limits of a step.
const (
	ByCompute Limit = "compute" // reading weights and K/V on the device
	ByLink    Limit = "link"
	ByDisk    Limit = "disk"
)

// Decode returns the time of a step at some depth of a plan that On made for the machine.
//
// The bound: the device reads the weights once and the K/V of each sequence once, of layers with
// windows those inside, at its memory's rate, and waits while the CPU reads the experts that it computes. A layer's rows in host memory come over the link while those in files are read, so the longer
// of the two counts; both overlap with computing if there is a second slot. A unified machine reads
// from disk straight into a slot.
//
// What is expected follows from the machine's rates of computing, and from the order in which layers
// are fetched and computed: see [Pipeline].
func (r Request) Decode(f Forecast, m Machine, depth int) Decode {
	n, p := int64(r.sequences()), f.Placement
	read := int64(0)
	for l := range r.Layers {
		read = sum(read, r.read(l, depth))
	}
	d := Decode{Depth: depth, Read: sum(r.StepWeights-r.CPUExperts.Read, product(read, n)), Experts: r.expertSeconds(m)}
	for _, l := range r.fetched(f) {
		link, disk := r.moved(f, m, l, depth)
		d.Moved, d.FromDisk = sum(d.Moved, link), sum(d.FromDisk, disk)
	}
	for l := range r.Layers {
		d.Moved = sum(d.Moved, r.movedStates(f, l))
	}
	d.Compute = float64(d.Read)/m.DeviceRate + d.Experts
	d.Link = float64(d.Moved) / m.LinkRate
	d.Disk = float64(d.FromDisk) / m.DiskRate
	d.Serial = d.Moved+d.FromDisk > 0 && p.Slots < 2
	hidden := 0.0
	if d.Serial { // while layers that stay are computed, and logits, the slot takes the next rows
		hidden = min(d.Compute-float64(r.readStreamed(p, depth))/m.DeviceRate, max(d.Link, d.Disk))
	}
	d.conclude(int(n), hidden)
	d.Expected = r.expect(f, m, depth)
	return d
}

// conclude sets how long the step takes at least, and why. With one slot all adds up, but for what is
// hidden.
func (d *Decode) conclude(sequences int, hidden float64) {
	transfers := max(d.Link, d.Disk) // a layer's rows in host memory are copied while those in files are read
	d.Seconds = max(d.Compute, transfers)
	if d.Serial {
		d.Seconds = max(d.Seconds, d.Compute+(transfers-hidden))
	}
	d.LimitedBy = longest(d.Compute, d.Link, d.Disk)
	if d.Seconds > 0 {
		d.PerSecond = float64(sequences) / d.Seconds
	}
}

// longest returns what limits a step.
func longest(compute, link, disk float64) Limit {
	switch {
	case compute >= link && compute >= disk:
		return ByCompute
	case link >= disk:
		return ByLink
	default:
		return ByDisk
	}
}
