package kv

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/plan"
)

// Pool holds the K/V of sequences, moves layers between devices and tiers, and counts the bytes
// that they take. An engine has one.
//
// A Pool may be used from several goroutines; one step is open at a time.
type Pool struct {
	config  config
	devices []*device        // by number
	placed  []layerPlacement // by layer
	turn    chan struct{}    // held by the open step
	hooks   hooks

	mu      sync.Mutex
	closed  bool
	open    bool    // a step is open
	cancels cancels // of the copies that are under way
	trees   map[*tree]bool
	retired []*tree // to be freed when the open step ends
	states  *states // of recurrent layers; nil: there are none
	spare   *tree   // a retired tree's memory, kept for the next one: see spare.go

	snapshots *snapshots // of the states; nil: none are kept

	reading   sync.WaitGroup // saves and copies
	turnBytes int64          // that they read between two steps: see there

	// Under the policy auto, guarded by mu and changed by who has the turn:
	slotCells int      // cells of the largest tree whose streamed layers have room where they visit; below 0: none has
	notices   []string // what the user has not been told yet

	stats Stats

	arrangement arrangement  // of the next step, empty
	copies      []*transfers // of the next step, empty

	// counted by the movers, which must not wait for mu
	nextID  atomic.Uint64
	fetches atomic.Int64
	fetched atomic.Int64 // bytes
	stored  atomic.Int64 // bytes
	moved   atomic.Int64 // bytes, between cells
	copied  atomic.Int64 // bytes, to trees of their own

	restored atomic.Int64 // bytes, counted by the goroutines that read them
	changing sync.RWMutex // held by them while they place rows, and by who changes tiers or padding: see change
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
	Policy           Policy
	Cells            int // capacity of a sequence tree
	ResidentLayers   int // now; without any sequence, when there was one last
	StreamedLayers   int
	RecurrentLayers  int   // of the resident ones: those that carry a state and keep no rows
	SharedLayers     int   // of the resident ones: those that keep no rows, as they share another's
	WindowedLayers   int   // of the resident ones: those that keep a window of their rows there
	HostLayers       int   // of the streamed ones: those attended to where they are kept
	TokenBytes       int64 // of one token in the layers that keep all rows
	WindowBytes      int64 // of one tree in the windowed layers on their devices, whatever it holds
	StateBytes       int64 // of one sequence in the recurrent layers
	StatesBytes      int64 // states on devices now, also those that no sequence has
	StatesBytesPeak  int64 // of DeviceBytesPeak, when that was
	StatesOffBytes   int64 // of HostBytes: states that visit their device, which has no room for all
	Snapshots        int   // kept copies of states now
	SnapshotBytes    int64 // of HostBytes and DiskBytes: what they take there
	DeviceBytes      int64 // states, K/V rows and slots on devices now
	DeviceBytesPeak  int64
	HostBytes        int64 // K/V rows in host memory now
	HostBytesPeak    int64
	DiskBytes        int64 // room for K/V rows in files now
	DiskBytesPeak    int64
	Demotions        int // layers that have left their device while sequences had rows in them
	Fetches          int
	FetchedBytes     int64
	StoredBytes      int64
	MovedBytes       int64         // between cells, when rows that forks share again are put in order
	CopiedBytes      int64         // rows that were copied to trees of their own
	RestoredBytes    int64         // read of what was saved: whole blocks
	RecomputedTokens int           // whose state was not kept: see Seq.Pending
	Stall            time.Duration // computation waiting for copies
	Steps            int           // committed
}

// NewPool allocates the slots of a cache on its devices. The caller closes it.
func NewPool(o Options, devices ...*ggml.Backend) (*Pool, error) {
	c, err := o.resolve(devices)
	if err != nil {
		return nil, err
	}
	p := &Pool{config: c, states: newStates(c.shapes), placed: make([]layerPlacement, len(c.shapes)), turn: make(chan struct{}, 1), trees: map[*tree]bool{}, turnBytes: turnBytes}
	kinds := o.Plan(devices...).Kinds()
	p.stats = Stats{Policy: c.policy, Cells: c.capacity, TokenBytes: kinds.TokenBytes, RecurrentLayers: kinds.Recurrent, StateBytes: kinds.StateBytes, WindowBytes: kinds.RingBytes}
	for n, b := range devices {
		d, err := p.newDevice(n, b)
		if err != nil {
			p.closeDevices()
			return nil, err
		}
		p.devices = append(p.devices, d)
	}
	p.snapshots = p.newSnapshots()
	p.measureSlots()
	p.countLayers()
	for _, l := range p.placed {
		if l.onHost {
			p.stats.HostLayers++
		}
	}
	p.count()
	return p, nil
}

// StepTokens returns how many tokens a step takes at most.
func (p *Pool) StepTokens() int { return p.config.stepTokens }

// ChunkTokens returns how many tokens of a step one graph computes at most.
func (p *Pool) ChunkTokens() int { return p.config.chunkTokens }

// HostTokens returns how many tokens a step may have at most for its attention to be computed on
// the host; 0 if no layer allows that.
func (p *Pool) HostTokens() int {
	if p.stats.HostLayers == 0 {
		return 0
	}
	return min(p.config.hostTokens, p.StepTokens())
}

// Types returns the types of keys and values.
func (p *Pool) Types() (k, v ggml.Type) { return p.config.typeK, p.config.typeV }

// Policy returns the policy that the cache was made with.
func (p *Pool) Policy() Policy { return p.config.policy }

// Cells returns the capacity of a sequence tree in whole blocks.
func (p *Pool) Cells() int { return p.config.cells }

// Placement returns the placement of the layers on the device with a number, as it is now.
func (p *Pool) Placement(device int) plan.Placement {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.devices[device].placement
}

// Stats returns the counters.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count() // a tier's buffers come and go with its copies
	s := p.stats
	s.Fetches, s.FetchedBytes, s.StoredBytes = int(p.fetches.Load()), p.fetched.Load(), p.stored.Load()
	s.MovedBytes, s.CopiedBytes, s.RestoredBytes = p.moved.Load(), p.copied.Load(), p.restored.Load()
	return s
}

// newTree returns a tree without memory.
func (p *Pool) newTree() *tree {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &tree{capacity: p.config.capacity}
	p.trees[t] = true
	return t
}

// Close frees all memory. It fails the open step, whose owner still closes it, and waits for that; saves
// and copies fail, too, and it waits for them. Sequences that are still open are closed.
func (p *Pool) Close() error {
	p.mu.Lock()
	again := p.closed
	p.closed = true
	p.cancels.all()
	for t := range p.trees {
		if r := t.restoring.Load(); r != nil {
			r.fail(fmt.Errorf("kv: restore: %w: the pool", ErrClosed)) // steps wait for it
		}
	}
	p.mu.Unlock()
	p.reading.Wait()
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	if again {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.devices {
		for _, m := range d.in {
			m.close()
		}
		d.out.close()
	}
	var errs []error
	for t := range p.trees {
		delete(p.trees, t)
		errs = append(errs, p.release(t))
	}
	errs = append(errs, p.giveUpSpare())
	for _, d := range p.devices {
		d.closeSlots()
	}
	p.closeSnapshots()
	p.closeStates()
	p.states = nil // sequences that are closed later have nothing to give back
	p.count()
	return errors.Join(errs...)
}

// closeDevices frees the devices that NewPool has made before it failed.
func (p *Pool) closeDevices() {
	for _, d := range p.devices {
		for _, m := range d.in {
			m.close()
		}
		d.out.close()
		d.closeSlots()
	}
}
