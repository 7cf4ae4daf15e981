package plan

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/internal/bytesize"
)

// Request is what is to be planned: a model, how much of it is in use, and what it may take.
type Request struct {
	Model       Model
	Layers      []Layer // K/V of the model's layers; one device computes them all
	StepWeights int64   // bytes of the weights that a step of one token reads
	HeadWeights int64   // bytes of them that compute logits, after the layers
	CPUExperts  Experts // of the weights, those that are not on the device
	Context     int     // tokens that a sequence may hold
	Sequences   int     // sequences that are decoded together; 0: 1
	Beams       int     // that search for each sequence's text, and share its K/V; 0: 1
	Slots       int     // 0: those with which a step is shortest
	WindowRows  int     // rows that are kept behind each window, at least; 0: all, below 0: none

	// Footprint returns what the device takes besides K/V with a context of some cells. nil: what
	// [Model.Footprint] estimates.
	Footprint func(cells int) (Footprint, error)

	DeviceMemory int64 // bytes that weights, steps and K/V may take on the device
	HostMemory   int64 // bytes that K/V off the device may take in host memory
	DiskMemory   int64 // bytes that K/V may take on disk; 0: no disk
}

// Forecast is a plan: what lies where, and how fast decoding is, as expected and at best.
type Forecast struct {
	Context, Sequences int
	Footprint          Footprint
	Placement          Placement // of K/V on the device
	HostMemory         int64     // bytes that K/V off the device may take in host memory
	HostCells          int       // the first tokens of each sequence, whose K/V off the device lie in host memory; the others' lie on disk
	Host, Disk         int64     // bytes of K/V there, for all sequences
	PastCells          int       // tokens of each sequence whose rows are kept in layers with windows: those inside, and behind
	HostPast, DiskPast int64     // of these, bytes behind the windows of layers, which steps read only after a truncation
	Full, Half         Decode    // steps at the end of the context and in its middle
	Growth             Growth

	cache Cache // of which Placement is
}

// Device returns the bytes that weights, steps and K/V take on the device.
func (f Forecast) Device() int64 { return sum(f.Footprint.Total(), f.Placement.DeviceBytes) }

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

// TierError says that K/V off the device have no place.
type TierError struct {
	Host, Disk int64 // bytes that they may take
	Need       int64 // bytes that they take
	Past       int64 // of these, bytes of layers with windows
	MostCells  int   // the largest context that works; 0: none
	WindowRows int   // the most rows behind windows that work; below 0: none, or there are no windows
}

func (e *TierError) Error() string {
	text := fmt.Sprintf("%s of host memory and %s of disk are too little for %s of K/V off the device",
		bytesize.Floor(e.Host), bytesize.Floor(e.Disk), bytesize.Ceil(e.Need))
	if e.Past > 0 {
		text += fmt.Sprintf(", %s of which are behind the windows of layers", bytesize.Format(e.Past))
	}
	if e.MostCells > 0 {
		text += fmt.Sprintf(": a context of at most %d works", e.MostCells)
	}
	return text
}

// On returns the plan for a machine: as many layers are resident as the device's memory allows, the
// others stream from host memory, and from disk where host memory has no room. On a unified machine
// layers only stream if there is a disk, as host memory has no more room than the device. If nothing
// works, the error is a [*BudgetError] or a [*TierError] with the least that would.
func (r Request) On(m Machine) (Forecast, error) {
	if err := errors.Join(m.Validate(), r.validate()); err != nil {
		return Forecast{}, err
	}
	r.Footprint = r.remembered()
	f, err := r.place(m)
	if short, ok := errors.AsType[*TierError](err); ok {
		short.MostCells = r.mostCells(m)
	}
	if short, ok := errors.AsType[*BudgetError](err); ok {
		short.MostCells = r.mostCells(m)
	}
	if err != nil {
		return Forecast{}, err
	}
	f.Full, f.Half = r.Decode(f, m, r.Context), r.Decode(f, m, r.Context/2)
	f.Growth = r.growth(m)
	return f, nil
}

