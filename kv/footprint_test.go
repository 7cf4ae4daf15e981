package kv

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
)

// checkFootprints compares the sum of what all sequences take with the counts of the pool, from which
// it takes what no sequence has. Nothing is copied meanwhile.
func (l *ledger) checkFootprints() {
	l.t.Helper()
	p := l.pool
	copied(p)
	p.drain()
	for t := range p.trees {
		for rows := range t.tiers {
			if err := settleTier(context.Background(), rows); err != nil {
				l.t.Fatal(err)
			}
		}
	}
	var sum Footprint
	for s := range l.tokens {
		f := s.Footprint()
		sum.Device, sum.Host, sum.Disk = sum.Device+f.Device, sum.Host+f.Host, sum.Disk+f.Disk
	}
	var none usage
	for _, d := range p.devices {
		none.device += d.slotsTaken() + d.stage.bytes()
	}
	if p.spare != nil {
		none.add(p.treeUsage(p.spare))
	}
	if p.states != nil {
		for _, layer := range p.states.layers {
			m := p.states.memory[layer]
			free := m.places() - len(p.states.holders) + p.states.free()
			if bytes := int64(free) * p.config.shapes[layer].StateBytes(); m.off {
				none.Host += bytes
			} else {
				none.device += bytes
			}
		}
	}
	stats := p.Stats()
	want := Footprint{stats.DeviceBytes - none.device, stats.HostBytes - none.Host, stats.DiskBytes - none.Disk}
	if sum != want {
		l.t.Fatalf("all sequences take %+v; want %+v: the %+v of the pool without %+v", sum, want, stats, none)
	}
}

// What all sequences take is what the pool takes, whoever shares what with whom.
func TestFootprintsAddUp(t *testing.T) {
	for name, o := range caches(t) {
		t.Run(name, func(t *testing.T) {
			c := newCrowd(t, o)
			defer c.close()
			c.checkFootprints()
			copies := []*Seq{c.copy(c.s, c.s.Len()), c.copy(c.s, 310)}
			c.checkFootprints()
			c.drafts = func(int) int { return 2 }
			c.grow(growth{copies[0], 5}, growth{c.s, 4}, growth{c.before, 3})
			c.checkFootprints()
			c.fork(copies[0])
			if o.Policy == Auto {
				squeeze(t, c.pool, 60)
			}
			c.grow(growth{copies[1], 3}, growth{c.other, 5})
			c.truncate(copies[0], 300)
			c.checkFootprints()
			c.closeSeq(c.s) // the oldest one
			c.grow(growth{c.after, 1}, growth{copies[1], 1})
			c.checkFootprints()
			c.closeSeq(copies[1])
			c.checkFootprints()
			if got := c.s.Footprint(); got != (Footprint{}) {
				t.Errorf("a closed sequence takes %+v", got)
			}
		})
	}
}

// Each fork has the share of its own cells.
func TestForksShareAFootprint(t *testing.T) {
	o := uniform(Static, 3, 1000)
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := l.seq()
	l.grow(growth{s, 300})
	all := s.Footprint()
	f := l.fork(s)
	if got := f.Footprint(); got != (Footprint{}) || s.Footprint() != all {
		t.Errorf("a fork without tokens of its own takes %+v, and what it shares %+v; want nothing and %+v", got, s.Footprint(), all)
	}
	l.grow(growth{f, 100})
	if got, want := f.Footprint().Device, all.Device/4; got != want || s.Footprint().Device != all.Device-want {
		t.Errorf("a fork with a quarter of the cells takes %d bytes and the other %d; want %d of %d", got, s.Footprint().Device, want, all.Device)
	}
	l.grow(growth{l.fork(s), 50}, growth{l.fork(s), 50})
	l.checkFootprints()
}

// Rows are where they are: on the device, in host memory and in files.
func TestAFootprintSaysWhereRowsAre(t *testing.T) {
	o, _ := stacked(t, 512*shareRow)
	o.ResidentLayers = 1
	r := newRig(t, onCPU(t), o)
	defer r.close()
	s := r.pool.NewSeq()
	r.grow(growth{s, common})
	got, stats := s.Footprint(), r.pool.Stats()
	if want := int64(1024 * shareRow / shareLayers); got.Device != want || got.Host == 0 || got.Disk == 0 || got.Disk != stats.DiskBytes {
		t.Errorf("%+v; want %d bytes on the device, some of host memory, and %d in files", got, want, stats.DiskBytes)
	}
	if n := testing.AllocsPerRun(10, func() { s.Footprint() }); n > 0 {
		t.Errorf("%v allocations; want none", n)
	}
}

// Under the race detector: footprints while steps are taken, and sequences copied and saved.
func TestFootprintsAtAnyTime(t *testing.T) {
	c := newCrowd(t, everyKind(Auto))
	defer c.close()
	var looking sync.WaitGroup
	done := make(chan struct{})
	all := slices.Collect(maps.Keys(c.tokens))
	looking.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				for _, s := range all {
					s.Footprint()
				}
			}
		}
	})
	looking.Go(func() {
		mustClose(t, copyOf(t, c.s, 400))
		save(t, c.pool, c.s)
	})
	for range 10 {
		c.goOn()
	}
	close(done)
	looking.Wait()
}
