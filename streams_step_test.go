package ebb_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// BenchmarkStepOfStreams is a token of each of several sequences, and beside them the pass of a prompt.
// It also reports the shortest step, in milliseconds.
func BenchmarkStepOfStreams(b *testing.B) {
	for _, one := range []struct{ streams, depth, pass int }{
		{1, 16, 0}, {8, 16, 0}, {8, 512, 0}, {8, 2000, 0}, {32, 100, 0}, {7, 512, 32},
	} {
		b.Run(fmt.Sprintf("streams=%d/depth=%d/pass=%d", one.streams, one.depth, one.pass), func(b *testing.B) {
			e, err := ebb.Open(smolLM2(b), ebb.Options{Cache: kv.Static, Context: one.depth + 128, Sequences: one.streams + 1, Threads: 2})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			var batch []kv.Work
			for i := range one.streams {
				s := e.NewSeq()
				if _, err := e.Forward(b.Context(), []kv.Work{{Seq: s, Tokens: prompt(i+1, one.depth+i)}}); err != nil {
					b.Fatal(err)
				}
				batch = append(batch, kv.Work{Seq: s, Tokens: []int32{int32(i + 1)}, Logits: 1})
			}
			lengths := []int{}
			if one.pass > 0 {
				batch = append(batch, kv.Work{Seq: e.NewSeq(), Tokens: prompt(99, one.pass)})
			}
			for _, w := range batch {
				lengths = append(lengths, w.Seq.Len())
			}
			var rows [][][]float32
			least := time.Hour
			step := func() {
				start := time.Now()
				if rows, err = e.ForwardInto(b.Context(), batch, rows); err != nil {
					b.Fatal(err)
				}
				least = min(least, time.Since(start))
				for i, w := range batch {
					if one.pass > 0 || w.Seq.Len() >= lengths[i]+64 {
						if err := w.Seq.Truncate(lengths[i]); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			for range 4 {
				step()
			}
			least = time.Hour
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(least.Microseconds())/1000, "least-ms")
			for _, w := range batch {
				if err := w.Seq.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkForks are steps of sequences whose cells do not lie as they would alone: a prompt of 500 tokens
// behind a fork of 2000, beside which the other one has gone on, and a token of each of 4 beams, which
// parted after 2000 tokens, and again 200 tokens later.
func BenchmarkForks(b *testing.B) {
	const shared = 2000
	open := func(b *testing.B) (*ebb.Engine, *kv.Seq) {
		e, err := ebb.Open(smolLM2(b), ebb.Options{Cache: kv.Static, Context: 4096, Threads: 2})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { e.Close() })
		s := e.NewSeq()
		if _, err := e.Forward(b.Context(), []kv.Work{{Seq: s, Tokens: prompt(1, shared)}}); err != nil {
			b.Fatal(err)
		}
		return e, s
	}
	fork := func(b *testing.B, s *kv.Seq) *kv.Seq {
		f, err := s.Fork()
		if err != nil {
			b.Fatal(err)
		}
		return f
	}
	steps := func(b *testing.B, e *ebb.Engine, batch []kv.Work) {
		var rows [][][]float32
		var err error
		least := time.Hour
		for b.Loop() {
			start := time.Now()
			if rows, err = e.ForwardInto(b.Context(), batch, rows); err != nil {
				b.Fatal(err)
			}
			least = min(least, time.Since(start))
			for _, w := range batch {
				if err := w.Seq.Truncate(w.Seq.Len() - len(w.Tokens)); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(least.Microseconds())/1000, "least-ms")
	}
	b.Run("prompt", func(b *testing.B) {
		e, s := open(b)
		f := fork(b, s)
		if _, err := e.Forward(b.Context(), []kv.Work{{Seq: s, Tokens: prompt(2, 100)}}); err != nil {
			b.Fatal(err)
		}
		steps(b, e, []kv.Work{{Seq: f, Tokens: prompt(3, 500), Logits: 1}})
	})
	b.Run("beams", func(b *testing.B) {
		e, s := open(b)
		beams := []*kv.Seq{s, fork(b, s)}
		for part := range 2 {
			for range 200 / (1 + part) {
				var batch []kv.Work
				for i, s := range beams {
					batch = append(batch, kv.Work{Seq: s, Tokens: []int32{int32(i + 1)}})
				}
				if _, err := e.Forward(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			if part == 0 {
				beams = append(beams, fork(b, beams[0]), fork(b, beams[1]))
			}
		}
		var batch []kv.Work
		for i, s := range beams {
			batch = append(batch, kv.Work{Seq: s, Tokens: []int32{int32(i + 1)}, Logits: 1})
		}
		steps(b, e, batch)
	})
}
