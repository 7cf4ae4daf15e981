package plan

import "slices"

// attentionShare is about which share of a layer's weights is read before its attention: the
// projections of queries, keys and values.
const attentionShare = 0.2

// ringStores is after how many steps a ring stores rows: a block at a time.
const ringStores = Block

// read returns how many bytes of K/V attention reads in a layer of one sequence: those that a token
// sees, also where they are another layer's. Of a recurrent layer it returns the bytes of the states that
// are read and written, of each beam.
func (r Request) read(layer, depth int) int64 {
	l := r.Layers[layer]
	if l.Window > 0 {
		depth = min(depth, l.Window)
	}
	if l.Shares {
		l = r.Layers[l.Of]
	}
	if l.StateBytes > 0 {
		return product(l.StateBytes, int64(SequenceStates*max(1, r.Beams)))
	}
	return product(l.RowBytes, int64(depth))
}

// readStreamed returns how many bytes the device reads in a step in the layers that stream.
func (r Request) readStreamed(p Placement, depth int) (bytes int64) {
	weights := max(0, r.StepWeights-r.CPUExperts.Read-r.HeadWeights) / int64(len(r.Layers))
	for i, l := range p.Layers {
		if !p.Resident[i] {
			bytes = sum(bytes, sum(weights, product(r.read(l, depth), int64(r.sequences()))))
		}
	}
	return bytes
}

// times returns how long the parts of a step take at some depth. The layers' weights are taken to be
// alike, and so are all rows of a layer. Rows that leave rings are counted for each step, although they
// are stored a block at a time.
func (r Request) times(f Forecast, m Machine, depth int) Times {
	c, layers := m.Assumed(), float64(len(r.Layers))
	t := Times{
		Layers: make([]LayerTimes, len(r.Layers)), Before: c.StepSeconds, After: float64(r.HeadWeights) / c.HeadRate, Paced: m.Paced,
	}
	if _, past := f.Placement.rowsOff(); past > 0 {
		stored := float64(product(past, int64(r.sequences())))
		if m.Unified {
			t.Before += stored * c.CopyCost
		} else {
			t.Before += stored/m.LinkRate + float64(f.Placement.Windowed()*r.sequences())*c.FetchSeconds/ringStores
		}
	}
	states := int64(0) // that share the link with rows
	for l := range r.Layers {
		states = sum(states, r.movedStates(f, l))
	}
	experts := r.CPUExperts
	dense := float64(r.StepWeights-experts.Read-r.HeadWeights)/layers/c.WeightRate + c.LayerSeconds
	for l := range t.Layers {
		link, disk := r.moved(f, m, l, depth)
		layer := LayerTimes{
			Project: attentionShare * dense, Attend: float64(r.read(l, depth)) / c.KVRate, Forward: (1 - attentionShare) * dense,
			Fetch: max(float64(link)/m.LinkRate, float64(disk)/m.DiskRate), Disturb: float64(disk) * c.DiskCost,
		}
		if l >= len(t.Layers)-experts.Layers { // there and back
			layer.Forward += r.expertSeconds(m)/float64(experts.Layers) + 2*c.FetchSeconds
		}
		if states := r.movedStates(f, l); states > 0 { // there and back, while nothing is computed
			layer.Forward += 2*float64(states)/m.LinkRate + 2*c.FetchSeconds*float64(r.decoded())
		}
		if m.Unified {
			layer.Disturb += float64(link) * c.CopyCost
		}
		if visits := f.Placement.Streamed * r.sequences(); visits > 0 {
			layer.Fetch += float64(states) / m.LinkRate / float64(visits)
		}
		if !m.Paced {
			layer.Fetch += c.FetchSeconds
			layer.Store = c.FetchSeconds
		}
		t.Layers[l] = layer
	}
	return t
}

// moved returns how many bytes of a layer of one sequence come over the link if it streams, and how
// many from disk. On a machine that is not unified the link brings what was read from disk, too.
func (r Request) moved(f Forecast, m Machine, layer, depth int) (link, disk int64) {
	row := r.Layers[layer].RowBytes
	disk, link = product(row, int64(max(0, depth-f.HostCells))), product(row, int64(depth))
	if m.Unified {
		link -= disk
	}
	return link, disk
}

// movedStates returns how many bytes of a recurrent layer come over the link in a step, and go back, of
// all sequences, if states visit the device.
func (r Request) movedStates(f Forecast, layer int) int64 {
	if f.Placement.StatesOff == 0 {
		return 0
	}
	return product(r.Layers[layer].StateBytes, int64(r.decoded()))
}

// decoded returns how many sequences a step adds a token to.
func (r Request) decoded() int { return r.sequences() * max(1, r.Beams) }

// fetched returns the layers that are fetched in a step, in order, once for each sequence. A slot with
// one visit in a step keeps what it holds.
func (r Request) fetched(f Forecast) (layers []int) {
	var visits []int
	for i, l := range f.Placement.Layers {
		if !f.Placement.Resident[i] {
			visits = append(visits, slices.Repeat([]int{l}, r.sequences())...)
		}
	}
	p := Pipeline{Slots: f.Placement.Slots}
	for i, l := range visits {
		if p.fetched(i, len(visits)) {
			layers = append(layers, l)
		}
	}
	return layers
}

// expect returns how long a step is expected to take.
func (r Request) expect(f Forecast, m Machine, depth int) (e Expected) {
	n := r.sequences()
	p := r.times(f, m, depth).Pipeline(f.Placement, n)
	e.Experts = r.expertSeconds(m)
	e.Compute, e.Seconds = p.Before+p.After, p.Seconds()
	for _, s := range p.Stages {
		e.Compute += s.Compute
	}
	for _, l := range r.fetched(f) {
		link, disk := r.moved(f, m, l, depth)
		e.Link += float64(link) / m.LinkRate
		e.Disk += float64(disk) / m.DiskRate
	}
	for l := range r.Layers {
		e.Link += float64(r.movedStates(f, l)) / m.LinkRate
	}
	e.LimitedBy = longest(e.Compute, e.Link, e.Disk)
	e.PerSecond = float64(n) / e.Seconds
	return e
}
