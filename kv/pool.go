package kv

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/trace"
)

// Defaults of [Options].
const (
	DefaultSlots       = 2    // one layer computes while the next is fetched
	DefaultChunkTokens = 512  // tokens of one graph: where CPU prefill is fastest
	DefaultStepTokens  = 4096 // tokens of one step: bounds the activations held
	DefaultHostTokens  = 16   // beams and drafts; more are computed faster by the device
)

// Options describe a cache. Layers and Cells have no default.
type Options struct {
	Policy Policy
	Layers []Shape // one a layer
	TypeK  ggml.Type
	TypeV  ggml.Type
	Cells  int // tokens that a sequence tree may hold; memory is taken in whole blocks

	// On is, by layer, the number of the device that computes it among those
	// given to NewPool. nil: the first computes all.
	On []int

	// Memory is how many bytes K/V may take on each device. 0: no limit.
	Memory int64
	// Memories is Memory device by device, where they differ; nil: they do not.
	Memories []int64
	// ResidentLayers is how many layers stay on their device under a policy
	// that streams. 0: as many as Memory allows, and none without Memory.
	ResidentLayers int
	counted        bool // ResidentLayers is meant, also where it is 0
	// Slots is how many layers visit a device at a time. 0: 2.
	Slots int
	// Trees is for how many sequence trees Memory is shared out. 0: 1.
	Trees int

	// Tier makes the tier that a tree's streamed rows live in. It is needed
	// where they are copied: a policy that streams, on a device other than
	// the CPU or with ForcedCopies.
	Tier tier.Maker
	// ForcedCopies copies rows on a CPU device too, where they would
	// otherwise be used where they are.
	ForcedCopies bool
	// AtHost is, by layer, whether attention may be computed where the rows are
	// kept: a streamed layer that is so marked has them in plain host memory,
	// and visits its device only in steps of more than HostTokens tokens. nil:
	// none.
	AtHost []bool
	// HostTokens is how many tokens a step may have whose attention is
	// computed at the host. 0: 16.
	HostTokens int
	// HostDepth is how many cells a tree of the step must hold for that.
	HostDepth int
	// Link is the bandwidth that fetches are slowed down to, in bytes a
	// second. 0: not at all.
	Link float64

	// ChunkTokens is how many tokens one graph computes at most. 0: 512.
	ChunkTokens int
	// StepTokens is how many tokens one step takes at most. 0: 4096.
	StepTokens int

	// Trace receives a span for each fetch and store, and for each wait of the
	// computation for one. nil: nothing is timed.
	Trace trace.Func
}

func (o Options) withDefaults() Options {
	if o.Slots == 0 {
		o.Slots = DefaultSlots
	}
	if o.Trees == 0 {
		o.Trees = 1
	}
	if o.HostTokens == 0 {
		o.HostTokens = DefaultHostTokens
	}
	if o.ChunkTokens == 0 {
		o.ChunkTokens = DefaultChunkTokens
	}
	if o.StepTokens == 0 {
		o.StepTokens = DefaultStepTokens
	}
	return o
}

// Pool holds the K/V of sequences, moves layers between devices and tiers, and
// knows the bytes that takes. There is one for an engine.
//
// A Pool may be used from several goroutines; one step is open at a time.
type Pool struct {
	opts    Options
	cells   int           // capacity of a sequence tree, whole blocks
	devices []*device     // by number
	homes   []home        // by layer
	turn    chan struct{} // held by the open step
	hooks   hooks

	mu      sync.Mutex
	closed  bool
	open    bool               // a step is open
	stop    context.CancelFunc // ends all copies that are under way; nil before the first step
	ahead   context.CancelFunc // ends those of the last step
	trees   map[*tree]bool
	retired []*tree // to be freed when the open step ends
	spare   *tree   // a retired tree's memory, kept where it is allocated once
	lists   lists   // of the next step
	stats   Stats

	// counted by the movers, which must not wait for mu
	nextID  atomic.Uint64
	fetches atomic.Int64
	fetched atomic.Int64 // bytes
	stored  atomic.Int64 // bytes
	moved   atomic.Int64 // bytes, between cells
}

