package plan

import (
	"errors"
	"fmt"
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
	Drafts      int     // tokens that the model's own block drafts at a time; 0: none
	DraftBytes  int64   // K/V of a token in that block
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
	HostStates         int64     // bytes of states in host memory, beside Host
	PastCells          int       // tokens of each sequence whose rows are kept in layers with windows: those inside, and behind
	HostPast, DiskPast int64     // of these, bytes behind the windows of layers, which steps read only after a truncation
	Full, Half         Decode    // steps at the end of the context and in its middle
	Growth             Growth

	cache Cache // of which Placement is
}

// Device returns the bytes that weights, steps and K/V take on the device.
func (f Forecast) Device() int64 { return sum(f.Footprint.Total(), f.Placement.DeviceBytes) }

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
		{"tokens drafted at a time", int64(r.Drafts), 0},
		{"bytes of a token in the block that drafts", r.DraftBytes, 0},
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
		switch {
		case l.Shares:
			if l.Of < 0 || l.Of >= i || r.Layers[l.Of].Shares || l.RowBytes != 0 {
				errs = append(errs, fmt.Errorf("plan: layer %d keeps %d bytes a token and shares the K/V of layer %d: want 0 bytes, and an earlier layer that keeps its own", i, l.RowBytes, l.Of))
			}
		case l.NoRows:
			if l.RowBytes != 0 || l.StateBytes < 0 || l.Device != 0 {
				errs = append(errs, fmt.Errorf("plan: layer %d keeps no rows, and %d bytes a token and a state of %d on device %d: want 0 bytes a token and at least 0 of state on device 0", i, l.RowBytes, l.StateBytes, l.Device))
			}
		case l.RowBytes < 1 || l.StateBytes != 0 || l.Device != 0:
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
	f, err := r.onDevice(!m.Unified, m.Unified)
	if err != nil && m.Unified && r.DiskMemory > 0 {
		f, err = r.onDevice(true, m.Unified)
	}
	if err != nil {
		return Forecast{}, err
	}
	return f, r.placeOff(&f, m)
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
		if r.Drafts > 0 {
			f.Draft = product(r.DraftBytes, product(int64(WholeBlocks(cells)), int64(r.sequences())))
		}
		if err == nil {
			known[cells] = f
		}
		return f, err
	}
}

// Kinds returns the layers by what they keep of the context.
func (r Request) Kinds() Kinds { return Cache{Layers: r.Layers, Cells: r.Context}.Kinds() }

// onDevice decides what lies on the device, which is the host if both are one.
func (r Request) onDevice(streams, unified bool) (Forecast, error) {
	cache := Cache{StatesStay: []bool{unified}, Layers: r.Layers, Cells: r.Context, Trees: r.sequences(), Beams: r.Beams, Drafts: r.Drafts, Slots: r.Slots, Streams: streams}
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