// validate reports every number that makes no sense.
func (r Request) validate() error {
	var errs []error
	for _, n := range []struct {
		what  string
		value int64
		least int64
	}{
		{"layers", int64(len(r.Layers)), 1},
		{"tokens of context", int64(r.Context), 1},
		{"sequences", int64(r.Sequences), 0},
		{"beams", int64(r.Beams), 0},
		{"slots", int64(r.Slots), 0},
		{"bytes of weights", r.Model.Weights, 0},
		{"bytes of weights that a step reads", r.StepWeights, 0},
		{"bytes of device memory", r.DeviceMemory, 1},
		{"bytes of host memory", r.HostMemory, 0},
		{"bytes of disk", r.DiskMemory, 0},
	} {
		if n.value < n.least {
			errs = append(errs, fmt.Errorf("plan: %d %s: want at least %d", n.value, n.what, n.least))
		}
	}
	for i, l := range r.Layers {
		if l.Shares {
			if l.Of < 0 || l.Of >= i || r.Layers[l.Of].Shares || l.RowBytes != 0 {
				errs = append(errs, fmt.Errorf("plan: layer %d keeps %d bytes a token and shares the K/V of layer %d: want 0 bytes, and an earlier layer that keeps its own", i, l.RowBytes, l.Of))
			}
		} else if l.RowBytes < 1 || l.Device != 0 {
			errs = append(errs, fmt.Errorf("plan: layer %d keeps %d bytes a token on device %d: want at least 1 on device 0", i, l.RowBytes, l.Device))
		}
		if l.Window < 0 {
			errs = append(errs, fmt.Errorf("plan: layer %d has a window of %d tokens: want at least 1, or 0 for all", i, l.Window))
		}
	}
	return errors.Join(append(errs, r.CPUExperts.validate(r))...)
}

func (r Request) sequences() int { return max(1, r.Sequences) }

// place decides where K/V lie: with as many slots as make a step at the end of the context shortest,
// if the request leaves their number open.
func (r Request) place(m Machine) (Forecast, error) {
	f, err := r.placeWith(m, r.Slots)
	if err != nil || r.Slots > 0 || f.Placement.Streamed == 0 {
		return f, err
	}
	best := f.cache.BestSlots(r.times(f, m, r.Context))
	if best == DefaultSlots {
		return f, nil
	}
	if other, err := r.placeWith(m, best); err == nil {
		return other, nil
	}
	return f, nil // more layers stream, for which the tiers have no room
}

// placeWith decides where K/V lie with a number of slots.
func (r Request) placeWith(m Machine, slots int) (Forecast, error) {
	r.Slots = slots
	f, err := r.onDevice(!m.Unified)
	if err != nil && m.Unified && r.DiskMemory > 0 {
		f, err = r.onDevice(true)
	}
	if err != nil {
		return Forecast{}, err
	}
	return f, r.placeOff(&f, m)
}

// placeOff decides where K/V lie that are not on the device alone: rows of layers that stream, and rows
// behind windows. The first tokens of each sequence lie in host memory, the later ones on disk.
func (r Request) placeOff(f *Forecast, m Machine) error {
	streamed, past := f.Placement.rowsOff()
	f.HostMemory = r.HostMemory
	if m.Unified && streamed == 0 && past > 0 { // the device's memory is the host's
		f.HostMemory = max(r.HostMemory, m.HostMemory-f.Device())
	}
	if streamed+past == 0 {
		return nil
	}
	host, trees, cells := f.HostMemory, int64(r.sequences()), f.Placement.Cells
	f.PastCells = f.Placement.pastCells(r.WindowRows)
	of := func(row int64, cells int) int64 { return product(product(row, int64(cells)), trees) }
	within := func(row, bytes int64) int { return int(min(bytes/max(1, of(row, Block))*Block, int64(cells))) }
	f.HostCells = within(sum(streamed, past), host)
	if f.HostCells > f.PastCells {
		f.HostCells = cells
		if streamed > 0 {
			f.HostCells = within(streamed, host-of(past, f.PastCells))
		}
	}
	f.HostPast = of(past, min(f.HostCells, f.PastCells))
	f.DiskPast = of(past, f.PastCells) - f.HostPast
	f.Host, f.Disk = sum(of(streamed, f.HostCells), f.HostPast), sum(of(streamed, cells-f.HostCells), f.DiskPast)
	if f.Disk > r.DiskMemory {
		short := &TierError{Host: host, Disk: r.DiskMemory, Need: sum(f.Host, f.Disk), Past: sum(f.HostPast, f.DiskPast), WindowRows: -1}
		if room := sum(host, r.DiskMemory) - of(streamed, cells); past > 0 && room > 0 {
			short.WindowRows = within(past, room) - slices.Max(f.Placement.Rings)
		}
		return short
	}
	return nil
}