// hooks let tests delay copies, poison freed slots and break the walk.
type hooks struct {
	beforeCopy func()
	alloc      func() error // before each allocation of rows
	freed      func(*slot)
	broken     broken
}

// Stats are a pool's counters since it was made.
type Stats struct {
	Policy          Policy
	Cells           int // capacity of a sequence tree
	ResidentLayers  int
	StreamedLayers  int
	HostLayers      int   // of the streamed ones: those attended to where they are kept
	DeviceBytes     int64 // K/V rows and slots on devices now
	DeviceBytesPeak int64
	HostBytes       int64 // K/V rows in host memory now
	HostBytesPeak   int64
	Fetches         int
	FetchedBytes    int64
	StoredBytes     int64
	MovedBytes      int64         // between cells, when what forks share again is put in order
	Stall           time.Duration // computation waiting for copies
	Steps           int           // committed
}

// NewPool allocates the slots of a cache on its devices. The caller closes it.
func NewPool(o Options, devices ...*ggml.Backend) (*Pool, error) {
	if err := o.validate(len(devices)); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	p := &Pool{opts: o, cells: pad(o.Cells), homes: make([]home, len(o.Layers)), turn: make(chan struct{}, 1), trees: map[*tree]bool{}}
	p.stats = Stats{Policy: o.Policy, Cells: o.Cells}
	for n, b := range devices {
		d, err := p.newDevice(n, b)
		if err != nil {
			p.closeDevices()
			return nil, err
		}
		p.devices = append(p.devices, d)
		p.stats.ResidentLayers += len(d.layers) - d.place.Streamed
		p.stats.StreamedLayers += d.place.Streamed
	}
	for _, h := range p.homes {
		if h.atHost {
			p.stats.HostLayers++
		}
	}
	p.count()
	return p, nil
}

// StepTokens returns how many tokens a step takes at most.
func (p *Pool) StepTokens() int { return min(p.opts.StepTokens, p.opts.Cells*p.opts.Trees) }

// ChunkTokens returns how many tokens of a step one graph computes at most.
func (p *Pool) ChunkTokens() int { return min(p.opts.ChunkTokens, p.StepTokens()) }

// HostTokens returns how many tokens a step may have whose attention is computed
// at the host; 0 if no layer's is.
func (p *Pool) HostTokens() int {
	if p.stats.HostLayers == 0 {
		return 0
	}
	return min(p.opts.HostTokens, p.StepTokens())
}

// Types returns the types of keys and values.
func (p *Pool) Types() (k, v ggml.Type) { return p.opts.TypeK, p.opts.TypeV }

// Policy returns the policy that the cache was made with.
func (p *Pool) Policy() Policy { return p.opts.Policy }

// Cells returns the capacity of a sequence tree in whole blocks.
func (p *Pool) Cells() int { return p.cells }

// Placement returns what was decided for a device, given by its number.
func (p *Pool) Placement(device int) Placement { return p.devices[device].place }

// Stats returns the counters.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Fetches, s.FetchedBytes, s.StoredBytes = int(p.fetches.Load()), p.fetched.Load(), p.stored.Load()
	s.MovedBytes = p.moved.Load()
	return s
}

// newTree returns a tree without memory.
func (p *Pool) newTree() *tree {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &tree{capacity: p.opts.Cells}
	p.trees[t] = true
	return t
}

// Close frees all memory. It fails the open step, whose owner still closes it,
// and waits for that; sequences that are still open are closed.
func (p *Pool) Close() error {
	p.mu.Lock()
	again := p.closed
	p.closed = true
	if p.stop != nil {
		p.stop()
	}
	p.mu.Unlock()
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	if again {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.devices {
		d.in.close()
		d.out.close()
	}
	var errs []error
	for t := range p.trees {
		delete(p.trees, t)
		errs = append(errs, p.release(t))
	}
	if p.spare != nil {
		t := p.spare
		p.spare = nil
		errs = append(errs, p.release(t))
	}
	for _, d := range p.devices {
		d.closeSlots()
	}
	p.count()
	return errors.Join(errs...)
}

// closeDevices takes back what NewPool has made before it failed.
func (p *Pool) closeDevices() {
	for _, d := range p.devices {
		d.in.close()
		d.out.close()
		d.closeSlots()
	}
}
