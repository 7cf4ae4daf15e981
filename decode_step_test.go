package ebb_test

import (
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// BenchmarkDecodeStep is one token through the model: time, and what the step leaves to the garbage
// collector.
func BenchmarkDecodeStep(b *testing.B) {
	for _, m := range []struct{ name, path string }{
		{"tiny", modelPath("tiny-gqa")},
		{"SmolLM2", smolLM2(b)},
	} {
		for _, policy := range policies {
			for _, copies := range []bool{false, true} {
				if copies && (policy == kv.Dynamic || policy == kv.Static) {
					continue // nothing is copied
				}
				name := m.name + "/" + policy.String()
				if copies {
					name += "/copies"
				}
				b.Run(name, func(b *testing.B) {
					e, err := ebb.Open(m.path, ebb.Options{Cache: policy, ForcedCopies: copies, Context: 512, Threads: 1})
					if err != nil {
						b.Fatal(err)
					}
					defer e.Close()
					d := newDecoder(b, e)
					defer d.close()
					b.ReportAllocs()
					for b.Loop() {
						d.step()
					}
				})
			}
		}
	}
}

// decoder takes one token after the other through an engine, as generation does.
type decoder struct {
	t     testing.TB
	e     *ebb.Engine
	batch []kv.Work
	rows  [][][]float32
}

// depth is how many tokens there are at least: the graphs are those of the first 256 cells.
const depth = 16

// newDecoder returns a decoder that has done all that is done once.
func newDecoder(t testing.TB, e *ebb.Engine) *decoder {
	s := e.NewSeq()
	tokens := prompt(1, depth)
	if _, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: tokens}}); err != nil {
		t.Fatal(err)
	}
	d := &decoder{t: t, e: e, batch: []kv.Work{{Seq: s, Tokens: tokens[:1], Logits: 1}}}
	for range 200 {
		d.step()
	}
	return d
}

func (d *decoder) step() {
	if s := d.batch[0].Seq; s.Len() == depth+200 {
		if err := s.Truncate(depth); err != nil {
			d.t.Fatal(err)
		}
	}
	var err error
	if d.rows, err = d.e.ForwardInto(d.t.Context(), d.batch, d.rows); err != nil {
		d.t.Fatal(err)
	}
}

func (d *decoder) close() {
	if err := d.batch[0].Seq.Close(); err != nil {
		d.t.Fatal(err)
	}
}

// What a step leaves to the garbage collector depends neither on the layers nor on the vocabulary:
// the step itself, and where rows are copied what its two movers share with it.
func TestDecodeStepLeavesNoGarbage(t *testing.T) {
	for _, p := range cpuPlaces {
		for _, policy := range policies {
			most := 1.0
			if p.copies && (policy == kv.Offloaded || policy == kv.OffloadedStatic) {
				most = 16
			}
			e := p.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: policy})
			d := newDecoder(t, e)
			// 150 steps, so that Truncate, which allocates, falls among them or not: less than one
			// a step.
			if got := testing.AllocsPerRun(150, d.step); got > most {
				t.Errorf("%s, %v: %g allocations a step, want at most %g", p.name, policy, got, most)
			}
			d.close()
		}
	}
}