// remembered returns the request's footprint, or else the model's estimate, of which each is asked for
// once: contexts are searched for that fit.
func (r Request) remembered() func(cells int) (Footprint, error) {
	known := map[int]Footprint{}
	return func(cells int) (f Footprint, err error) {
		if f, ok := known[cells]; ok {
			return f, nil
		}
		if r.Footprint != nil {
			f, err = r.Footprint(cells)
		} else {
			m := r.Model
			m.Context = cells
			f = m.Footprint()
		}
		f.Weights = max(0, f.Weights-r.CPUExperts.Weights)
		if err == nil {
			known[cells] = f
		}
		return f, err
	}
}

// Kinds returns the layers by what they keep of the context.
func (r Request) Kinds() Kinds { return Cache{Layers: r.Layers, Cells: r.Context}.Kinds() }

// onDevice decides what lies on the device.
func (r Request) onDevice(streams bool) (Forecast, error) {
	cache := Cache{Layers: r.Layers, Cells: r.Context, Trees: r.sequences(), Slots: r.Slots, Streams: streams}
	budget := Budget{Bytes: r.DeviceMemory, Devices: []Device{{Name: "the device", Footprint: r.Footprint}}}
	cache, err := cache.Fit(r.Context, budget)
	if err != nil {
		return Forecast{}, err
	}
	placements, err := cache.Place()
	if err != nil {
		return Forecast{}, err
	}
	f := Forecast{Context: r.Context, Sequences: r.sequences(), Placement: placements[0], cache: cache}
	f.Footprint, err = r.Footprint(r.Context)
	return f, err
}

// Growth is the longest contexts, in tokens, for which a plan can be made with the same budgets.
type Growth struct {
	Resident int // all layers stay on the device; 0: there is no such context
	NoDisk   int // nothing lies on the disk
	Most     int // any plan at all
}

// longestContext is the longest context that is looked at.
const longestContext = 1 << 26

// growth returns the longest contexts.
func (r Request) growth(m Machine) (g Growth) {
	g.Most = r.largest(m, longestContext, func(Forecast) bool { return true })
	g.NoDisk = r.largest(m, g.Most, func(f Forecast) bool { return f.Disk == 0 })
	g.Resident = r.largest(m, g.NoDisk, func(f Forecast) bool { return f.Placement.Streamed == 0 })
	return g
}

// mostCells returns the largest context below that of the request that works; 0 if none does.
func (r Request) mostCells(m Machine) int {
	return r.largest(m, (WholeBlocks(r.Context)/Block-1)*Block, func(Forecast) bool { return true })
}

// largest returns the largest context, in whole blocks and at most some cells, whose plan is as wanted;
// 0 if none is. A longer context is taken to need more.
func (r Request) largest(m Machine, cells int, wanted func(Forecast) bool) int {
	fits, more := 0, cells/Block+1
	for more-fits > 1 {
		half := fits + (more-fits)/2
		r.Context = half * Block
		if f, err := r.placeWith(m, r.Slots); err == nil && wanted(f) {
			fits = half
		} else {
			more = half
		}
	}
	return fits * Block
}

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
