package ebb_test

import (
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// BenchmarkDecodeStep is one token through the model: time, and what the step
// leaves to the garbage collector.
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
					const depth = 16
					s := e.NewSeq()
					tokens := prompt(1, depth)
					if _, err := e.Forward(b.Context(), []kv.Work{{Seq: s, Tokens: tokens}}); err != nil {
						b.Fatal(err)
					}
					batch := []kv.Work{{Seq: s, Tokens: tokens[:1], Logits: 1}}
					var rows [][][]float32
					b.ReportAllocs()
					for b.Loop() {
						if s.Len() == depth+200 { // before the next graph is built
							if err := s.Truncate(depth); err != nil {
								b.Fatal(err)
							}
						}
						if rows, err = e.ForwardInto(b.Context(), batch, rows); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}
