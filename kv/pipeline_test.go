package kv

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
)

// forecast are copies that take the times of a plan's visits. A slot that holds what a visit wants
// is not fetched into.
type forecast struct {
	visits []plan.Stage
	paced  bool
	link   tier.Link
	holds  []int       // by slot: the visit whose rows are there; -1: none
	due    []time.Time // by slot: when they have come over the link
}

func (f *forecast) fill(i int, free time.Time) {
	slot := i % len(f.holds)
	if f.holds[slot] == i {
		return
	}
	f.holds[slot] = i
	if f.paced {
		_, f.due[slot], _ = f.link.Transfer(free, int64(f.visits[i].Fetch*f.link.Rate), func() error { return nil })
		return
	}
	sleep(f.visits[i].Fetch)
}

func (f *forecast) fetch(_ context.Context, i int, free time.Time) error {
	f.fill(i, free)
	return nil
}

func (f *forecast) store(_ context.Context, i int) error {
	sleep(f.visits[i].Store)
	return nil
}

func (f *forecast) fetchAhead(_ context.Context, slot int, free time.Time) error {
	f.fill(slot, free)
	return nil
}

func sleep(seconds float64) { time.Sleep(time.Duration(seconds * float64(time.Second))) }

// walkSteps takes steps through real walks, in the order of a pool's: both movers take a step's job
// when they have done that of the step before. It returns when each step ends.
func walkSteps(t *testing.T, p plan.Pipeline, steps int) (ends []time.Duration) {
	t.Helper()
	f := &forecast{paced: p.Paced, link: tier.Link{Rate: 1e9}}
	for _, s := range p.Stages {
		if s.Visits {
			f.visits = append(f.visits, s)
		}
	}
	for range min(p.Slots, len(f.visits)) {
		f.holds, f.due = append(f.holds, -1), append(f.due, time.Time{})
	}
	in, out := newMover(false), newMover(false)
	defer in.close()
	defer out.close()
	began := time.Now()
	for range steps {
		w := newWalk(len(f.visits), len(f.holds), 1)
		in.start(func() { w.fetchAll(t.Context(), f, 0) })
		out.start(func() { w.storeAll(t.Context(), f) })
		sleep(p.Before)
		visit := 0
		for _, s := range p.Stages {
			if s.Visits {
				if err := w.acquire(t.Context(), visit); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Until(f.due[visit%len(f.due)]))
				visit++
			}
			sleep(s.Compute)
			if s.Visits {
				w.release()
			}
		}
		sleep(p.After)
		if err := w.finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, time.Since(began))
	}
	return ends
}

// What package plan computes for a step is what the walk does, exactly.
func TestPlansOfStepsAreWhatTheWalkDoes(t *testing.T) {
	const steps = 5
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		times := func(most int) float64 { return float64(r.IntN(most*1000+1)) * 1e-6 }
		p := plan.Pipeline{Slots: 1 + r.IntN(5), Before: times(20), After: times(20), Paced: r.IntN(2) > 0}
		for range 1 + r.IntN(12) {
			s := plan.Stage{Compute: times(10), Visits: r.IntN(3) > 0}
			if s.Visits {
				s.Fetch = times(12)
			}
			if s.Visits && !p.Paced { // rows behind a link are used in place
				s.Store = times(4)
			}
			p.Stages = append(p.Stages, s)
		}
		want := p.Run(steps)
		synctest.Test(t, func(t *testing.T) {
			for i, end := range walkSteps(t, p, steps) {
				if got := end.Seconds(); got < want[i]-1e-7 || got > want[i]+1e-7 {
					t.Fatalf("seed %d: step %d ends after %.6f s, and the plan says %.6f: %+v", seed, i, got, want[i], p)
				}
			}
		})
	}
}

// Of three layers that stream through two slots, the second is alone in its slot: it stays there,
// as plans count on.
func TestALayerWithASlotToItselfIsNotFetchedAgain(t *testing.T) {
	o := uniform(Offloaded, 3, 600)
	o.ForcedCopies = true
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := l.seq()
	l.grow(growth{s, 50})
	for range 3 {
		if got := moved(l, growth{s, 1}).Fetches; got != 2 {
			t.Errorf("%d fetches of three layers with two slots; want 2", got)
		}
	}
}
